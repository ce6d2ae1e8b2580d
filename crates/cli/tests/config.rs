//! Bad configurations: each fault is told with file, line, column, key and fix, and exit code 4.

mod common;

use common::Home;

/// A whole session without faults, to put one fault into.
const GOOD: &str = r#"[keeper]
listen = "127.0.0.1:0"

[sessions.shop]
provider = "oauth2"
issuer = "https://id.example"
client_id = "till-7"
upstream = "https://api.example"
"#;

struct Case {
    /// What replaces what in the good file.
    swap: (&'static str, &'static str),
    /// Where the fault is told to be: line and column.
    at: &'static str,
    /// Words the message holds.
    says: &'static [&'static str],
}

const CASES: &[Case] = &[
    Case {
        swap: (
            "\"127.0.0.1:0\"",
            "\"127.0.0.1:7000\"\nadmin = \"127.0.0.1:7000\"",
        ),
        at: "3:9",
        says: &[
            "`keeper.admin`",
            "both listen on port 7000",
            "ports of their own",
        ],
    },
    Case {
        swap: ("\"127.0.0.1:0\"", "\"localhost:7879\""),
        at: "2:10",
        says: &["`keeper.listen`", "both listen on port 7879"],
    },
    Case {
        swap: ("\"127.0.0.1:0\"", "\"127.0.0.1:0\"\nadmin = \"here\""),
        at: "3:9",
        says: &["`keeper.admin`", "for example \"127.0.0.1:7879\""],
    },
    Case {
        swap: (
            "\"till-7\"",
            "\"till-7\"\nclient_auth = \"none\"\nclient_secret = { env = \"A\" }",
        ),
        at: "8:15",
        says: &[
            "`sessions.shop.client_auth`",
            "`client_secret` is set",
            "remove `client_secret`",
        ],
    },
    Case {
        swap: (
            "\"127.0.0.1:0\"",
            "\"127.0.0.1:0\"\ncaller_keys = \"canary-3-canary-3\"",
        ),
        at: "3:15",
        says: &[
            "`keeper.caller_keys`",
            "must not be written into the configuration",
        ],
    },
    Case {
        swap: (
            "\"127.0.0.1:0\"",
            "\"127.0.0.1:0\"\ncaller_keys = [\"canary-3-canary-3\"]",
        ),
        at: "3:16",
        says: &[
            "`keeper.caller_keys[0]`",
            "must not be written into the configuration",
        ],
    },
    Case {
        swap: ("\"127.0.0.1:0\"", "\"127.0.0.1:0\"\ncaller_keys = []"),
        at: "3:15",
        says: &["`keeper.caller_keys`", "the list is empty"],
    },
    Case {
        swap: (
            "\"127.0.0.1:0\"",
            "\"127.0.0.1:0\"\ncaller_keys = [{ env = \"A\" }]",
        ),
        at: "3:16",
        says: &["`keeper.caller_keys[0]`: the key has no name", "add name ="],
    },
    Case {
        swap: (
            "\"127.0.0.1:0\"",
            "\"127.0.0.1:0\"\ncaller_keys = [{ name = \"till\" }]",
        ),
        at: "3:16",
        says: &["`keeper.caller_keys[0]`: no source is given"],
    },
    Case {
        swap: (
            "\"127.0.0.1:0\"",
            "\"127.0.0.1:0\"\ncaller_keys = [{ name = \"till\", env = \"A\", file = \"b\" }]",
        ),
        at: "3:16",
        says: &["exactly one source"],
    },
    Case {
        swap: (
            "\"127.0.0.1:0\"",
            "\"127.0.0.1:0\"\ncaller_keys = [{ name = \"till\", env = \"A\" }, { name = \"till\", env = \"B\" }]",
        ),
        at: "3:46",
        says: &["`keeper.caller_keys[1]`: there is a key named \"till\" already"],
    },
    Case {
        swap: (
            "\"127.0.0.1:0\"",
            "\"127.0.0.1:0\"\ncaller_keys = [{ name = \"till 7\", env = \"A\" }]",
        ),
        at: "3:16",
        says: &["\"till 7\" cannot be a key's name"],
    },
    Case {
        swap: (
            "\"127.0.0.1:0\"",
            "\"127.0.0.1:0\"\ncaller_keys = [{ name = \"till\", evn = \"A\" }]",
        ),
        at: "3:33",
        says: &[
            "unknown key `evn` in [keeper.caller_keys[0]]",
            "did you mean `env`?",
        ],
    },
    Case {
        swap: ("\"till-7\"", "\"till-7\"\nca_file = \"nosuch.pem\""),
        at: "8:11",
        says: &[
            "`sessions.shop.ca_file`: cannot read file",
            "nosuch.pem",
            "name a file that exists",
        ],
    },
    Case {
        swap: ("\"till-7\"", "\"till-7\"\nca_file = \"tenure.toml\""),
        at: "8:11",
        says: &[
            "`sessions.shop.ca_file`",
            "there is no certificate in it",
            "-----BEGIN CERTIFICATE-----",
        ],
    },
    Case {
        swap: ("listen =", "lisen ="),
        at: "2:1",
        says: &["unknown key `lisen` in [keeper]", "did you mean `listen`?"],
    },
    Case {
        swap: ("[keeper]", "[keper]"),
        at: "1:2",
        says: &["unknown key `keper` at the top", "did you mean `keeper`?"],
    },
    Case {
        swap: ("client_id =", "clientid ="),
        at: "7:1",
        says: &["unknown key `clientid`", "did you mean `client_id`?"],
    },
    Case {
        swap: ("\"127.0.0.1:0\"", "7878"),
        at: "2:10",
        says: &["`keeper.listen` is an integer, expected a string", "quotes"],
    },
    Case {
        swap: ("\"127.0.0.1:0\"", "\"7878\""),
        at: "2:10",
        says: &[
            "`keeper.listen`",
            "no address to listen on",
            "127.0.0.1:7878",
        ],
    },
    Case {
        swap: ("\"127.0.0.1:0\"", "\"0.0.0.0:7878\""),
        at: "2:10",
        says: &["other machines", "caller_keys"],
    },
    Case {
        swap: ("\"127.0.0.1:0\"", "\"127.0.0.1:0\"\nadmin = \"0.0.0.0:1\""),
        at: "3:9",
        says: &["`keeper.admin`", "this machine only"],
    },
    Case {
        swap: (
            "\"127.0.0.1:0\"",
            "\"127.0.0.1:0\"\nstore = \"postgres://u:canary-3@h/db\"",
        ),
        at: "3:9",
        says: &[
            "an address with a password must not be written",
            "{ file = ",
        ],
    },
    Case {
        swap: (
            "\"127.0.0.1:0\"",
            "\"127.0.0.1:0\"\nexchange_timeout = \"5s\"",
        ),
        at: "3:1",
        says: &["belongs in [keeper.timing]"],
    },
    Case {
        swap: ("\"oauth2\"", "\"oath2\""),
        at: "5:12",
        says: &[
            "no provider is called \"oath2\"",
            "did you mean \"oauth2\"?",
            "keycloak",
        ],
    },
    Case {
        swap: ("https://id.example", "id.example"),
        at: "6:10",
        says: &["`sessions.shop.issuer`", "is no URL", "https://id.example"],
    },
    Case {
        swap: ("https://id.example", "http://id.example"),
        at: "6:10",
        says: &["plain http", "insecure = true"],
    },
    Case {
        swap: ("https://api.example", "https://me:canary-3@api.example"),
        at: "8:12",
        says: &["must not carry a user name or password"],
    },
    Case {
        swap: ("upstream = \"https://api.example\"", ""),
        at: "4:11",
        says: &["session shop has no `upstream`", "add upstream ="],
    },
    Case {
        swap: ("client_id = \"till-7\"", ""),
        at: "4:11",
        says: &["session shop has no `client_id`"],
    },
    Case {
        swap: ("issuer = \"https://id.example\"", ""),
        at: "4:11",
        says: &["does not say where its server is", "add issuer ="],
    },
    Case {
        swap: ("sessions.shop", "sessions.Shop"),
        at: "4:11",
        says: &["\"Shop\" cannot be a session's name", "lower-case"],
    },
    Case {
        swap: ("\"till-7\"", "\"till-7\"\nkeep = \"hot\""),
        at: "8:8",
        says: &["`sessions.shop.keep`", "\"warm\"", "\"lazy\""],
    },
    Case {
        swap: ("\"till-7\"", "\"till-7\"\nclient_auth = \"basic\""),
        at: "8:15",
        says: &["needs a `client_secret`"],
    },
    Case {
        swap: ("\"till-7\"", "\"till-7\"\nclient_secret = \"canary-3\""),
        at: "8:17",
        says: &["must not be written into the configuration", "env ="],
    },
    Case {
        swap: ("\"till-7\"", "\"till-7\"\nclient_secret = { }"),
        at: "8:17",
        says: &["no source is given"],
    },
    Case {
        swap: ("\"till-7\"", "\"till-7\"\nclient_secret = { fil = \"x\" }"),
        at: "8:19",
        says: &["unknown key `fil`", "did you mean `file`?"],
    },
    Case {
        swap: (
            "\"till-7\"",
            "\"till-7\"\ntiming = { exchange_timeout = \"15\" }",
        ),
        at: "8:31",
        says: &["is no duration", "\"15s\""],
    },
    Case {
        swap: (
            "\"till-7\"",
            "\"till-7\"\ntiming = { replay_limit = \"1\" }",
        ),
        at: "8:27",
        says: &["is no size", "\"1MiB\""],
    },
    Case {
        swap: ("\"till-7\"", "\"till-7\"\ntiming = { refresh_at = \"2\" }"),
        at: "8:25",
        says: &["is no refresh time", "\"0.66\""],
    },
    Case {
        swap: (
            "\"till-7\"",
            "\"till-7\"\ntiming = { backoff_min = \"2m\" }",
        ),
        at: "8:26",
        says: &["longer than the longest"],
    },
    Case {
        swap: ("\"till-7\"", "\"till-7\"\nscopes = \"orders\""),
        at: "8:10",
        says: &["`sessions.shop.scopes` is a string, expected a list of strings"],
    },
    Case {
        swap: ("\"till-7\"", "\"till-7\"\ninsecure = \"yes\""),
        at: "8:12",
        says: &["expected true or false"],
    },
    Case {
        swap: ("\"till-7\"", "\"till-7"),
        at: "7:20",
        says: &["toml.io"],
    },
];

