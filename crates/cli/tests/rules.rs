//! Rules of one's own in the configuration, with the real binary.

mod common;

use common::Home;

const RULES: &str = r#"title = "Our stock system"

[words]
pass = ["pasje*"]

[[rule]]
id = "stock.pass_over"
status = ["409"]
needs = ["pass", "expired"]
class = "access_expired"
cause = "pass_over"
example = { status = 409, body = '{"message":"Pasje verlopen"}' }

[[rule]]
id = "stock.closed"
code = ["STK-77"]
class = "not_auth"
cause = "stock_closed"
example = { status = 401, body = '{"code":"STK-77"}' }
"#;

const CONFIG: &str = "rules = [\"rules/stock.toml\"]\n";

fn home() -> Home {
    let home = Home::new();
    home.write("tenure.toml", CONFIG);
    home.write("rules/stock.toml", RULES);
    home
}

#[test]
fn classify_asks_them_before_the_shipped_ones() {
    let lines = "{\"status\":409,\"body\":\"{\\\"message\\\":\\\"Het pasje is verlopen\\\"}\"}\n\
                 {\"status\":401,\"body\":\"{\\\"code\\\":\\\"STK-77\\\",\\\"message\\\":\\\"token expired\\\"}\"}\n";
    let rules = |home: &Home| -> Vec<String> {
        let ran = home.run_with(&["classify"], lines).ok();
        ran.out
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
            .map(|verdict| format!("{} {}", verdict["class"], verdict["rule"]).replace('"', ""))
            .collect()
    };
    assert_eq!(
        rules(&home()),
        ["access_expired stock.pass_over", "not_auth stock.closed"]
    );
    let without = rules(&Home::new());
    assert_eq!(without[0], "not_auth shape.4xx");
    assert!(without[1].starts_with("access_expired "), "{without:?}");
}

#[test]
fn explain_finds_their_codes() {
    let ran = home().run(&["--json", "explain", "STK-77"]).ok();
    assert!(ran.out.contains("stock.closed"), "{}", ran.out);
    let ran = Home::new().run(&["explain", "STK-77"]);
    assert_ne!(ran.code, 0, "{}", ran.out);
}

#[test]
fn what_is_wrong_with_them_is_told_with_file_line_and_key() {
    for (from, to, place, says) in [
        (
            "needs = [\"pass\"",
            "needs = [\"psas\"",
            "rules/stock.toml:9:1",
            "nothing is called \"psas\"",
        ),
        (
            "cause = \"pass_over\"",
            "cuase = \"pass_over\"",
            "rules/stock.toml:11:1",
            "unknown field `cuase`",
        ),
        (
            "status = 409, body",
            "status = 410, body",
            "rules/stock.toml:12:1",
            "does not recognise its example",
        ),
    ] {
        let home = home();
        home.write("rules/stock.toml", &RULES.replace(from, to));
        for args in [
            &["classify", "-"][..],
            &["explain", "STK-77"],
            &["status"],
            &["up", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"],
        ] {
            let ran = home.run(args);
            assert_eq!(ran.code, 4, "{args:?}: {ran:?}");
            assert!(
                ran.err.contains(place) && ran.err.contains(says),
                "{args:?}: {}",
                ran.err
            );
        }
    }
    let home = Home::new();
    home.write("tenure.toml", CONFIG);
    let ran = home.run(&["classify", "-"]);
    assert!(
        ran.code == 4 && ran.err.contains("rules/stock.toml"),
        "{ran:?}"
    );
    home.write("tenure.toml", "rules = \"rules/stock.toml\"\n");
    let ran = home.run(&["status"]);
    assert!(
        ran.code == 4 && ran.err.contains("tenure.toml:1:9") && ran.err.contains("list of strings"),
        "{ran:?}"
    );
}

#[test]
fn a_configuration_that_is_broken_elsewhere_does_not_stop_an_explanation() {
    let home = Home::new();
    home.write("tenure.toml", "[sessions.shop\n");
    let ran = home.run(&["explain", "jwt expired"]).ok();
    assert!(
        ran.err.contains("tenure.toml:1:") && ran.out.contains("API02002"),
        "{ran:?}"
    );
}

#[test]
fn a_misspelt_key_is_no_silence() {
    let home = home();
    home.write("tenure.toml", &CONFIG.replace("rules =", "ruels ="));
    let ran = home.run_with(&["classify"], "{\"status\":401}\n");
    assert_eq!(ran.code, 4, "{ran:?}");
    for part in [
        "tenure.toml:1:1: unknown key `ruels`",
        "did you mean `rules`?",
    ] {
        assert!(ran.err.contains(part), "{part}: {ran:?}");
    }
}
