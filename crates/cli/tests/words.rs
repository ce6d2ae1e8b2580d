//! The words of commands: the same fix for the same trouble, what to type next, and where a login failed.

mod common;

use common::{Home, Ran};
use tenure_lab::{FaultyIssuer, IssuerConfig};

const SECRETS: &str = r#"
[sessions.env]
provider = "oauth2"
token_endpoint = "http://127.0.0.1:1/token"
client_id = "till"
upstream = "http://127.0.0.1:1"
client_secret = { env = "TENURE_TEST_NOT_SET" }

[sessions.file]
provider = "oauth2"
token_endpoint = "http://127.0.0.1:1/token"
client_id = "till"
upstream = "http://127.0.0.1:1"
client_secret = { file = "nosuch" }

[sessions.command]
provider = "oauth2"
token_endpoint = "http://127.0.0.1:1/token"
client_id = "till"
upstream = "http://127.0.0.1:1"
client_secret = { command = ["/bin/sh", "-c", "exit 3"] }
"#;

#[test]
fn a_missing_secret_has_one_fix_whichever_command_misses_it() {
    let home = Home::new();
    home.write("tenure.toml", SECRETS);
    for (session, says, fix) in [
        (
            "env",
            "environment variable TENURE_TEST_NOT_SET is not set",
            "set TENURE_TEST_NOT_SET where tenure is started",
        ),
        (
            "file",
            "nosuch: No such file",
            "make the file and put the secret into it, or name another",
        ),
        (
            "command",
            "the command `/bin/sh` ended with exit status: 3",
            "run it by hand, with its arguments, to see what it wants",
        ),
    ] {
        for args in [
            &["token", session][..],
            &["request", session, "GET", "/"],
            &["login", session, "--password"],
        ] {
            let ran = home.run(args);
            assert_eq!(ran.code, 4, "{ran:?}");
            assert!(ran.err.contains(says), "{ran:?}");
            assert!(ran.err.contains(&format!("  fix: {fix}\n")), "{ran:?}");
            assert!(ran.err.contains("not by the server"), "{ran:?}");
            let error = home.run(&[args, &["--json"]].concat()).json()["error"].clone();
            assert_eq!(error["fix"], fix, "{error}");
            assert_eq!(error["failure"]["cause"], "secret_unreadable", "{error}");
        }
    }
}

/// A session of a server in the lab.
fn session(home: &Home, issuer: &str, client: &str) {
    let text = format!(
        "[sessions.shop]\nprovider = \"oauth2\"\nissuer = \"{issuer}\"\nclient_id = \"{client}\"\nupstream = \"{issuer}\"\n"
    );
    home.write("tenure.toml", &text);
}

fn has(ran: &Ran, words: &[&str]) {
    for word in words {
        assert!(ran.err.contains(word), "no {word:?} in {}", ran.err);
    }
}

#[test]
fn a_failed_login_names_session_server_and_what_to_do() {
    let server = Home::new();
    let up = server.up_example();
    let issuer = up.url("issuer");
    let home = Home::new();
    let at = format!("error: session shop at {issuer}: ");

    session(&home, &issuer, "tenure-cli");
    let ran = home.run_with(&["login", "shop", "--password"], "demo\nnot-this-one\n");
    assert_eq!(ran.code, 3, "{ran:?}");
    has(
        &ran,
        &[
            &at,
            "The server said: \"The user name or the password is wrong\"",
            "fix: check the user name and the password, then type `tenure login shop --password` again",
        ],
    );

    session(&home, &issuer, "nobody");
    let ran = home.run_with(&["login", "shop", "--password"], "demo\nnot-this-one\n");
    assert_eq!(ran.code, 4, "{ran:?}");
    has(
        &ran,
        &[
            &at,
            "`nobody` is not registered here",
            "fix: check `client_id` and `client_secret` of the session (tenure.toml:1)",
        ],
    );
}

#[test]
fn a_login_at_a_server_that_is_away_is_to_be_typed_again() {
    let issuer = FaultyIssuer::start(IssuerConfig::default());
    let url = issuer.url().clone();
    drop(issuer);
    let home = Home::new();
    session(&home, &url, "till");
    let ran = home.run(&["login", "shop", "--device"]);
    assert_eq!(ran.code, 5, "{ran:?}");
    has(
        &ran,
        &["session shop", &url, "`tenure login shop --device` again"],
    );
    // The address is in it once.
    let first = ran.err.lines().next().expect("a line");
    assert_eq!(first.matches(url.as_str()).count(), 1, "{first}");
}

