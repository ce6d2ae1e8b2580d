//! What cannot be seen from where the doctor looks: APIs that ask for no token, and Tenure itself in their place.

use tenure_lab::{FaultyIssuer, IssuerConfig};

use crate::common::Home;
use crate::support::{examine, home_at, home_with, import};

#[test]
fn an_api_that_asks_for_no_token_needs_a_path() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let home = home_at(&issuer);
    import(&home, &issuer.issue());
    let found = examine(&home, &["shop"]);
    assert_eq!(found.ran.code, 0, "{:#}", found.json);
    assert_eq!(found.outcome("header"), "warn", "{:#}", found.json);
    let says = found.json["says"].as_str().expect("a text");
    assert!(says.contains("`tenure doctor shop --path /PATH`"), "{says}");
    // The step, carried out, tells.
    let found = examine(&home, &["shop", "--path", "/orders"]);
    assert_eq!(
        found.json["says"], "nothing wrong found",
        "{:#}",
        found.json
    );
}

#[test]
fn the_server_s_own_check_tells_in_place_of_a_path() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let validate = format!("validate_endpoint = \"{}\"", issuer.url_of("/api/echo"));
    let home = home_with(&issuer.url(), &issuer.url_of("/api"), &validate);
    import(&home, &issuer.issue());
    let found = examine(&home, &["shop"]);
    assert_eq!(found.outcome("header"), "ok", "{:#}", found.json);
    assert_eq!(
        found.json["says"], "nothing wrong found",
        "{:#}",
        found.json
    );
}

#[test]
fn the_report_names_the_token_endpoint_in_use() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let home = home_at(&issuer);
    import(&home, &issuer.issue());
    let report = home.path().join("report.txt");
    let path = report.to_str().expect("UTF-8");
    let found = examine(&home, &["shop", "--report", path]);
    let endpoint = issuer.url_of("/token");
    assert_eq!(found.fact("discovery", "token_endpoint"), endpoint);
    let text = std::fs::read_to_string(&report).expect("a report");
    let shown = format!("\"token_endpoint\":\"{endpoint}\"");
    assert!(text.contains(&shown), "{text}");
}

#[test]
fn tenure_itself_is_known_and_what_to_examine_is_said() {
    let tenure = Home::new();
    let up = tenure.up_example();
    let nowhere = Home::new();
    for (address, who, command) in [
        (
            up.url("gateway"),
            "a Tenure gateway",
            "tenure doctor SESSION",
        ),
        (
            format!("{}/shop/", up.url("gateway")),
            "session shop",
            "tenure doctor shop",
        ),
        (up.url("admin"), "admin address", "tenure doctor SESSION"),
    ] {
        let found = examine(&nowhere, &[&address]);
        assert_eq!(found.ran.code, 0, "{:#}", found.json);
        let says = found.json["says"].as_str().expect("a text");
        assert!(says.contains(who) && says.contains(command), "{says}");
        assert_eq!(found.outcome("kind"), "skipped", "{:#}", found.json);
    }

    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let home = home_with(&issuer.url(), &format!("{}/shop", up.url("gateway")), "");
    import(&home, &issuer.issue());
    let found = examine(&home, &["shop", "--path", "/orders"]);
    assert_eq!(found.outcome("header"), "skipped", "{:#}", found.json);
    assert!(
        found.steps()[0].contains("the API's own address"),
        "{:?}",
        found.steps()
    );

    let home = home_with(&up.url("gateway"), &issuer.url_of("/api"), "");
    import(&home, &issuer.issue());
    let found = examine(&home, &["shop", "--path", "/orders"]);
    assert_eq!((found.code(), found.ran.code), ("API02021", 4));
    assert_eq!(found.json["verdict"]["cause"], "tenure_itself");
    up.stop("TERM");
}