#[test]
fn every_fault_is_told_with_its_place_and_fix() {
    for case in CASES {
        let home = Home::new();
        let (from, to) = case.swap;
        assert!(GOOD.contains(from), "{from:?} is not in the good file");
        home.write("tenure.toml", &GOOD.replace(from, to));
        let ran = home.run(&["status"]);
        assert_eq!(ran.code, 4, "{to:?}: {ran:?}");
        assert!(
            ran.err.contains(&format!("tenure.toml:{}: ", case.at)),
            "{to:?}: {ran:?}"
        );
        assert!(ran.err.contains("fix:"), "{to:?}: {ran:?}");
        for words in case.says {
            assert!(ran.err.contains(words), "{to:?}: no {words:?} in {ran:?}");
        }
        assert!(!ran.err.contains("canary"), "a secret is repeated: {ran:?}");
        assert_eq!(ran.out, "", "{to:?}");
    }
}

#[test]
fn a_good_file_is_accepted() {
    let home = Home::new();
    home.write("tenure.toml", GOOD);
    let ran = home.run(&["status", "--json"]).ok();
    assert_eq!(ran.json()["sessions"][0]["name"], "shop");
}

#[test]
fn every_fault_is_told_at_once_and_in_json_too() {
    let home = Home::new();
    home.write(
        "tenure.toml",
        &GOOD.replace("listen", "lisen").replace("\"oauth2\"", "1"),
    );
    let ran = home.run(&["status", "--json"]);
    assert_eq!((ran.code, ran.err.as_str()), (4, ""), "{ran:?}");
    let error = &ran.json()["error"];
    assert_eq!(error["exit_code"], 4);
    assert_eq!(
        error["problems"].as_array().map(Vec::len),
        Some(2),
        "{error}"
    );
    assert!(
        error["where"]
            .as_str()
            .is_some_and(|place| place.ends_with("tenure.toml:2:1")),
        "{error}"
    );
}