#[test]
fn status_says_what_to_type_where_nobody_is_logged_in() {
    let home = Home::new();
    let ran = home.run(&["status"]).ok();
    assert!(
        ran.out
            .contains("shop: nobody is logged in; log in with `tenure login shop`\n"),
        "{ran:?}"
    );
}

#[test]
fn up_lists_its_sessions_aligned() {
    let home = Home::new();
    home.write(
        "tenure.toml",
        &SECRETS.replace("sessions.env", "sessions.warehouse-of-the-north"),
    );
    let mut command = home.command(&["up", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let process = tenure_lab::Process::spawn(&mut command);
    let rows = common::wait_for("the sessions", || {
        let text = process.stdout();
        let rows: Vec<String> = text
            .lines()
            .filter(|line| line.starts_with("session  "))
            .map(str::to_owned)
            .collect();
        (rows.len() == 3).then_some(rows)
    });
    let columns: Vec<_> = rows.iter().map(|row| row.find("needs_operator")).collect();
    assert!(columns[0].is_some(), "{rows:?}");
    assert!(columns.iter().all(|at| *at == columns[0]), "{rows:?}");
}

#[test]
fn an_export_never_overwrites_and_says_so() {
    let home = Home::new();
    let there = home.write("there", "mine");
    let ran = home.run(&["store", "export", "there"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    has(
        &ran,
        &["never overwrites", "fix: name a file that does not"],
    );
    assert_eq!(std::fs::read_to_string(there).expect("a file"), "mine");
    let ran = home.run_with(
        &["store", "export", "nowhere/x"],
        "four words nobody guesses\n",
    );
    assert_eq!(ran.code, 2, "{ran:?}");
    has(&ran, &["its directory does not exist"]);
}

#[test]
fn completions_offer_values_and_sessions() {
    let home = Home::new();
    home.write("tenure.toml", SECRETS);
    assert_eq!(
        home.run(&["session-names"]).ok().out,
        "command\nenv\nfile\n"
    );
    let script = home.run(&["completions", "bash"]).ok().out;
    let path = home.write("complete", &script);
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_tenure"));
    for (line, offered) in [
        ("tenure completions z", "zsh"),
        ("tenure explain --lang n", "nl"),
        ("tenure token e", "env"),
        ("tenure inspect --session co", "command"),
        ("tenure status --color al", "always"),
        ("tenure login --pass", "--password"),
    ] {
        let shell = format!(
            "PATH=\"{}:$PATH\"; source '{}'; COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _tenure_sessions tenure \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; echo \"${{COMPREPLY[@]}}\"",
            program.parent().expect("a directory").display(),
            path.display()
        );
        let plain = home.command(&[]);
        let mut bash = std::process::Command::new("bash");
        bash.env_clear().current_dir(home.path());
        bash.envs(
            plain
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        let ran = Ran::from(bash.args(["-c", &shell]).output().expect("bash"));
        assert_eq!(ran.out.trim(), offered, "{line}: {ran:?}");
    }
    for shell in ["zsh", "fish"] {
        let script = home.run(&["completions", shell]).ok().out;
        assert!(script.contains("tenure session-names"), "{shell}");
    }
    let zsh = home.run(&["completions", "zsh"]).ok().out;
    assert!(zsh.starts_with("#compdef tenure\n"), "{zsh}");
    assert!(zsh.matches(":_tenure_sessions'").count() >= 7, "{zsh}");
}

#[test]
fn slips_are_told_with_what_was_meant() {
    let home = Home::new();
    for (args, says, fix) in [
        (
            &["classify", "nosuch"][..],
            "nosuch: cannot read",
            "name a file this user can read",
        ),
        (
            &["events", "-n", "-3"],
            "\"-3\" is no number of lines",
            "for example 20",
        ),
        (
            &["token", "nosuch"],
            "no session \"nosuch\"",
            "the sessions in the built-in default are: shop",
        ),
    ] {
        let ran = home.run(args);
        assert_eq!(ran.code, 2, "{ran:?}");
        has(&ran, &[says, fix]);
    }
    let text = SECRETS.replacen("oauth2", "wcpso", 1);
    home.write(
        "tenure.toml",
        &format!("[keeper.timing]\nexchange_timeout = 15\n{text}"),
    );
    let ran = home.run(&["status"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    has(
        &ran,
        &[
            "tenure.toml:2:20",
            "fix: write it in quotes, as exchange_timeout = \"15s\"",
            "no provider is called \"wcpso\"",
            "did you mean",
            "wcpos",
        ],
    );
}
