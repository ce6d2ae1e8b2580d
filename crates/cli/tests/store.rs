//! `tenure store`: check, rekey, export and import on real stores.

mod common;

use common::Home;

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
    assert_eq!(again.code, 1, "an export is not overwritten: {again:?}");

    let to = home();
    let wrong = to.run_with(&["store", "import", name], "wrong\n");
    assert_ne!(wrong.code, 0, "{wrong:?}");
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
    assert_eq!(token(&to), "canary-8");
    let ran = to.run(&args).ok();
    assert!(ran.out.contains("till: left as it was"), "{ran:?}");
}

#[test]
fn a_damaged_store_is_named_and_left_as_it_is() {
    let home = home();
    home.write("data/tenure.db", "this is no database, but it is longer than a header of one hundred bytes would have to be to be taken for a database by mistake");
    for command in [
        &["status"][..],
        &["token", "till"],
        &["up"],
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