#[test]
fn a_named_file_that_is_not_there_is_a_usage_fault() {
    let home = Home::new();
    let ran = home.run(&["status", "--config", "nowhere.toml"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(
        ran.err.contains("nowhere.toml") && ran.err.contains("--config"),
        "{ran:?}"
    );
    let mut command = home.command(&["status"]);
    let ran = common::Ran::from(
        command
            .env("TENURE_CONFIG", "nowhere.toml")
            .output()
            .expect("it starts"),
    );
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.err.contains("$TENURE_CONFIG"), "{ran:?}");
}

/// The error under `--json`, and that people are told the same with the same exit code.
fn told(home: &Home, args: &[&str], code: i32) -> serde_json::Value {
    let ran = home.run(args);
    assert_eq!(ran.code, code, "{ran:?}");
    let json = home.run(&[args, &["--json"]].concat());
    assert_eq!(json.code, code, "{json:?}");
    let error = json.json()["error"].clone();
    for part in ["message", "where", "fix"] {
        let part = error[part].as_str().expect("a text");
        assert!(ran.err.contains(part), "{part} in {ran:?}");
    }
    error
}

#[test]
fn files_and_directories_are_not_mixed_up() {
    let home = Home::new();
    home.write("conf/tenure.toml", GOOD);
    home.write("file", "");
    let error = told(&home, &["status", "--config", "conf"], 2);
    assert_eq!(error["where"], "--config");
    assert_eq!(error["fix"], "name the file in it: conf/tenure.toml");
    for args in [
        &["status", "--data", "file"][..],
        &["up", "--data", "file/below"],
        &["token", "shop", "--data", "file"],
        &["doctor", "--data", "file"],
    ] {
        let error = told(&home, args, 2);
        assert_eq!(error["where"], "--data");
        let what = error["message"].as_str().expect("a text");
        assert!(what.starts_with("file is a file"), "{what}");
    }
}

#[test]
fn a_configuration_that_is_no_text_is_told_with_its_place() {
    let home = Home::new();
    let path = home.write("tenure.toml", "");
    std::fs::write(&path, b"[keeper]\nstore = \"sqlite:caf\xe9.db\"\n").expect("written");
    let error = told(&home, &["status"], 4);
    assert_eq!(error["where"], "tenure.toml:2:20");
}

#[test]
fn two_flags_with_one_address_are_told_before_anybody_listens() {
    let home = Home::new();
    let at = "127.0.0.1:7878";
    let ran = home.run(&["up", "--listen", at, "--admin", at]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(
        ran.err.contains("both listen on port 7878") && ran.err.contains("fix:"),
        "{ran:?}"
    );
}

#[test]
fn the_nearest_configuration_is_taken() {
    let home = Home::new();
    let named = |name: &str| GOOD.replace("sessions.shop", &format!("sessions.{name}"));
    let first = |args: &[&str]| {
        home.run(args).ok().json()["sessions"][0]["name"]
            .as_str()
            .map(str::to_owned)
    };
    assert_eq!(
        first(&["status", "--json"]).as_deref(),
        Some("shop"),
        "the built-in example"
    );
    home.write("data/tenure.toml", &named("in-data"));
    assert_eq!(first(&["status", "--json"]).as_deref(), Some("in-data"));
    home.write("tenure.toml", &named("here"));
    assert_eq!(first(&["status", "--json"]).as_deref(), Some("here"));
    home.write("other.toml", &named("other"));
    assert_eq!(
        first(&["status", "--json", "--config", "other.toml"]).as_deref(),
        Some("other")
    );
}

#[test]
fn an_unreadable_secret_is_told_when_it_is_needed() {
    for (source, says) in [
        (
            "{ env = \"TILL_SECRET\" }",
            "environment variable TILL_SECRET is not set",
        ),
        ("{ file = \"no-such-file\" }", "no-such-file"),
        ("{ command = [\"/no/such/program\"] }", "/no/such/program"),
        (
            "{ command = [\"/bin/sh\", \"-c\", \"echo canary-4; exit 7\"] }",
            "`/bin/sh` ended with exit status: 7",
        ),
    ] {
        let home = Home::new();
        home.write(
            "tenure.toml",
            &GOOD.replace(
                "\"till-7\"",
                &format!("\"till-7\"\nclient_secret = {source}"),
            ),
        );
        home.run(&["status"]).ok();
        let ran = home.run(&["token", "shop"]);
        assert_eq!(ran.code, 4, "{ran:?}");
        let (code, up) = home.up(&[]).stop("TERM");
        assert_eq!(code, Some(0), "{up}");
        for told in [&ran.err, &up] {
            assert!(
                told.contains(says)
                    && told.contains("tenure.toml:8")
                    && told.contains("`client_secret`"),
                "{told}"
            );
            assert!(!told.contains("canary"), "{told}");
        }
    }
}

const PROFILE: &str = r#"
name = "mine"
title = "My server"
dialect = "oauth2"
client_auth = ["none"]
flows = ["password"]
retry_unknown = false
[rotation]
kind = "none"
"#;

#[test]
fn a_profile_of_ones_own_is_used_and_checked() {
    let home = Home::new();
    let config = GOOD
        .replace("\"oauth2\"", "\"mine\"")
        .replace("issuer =", "token_endpoint =");
    home.write("tenure.toml", &config);
    home.write("profiles/mine.toml", PROFILE);
    let ran = home.run(&["status", "--json"]).ok();
    assert_eq!(ran.json()["sessions"][0]["provider"], "mine");
    home.write("tenure.toml", &GOOD.replace("\"oauth2\"", "\"mine\""));
    let ran = home.run(&["status"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    let says = "\"mine\" does not say where its servers renew tokens";
    assert!(
        ran.err.contains(says) && ran.err.contains("add token_endpoint"),
        "{ran:?}"
    );
    home.write("profiles/mine.toml", &PROFILE.replace("flows", "flow"));
    let ran = home.run(&["status"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(
        ran.err.contains("profiles/mine.toml:6:1") && ran.err.contains("`flows`"),
        "{ran:?}"
    );
}

#[test]
fn slips_of_profiles_and_configuration_are_told_together() {
    let home = Home::new();
    let config = GOOD
        .replace("\"oauth2\"", "\"mine\"")
        .replace("upstream", "upstraem");
    home.write("tenure.toml", &config);
    let broken = PROFILE
        .replace("\"oauth2\"", "\"oauth\"")
        .replace("\"none\"\n", "\"sometimes\"\n");
    home.write("profiles/mine.toml", &broken);
    home.write("profiles/other.toml", PROFILE);
    let ran = home.run(&["status", "--json"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    let problems = ran.json()["error"]["problems"].clone();
    let places: Vec<&str> = problems
        .as_array()
        .expect("several")
        .iter()
        .filter_map(|problem| problem["where"].as_str())
        .collect();
    assert_eq!(
        places,
        [
            "tenure.toml:4:11",
            "tenure.toml:8:1",
            "profiles/mine.toml:4:11",
            "profiles/mine.toml:9:8",
            "profiles/other.toml",
        ],
        "{problems}"
    );
    let fix = problems[2]["fix"].as_str().expect("a text");
    assert_eq!(fix, "Did you mean \"oauth2\"?");
}
