//! `tenure store`: check, rekey, export and import on real stores.

mod common;

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Home, Ran};

const CONFIG: &str = "[sessions.till]\ntoken_endpoint = \"https://id.example/token\"\nclient_id = \"x\"\nupstream = \"https://api.example\"\n";
const TOKENS: &str = r#"{"access_token":"canary-8","refresh_token":"canary-9","expires_in":3600}"#;

fn home() -> Home {
    let home = Home::new();
    home.write("tenure.toml", CONFIG);
    home
}

fn token(home: &Home) -> String {
    home.run(&["token", "till"]).ok().out.trim().to_owned()
}

#[test]
fn a_store_that_is_not_there_is_not_made_by_a_check() {
    let home = home();
    let ran = home.run(&["store", "check"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.err.contains("no store yet"), "{ran:?}");
    assert!(!home.data().join("tenure.db").exists());
}

#[test]
fn rekey_keeps_every_session() {
    let home = home();
    home.run_with(&["login", "till", "--import", "-"], TOKENS)
        .ok();
    home.run(&["store", "check"]).ok();
    let before = home.run(&["store", "check", "--json"]).ok().json();
    let report = home.run(&["store", "rekey", "--json"]).ok().json();
    assert_ne!(report["old_key"], report["new_key"]);
    assert_eq!(report["resealed"], serde_json::json!(["till"]), "{report}");
    let after = home.run(&["store", "check", "--json"]).ok().json();
    assert_ne!(before["key"]["id"], after["key"]["id"]);
    assert_eq!(token(&home), "canary-8");
}

#[test]
fn rekeys_at_once_beside_a_running_up_all_succeed() {
    let home = home();
    home.run_with(&["login", "till", "--import", "-"], TOKENS)
        .ok();
    let up = home.up(&[]);
    let rekeys: Vec<_> = (0..5)
        .map(|_| {
            let mut command = home.command(&["store", "rekey", "--json"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().expect("it starts")
        })
        .collect();
    for rekey in rekeys {
        let ran = Ran::from(rekey.wait_with_output().expect("it ends")).ok();
        assert_eq!(ran.json()["resealed"], serde_json::json!(["till"]));
    }
    assert_eq!(up.admin("/readyz").status, 200);
    home.run(&["store", "check"]).ok();
    assert_eq!(token(&home), "canary-8");
    let (code, said) = up.stop("TERM");
    assert_eq!((code, said.as_str()), (Some(0), ""));
}

#[test]
fn an_export_carries_the_sessions_to_another_store() {
    let from = home();
    from.run_with(&["login", "till", "--import", "-"], TOKENS)
        .ok();
    let file = from.path().join("export");
    let name = file.to_str().expect("UTF-8");
    from.run_with(&["store", "export", name], "correct horse\n")
        .ok();
    let bytes = std::fs::read(&file).expect("written");
    assert!(
        !bytes.windows(6).any(|window| window == b"canary"),
        "an export is sealed"
    );
    let again = from.run_with(&["store", "export", name], "correct horse\n");
    assert_eq!(again.code, 2, "an export is not overwritten: {again:?}");

    let to = home();
    let wrong = to.run_with(&["store", "import", name], "wrong\n");
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(
        wrong.err.contains("passphrase is wrong") && wrong.err.contains("fix: try the passphrase"),
        "{wrong:?}"
    );
    assert!(!wrong.err.contains("correct horse"), "{wrong:?}");
    let passphrase = to.write("passphrase", "correct horse\n");
    let args = [
        "store",
        "import",
        name,
        "--passphrase-file",
        passphrase.to_str().expect("UTF-8"),
    ];
    let ran = to.run(&args).ok();
    assert!(ran.out.contains("till: imported"), "{ran:?}");
    let ran = to.run(&["store", "check"]).ok();
    assert!(
        ran.out.contains("imported: a newer token may exist") && !ran.out.contains("restored"),
        "{ran:?}"
    );
    assert_eq!(token(&to), "canary-8");
    let ran = to.run(&args).ok();
    assert!(ran.out.contains("till: left as it was"), "{ran:?}");
    let ran = to.run_with(
        &["store", "import", "tenure.toml", "--json"],
        "correct horse\n",
    );
    assert_eq!(ran.code, 2, "{ran:?}");
    let error = &ran.json()["error"];
    assert_eq!(error["where"], "tenure.toml");
    assert_eq!(error["fix"], "name a file that `tenure store export` wrote");
}

#[test]
fn an_export_that_cannot_be_made_says_why_and_leaves_no_file() {
    let home = home();
    for (word, file, code, what, fix) in [
        ("short", "export", 2, "has 5 characters", "longer one"),
        (
            "eleven char",
            "export",
            2,
            "has 11 characters",
            "longer one",
        ),
        ("", "export", 2, "no passphrase was given", "pipe it in"),
        (
            "correct horse",
            "tenure.toml",
            2,
            "such a file already",
            "does not exist yet",
        ),
        (
            "correct horse",
            "no/export",
            2,
            "its directory does not exist",
            "make the directory",
        ),
    ] {
        let ran = home.run_with(&["store", "export", file], &format!("{word}\n"));
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(ran.err.contains(what) && ran.err.contains(fix), "{ran:?}");
        assert!(ran.err.contains("fix: "), "{ran:?}");
        assert!(word.is_empty() || !ran.err.contains(word), "{ran:?}");
        assert!(!home.path().join("export").exists(), "{ran:?}");
    }
}

#[test]
fn an_emptied_store_is_not_sound() {
    let home = home();
    home.run_with(&["login", "till", "--import", "-"], TOKENS)
        .ok();
    for size in [0, 1, 4_096] {
        let path = home.data().join("tenure.db");
        let file = std::fs::OpenOptions::new().write(true).open(path);
        file.and_then(|file| file.set_len(size)).expect("cut short");
        for beside in ["tenure.db-wal", "tenure.db-shm"] {
            let _none = std::fs::remove_file(home.data().join(beside));
        }
        let ran = home.run(&["store", "check"]);
        assert_eq!(ran.code, 4, "{size}: {ran:?}");
        assert!(!ran.out.contains("\nsound"), "{size}: {ran:?}");
        let told = format!("{}{}", ran.out, ran.err);
        assert!(told.contains("restore a backup"), "{size}: {told}");
    }
}

#[test]
fn a_damaged_key_file_is_to_be_restored_not_replaced() {
    let home = home();
    home.run_with(&["login", "till", "--import", "-"], TOKENS)
        .ok();
    home.write("data/tenure.db.key", "no key\n");
    for command in [&["token", "till"][..], &["store", "check"]] {
        let ran = home.run(command);
        assert_eq!(ran.code, 4, "{ran:?}");
        let told = format!("{}{}", ran.out, ran.err);
        assert!(
            told.contains("back from a copy") && told.contains("log in again"),
            "{told}"
        );
        assert!(!told.contains("openssl"), "a new key opens nothing: {told}");
    }
}

#[test]
fn a_damaged_store_is_named_and_left_as_it_is() {
    let home = home();
    home.write("data/tenure.db", "this is no database, but it is longer than a header of one hundred bytes would have to be to be taken for a database by mistake");
    for command in [
        &["status"][..],
        &["token", "till"],
        &["up", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"],
        &["store", "check"],
    ] {
        let ran = home.run(command);
        assert_eq!(ran.code, 4, "{ran:?}");
        assert!(
            ran.err.contains("tenure.db") && ran.err.contains("API02026"),
            "{ran:?}"
        );
    }
    let text = std::fs::read_to_string(home.data().join("tenure.db")).expect("readable");
    assert!(text.starts_with("this is no database"), "it was touched");
}

#[test]
fn a_lost_key_is_named() {
    let home = home();
    home.run_with(&["login", "till", "--import", "-"], TOKENS)
        .ok();
    std::fs::remove_file(home.data().join("tenure.db.key")).expect("there is one");
    let ran = home.run(&["token", "till"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.err.contains("key"), "{ran:?}");
    assert!(
        !home.data().join("tenure.db.key").exists(),
        "no new key is made: it could open nothing"
    );
}

#[test]
fn what_a_wrong_key_did_not_open_is_not_called_readable() {
    let home = home();
    home.run_with(&["login", "till", "--import", "-"], TOKENS)
        .ok();
    home.write("data/tenure.db.key", &format!("{}\n", "ab".repeat(32)));
    let ran = home.run(&["store", "check"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(
        ran.out.contains("not opened (wrong key)") && !ran.out.contains("readable"),
        "{ran:?}"
    );
    assert!(ran.out.contains("fix: bring back the right key"), "{ran:?}");
    let ran = home.run(&["store", "check", "--json"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    let json = ran.json();
    assert_eq!(json["sessions"][0]["not_opened"], "wrong key");
    assert!(json["problems"][0]["fix"].is_string(), "{json}");
    // A store that cannot be used says what to do in a field of its own.
    let ran = home.run(&["token", "till", "--json"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    let error = &ran.json()["error"];
    let (message, fix) = (
        error["message"].as_str().unwrap_or_default(),
        error["fix"].as_str().unwrap_or_default(),
    );
    assert!(
        fix.contains("bring back the right key") && !message.contains("bring back"),
        "{error}"
    );
}

/// The program as a user whom file permissions hold; root is held by none.
fn as_somebody(home: &Home, args: &[&str]) -> Ran {
    let mut command = home.command(args);
    if rustix::process::geteuid().is_root() {
        let program = home.path().join("tenure");
        if !program.exists() && std::fs::hard_link(env!("CARGO_BIN_EXE_tenure"), &program).is_err()
        {
            std::fs::copy(env!("CARGO_BIN_EXE_tenure"), &program).expect("copied");
        }
        let mut held = Command::new(program);
        held.args(args).current_dir(home.path()).env_clear();
        held.env("TENURE_DATA", home.data())
            .env("HOME", home.path());
        held.uid(65_534).gid(65_534);
        command = held;
    }
    Ran::from(command.output().expect("it starts"))
}

/// Gives everything to that user.
fn hand_over(path: &Path) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    chown(path, Some(65_534), Some(65_534)).expect("given away");
    if path.is_dir() {
        for entry in std::fs::read_dir(path).expect("readable") {
            hand_over(&entry.expect("an entry").path());
        }
    }
}

#[test]
fn a_store_that_cannot_be_written_is_not_sound() {
    let home = home();
    home.run_with(&["login", "till", "--import", "-"], TOKENS)
        .ok();
    hand_over(home.path());
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("changed");
    };
    let (data, file) = (home.data(), home.data().join("tenure.db"));
    assert!(
        as_somebody(&home, &["store", "check"])
            .ok()
            .out
            .contains("sound")
    );
    for (data_mode, file_mode, what) in
        [(0o700, 0o400, "the file"), (0o500, 0o600, "the directory")]
    {
        mode(&file, file_mode);
        mode(&data, data_mode);
        let ran = as_somebody(&home, &["store", "check"]);
        assert_eq!(ran.code, 4, "{ran:?}");
        assert!(
            ran.out.contains("cannot be written") && ran.out.contains(what),
            "{ran:?}"
        );
        assert!(
            ran.out
                .contains("fix: make the file and its directory writable")
                && ran.out.contains("not sound"),
            "{ran:?}"
        );
        // What can be told is told all the same.
        assert!(
            ran.out.contains("till") && ran.out.contains("readable"),
            "{ran:?}"
        );
    }
    mode(&data, 0o700);
}

#[test]
fn an_expiry_is_stored_once_however_often_it_is_looked_at() {
    let home = home();
    let ended = r#"{"access_token":"a","expires_in":10,"obtained_at":1000000000}"#;
    home.run_with(&["login", "till", "--import", "-"], ended)
        .ok();
    for command in [
        &["status"][..],
        &["status", "--json"],
        &["token", "till"],
        &["request", "till", "GET", "/x"],
        &["token", "till"],
    ] {
        home.run(command);
    }
    let rows = home.run(&["events", "till", "--json"]).ok().out;
    let expired = rows.matches("\"expired\"").count();
    assert_eq!(expired, 1, "{rows}");
}
