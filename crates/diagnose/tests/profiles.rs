//! The shipped profiles, and the errors a profile of one's own can earn.
#![allow(clippy::unwrap_used)] // Shipped data that does not parse must stop the test.

use std::collections::BTreeSet;

use tenure_diagnose::profile::{AuthMethod, Flow, profiles};
use tenure_diagnose::{Rotation, parse_profile, profile, profile_names};
use url::Url;

const NAMES: &[&str] = &[
    "oauth2",
    "json-refresh",
    "wordpress-tmeister",
    "wordpress-usefulteam",
    "wordpress-simple-jwt-login-3",
    "wordpress-simple-jwt-login-4",
    "wordpress-simple-jwt-login",
    "wcpos",
    "tenure",
    "entra-id",
    "okta",
    "google",
    "auth0",
    "keycloak",
    "hydra",
    "zitadel",
    "github",
    "gitlab",
    "slack",
    "salesforce",
];

#[test]
fn every_shipped_profile_parses() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../catalogue/profiles");
    let mut files = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let parsed = parse_profile(&text, &path.display().to_string()).unwrap();
        assert_eq!(
            path.file_stem().unwrap().to_str(),
            Some(parsed.name.as_str()),
            "file and name agree"
        );
        assert!(
            profile(&parsed.name).is_some(),
            "{} is shipped but not embedded",
            parsed.name
        );
        files += 1;
    }
    assert_eq!(files, profiles().count());
}

#[test]
fn the_promised_names_are_there_and_unique() {
    for name in NAMES {
        assert!(profile(name).is_some(), "{name}");
    }
    let names = profile_names();
    assert_eq!(names[0], "oauth2", "the generic profile comes first");
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    assert_eq!(
        profile("wordpress-simple-jwt-login").unwrap().name,
        "wordpress-simple-jwt-login-4"
    );
    assert!(profile("nonsense").is_none());
}

#[test]
fn every_profile_says_where_it_comes_from() {
    for profile in profiles() {
        let about = |key: &str| {
            profile
                .claims
                .iter()
                .any(|claim| claim.about.starts_with(key))
        };
        assert!(about("rotation"), "{profile}: rotation unexplained");
        assert!(
            !profile.sources.is_empty() || profile.claims.iter().all(|claim| claim.unverified),
            "{profile}"
        );
        assert!(!profile.quirks.is_empty(), "{profile}");
        let stated = profile.lifetimes != tenure_diagnose::profile::Lifetimes::default();
        assert!(
            !stated || about("lifetimes"),
            "{profile}: lifetimes unexplained"
        );
        assert!(
            profile.status_page.is_none() || about("status_page"),
            "{profile}: status page unexplained"
        );
        assert!(
            !profile.client_auth.is_empty() && !profile.flows.is_empty(),
            "{profile}"
        );
    }
}

#[test]
fn what_the_keeper_relies_on() {
    let tenure = profile("tenure").unwrap();
    assert_eq!(tenure.rotation, Rotation::SameSuccessor);
    assert!(tenure.retry_unknown);
    assert_eq!(
        profile("okta").unwrap().rotation,
        Rotation::Rotates { grace_seconds: 30 }
    );
    let wcpos = profile("wcpos").unwrap();
    assert!(!wcpos.rotation.spends());
    assert_eq!(wcpos.flows, [Flow::BrowserTokens]);
    assert_eq!(wcpos.client_auth, [AuthMethod::None]);
    assert_eq!(wcpos.lifetimes.session_s, Some(30 * 86_400));
    for rotation in [
        Rotation::Rotates { grace_seconds: 0 },
        Rotation::SameSuccessor,
        Rotation::ParentUntilChildUsed,
        Rotation::Strict,
    ] {
        assert!(rotation.spends());
    }
}

#[test]
fn templates_become_urls() {
    let wcpos = profile("wcpos").unwrap();
    let token = wcpos.endpoints.token.as_deref().unwrap();
    let shop: Url = "https://shop.example/".parse().unwrap();
    assert_eq!(
        wcpos.resolve(token, Some(&shop), None).unwrap().as_str(),
        "https://shop.example/wp-json/wcpos/v1/auth/refresh"
    );
    let rest: Url = "https://shop.example/api/".parse().unwrap();
    assert_eq!(
        wcpos
            .resolve(token, Some(&shop), Some(&rest))
            .unwrap()
            .as_str(),
        "https://shop.example/api/wcpos/v1/auth/refresh"
    );
    assert_eq!(wcpos.resolve(token, None, None), None);
    let github = profile("github").unwrap();
    let token = github.endpoints.token.as_deref().unwrap();
    assert_eq!(
        github.resolve(token, None, None).unwrap().host_str(),
        Some("github.com")
    );
}

#[test]
fn a_profile_describes_a_server() {
    let shop: Url = "https://shop.example".parse().unwrap();
    let server = profile("wordpress-simple-jwt-login")
        .unwrap()
        .server(Some(&shop), None)
        .unwrap();
    assert_eq!(
        server.dialect,
        tenure_wire::Dialect::SimpleJwtLogin { version: 4 }
    );
    assert_eq!(
        server.token_endpoint.path(),
        "/wp-json/simple-jwt-login/v1/auth/refresh"
    );
    assert_eq!(
        server.login_endpoint.unwrap().path(),
        "/wp-json/simple-jwt-login/v1/auth"
    );
    assert_eq!(
        (server.issuer.as_deref(), server.expires_in_default),
        (Some("https://shop.example"), Some(3600))
    );
    assert!(
        profile("oauth2")
            .unwrap()
            .server(Some(&shop), None)
            .is_none(),
        "discovery or config must tell"
    );
    for profile in profiles().filter(|profile| profile.endpoints.token.is_some()) {
        assert!(profile.server(Some(&shop), None).is_some(), "{profile}");
    }
}

#[test]
fn servers_are_recognised() {
    let url = |text: &str| text.parse::<Url>().unwrap();
    assert!(
        profile("okta")
            .unwrap()
            .recognise
            .issuer(&url("https://acme.okta.com/oauth2/default"))
    );
    assert!(
        !profile("okta")
            .unwrap()
            .recognise
            .issuer(&url("https://evilokta.com/"))
    );
    assert!(
        profile("keycloak")
            .unwrap()
            .recognise
            .issuer(&url("https://id.example/realms/shop"))
    );
    assert!(
        profile("wcpos")
            .unwrap()
            .recognise
            .namespaces(&["wp/v2", "wcpos/v1"])
    );
    assert!(!profile("wcpos").unwrap().recognise.namespaces(&["wp/v2"]));
}

#[test]
fn plugins_of_one_namespace_are_told_apart_by_routes_and_by_an_answer() {
    let fitting = |names: [&'static str; 2], routes: &[&str]| {
        names
            .into_iter()
            .filter(|name| {
                let recognise = &profile(name).unwrap().recognise;
                recognise.routes(|route| routes.contains(&route))
            })
            .collect::<Vec<_>>()
    };
    let jwt_auth = ["wordpress-usefulteam", "wordpress-tmeister"];
    let refresh = "/jwt-auth/v1/token/refresh";
    assert_eq!(fitting(jwt_auth, &[refresh]), ["wordpress-usefulteam"]);
    assert_eq!(fitting(jwt_auth, &[]), ["wordpress-tmeister"]);
    assert_eq!(
        fitting(jwt_auth, &[refresh, "/jwt-auth/v1/token/revoke"]),
        [""; 0]
    );
    let simple = [
        "wordpress-simple-jwt-login-3",
        "wordpress-simple-jwt-login-4",
    ];
    let second = "/simple-jwt-login/v1/auth/2fa";
    assert_eq!(fitting(simple, &[second]), simple[1..]);
    assert_eq!(fitting(simple, &[]), simple[..1]);

    let answers = |name: &str, body: &str| {
        let answer = profile(name).unwrap().recognise.rest_answer.clone();
        answer.unwrap().fits(&serde_json::from_str(body).unwrap())
    };
    let flat = r#"{"code":"jwt_auth_no_auth_header","message":"…","data":{"status":403}}"#;
    let envelope = r#"{"success":false,"statusCode":401,"code":"jwt_auth_no_auth_header"}"#;
    let closed = r#"{"code":"rest_login_required","data":{"status":401}}"#;
    for (name, body, fits) in [
        ("wordpress-tmeister", flat, true),
        ("wordpress-tmeister", envelope, false),
        ("wordpress-tmeister", closed, false),
        ("wordpress-usefulteam", envelope, true),
        ("wordpress-usefulteam", flat, false),
    ] {
        assert_eq!(answers(name, body), fits, "{name} {body}");
    }
}

#[test]
fn what_a_profile_says_about_routes_is_checked() {
    let with = |line: &str| {
        error(
            "[rotation]",
            &format!("[recognise]\nrest_namespaces = [\"a/v1\"]\n{line}\n[rotation]"),
        )
    };
    let shown = with("rest_routes = [\"/b/v1/token\"]");
    assert!(
        shown.starts_with("mine.toml:10:16: \"/b/v1/token\" is no route of a namespace"),
        "{shown}"
    );
    let shown = with("rest_answer = { method = \"PUT\", route = \"/a/v1/x\", has = [\"/x\"] }");
    assert!(
        shown.starts_with("mine.toml:10:26: \"PUT\" is no method"),
        "{shown}"
    );
    let shown = with("rest_answer = { method = \"GET\", route = \"/a/v1/x\" }");
    assert!(shown.contains("no sign to know it by"), "{shown}");
    let shown = with("rest_answer = { method = \"GET\", route = \"/a/v1/x\", has = [\"x\"] }");
    assert!(shown.contains("no JSON pointer"), "{shown}");
}

const GOOD: &str = r#"name = "mine"
title = "Mine"
dialect = "oauth2"
client_auth = ["basic"]
flows = ["code"]
retry_unknown = true

[rotation]
kind = "strict"
"#;

fn error(from: &str, to: &str) -> String {
    let text = GOOD.replacen(from, to, 1);
    assert_ne!(text, GOOD, "{from:?} must occur");
    parse_profile(&text, "mine.toml").unwrap_err().to_string()
}

#[test]
fn a_profile_of_ones_own_may_be_short() {
    let mine = parse_profile(GOOD, "mine.toml").unwrap();
    assert_eq!(mine.rotation, Rotation::Strict);
    assert_eq!(mine.refused_statuses, Vec::<u16>::new());
}

#[test]
fn errors_name_line_column_key_and_cure() {
    assert_eq!(
        error("retry_unknown", "retry_unkown"),
        "mine.toml:6:1: there is no key `retry_unkown` in a profile. Did you mean `retry_unknown`?"
    );
    let shown = error("kind = \"strict\"", "kind = \"strickt\"");
    assert!(
        shown.starts_with("mine.toml:9:8: `rotation.kind` cannot be \"strickt\"")
            && shown.ends_with("Did you mean \"strict\"?"),
        "{shown}"
    );
    let shown = error("kind = \"strict\"", "kind = \"strict\"\ngrace_seconds = 3");
    assert_eq!(
        shown,
        "mine.toml:10:17: `grace_seconds` goes with `kind = \"rotates\"` only. Remove it, or change `kind`"
    );
    let shown = error("retry_unknown = true\n", "");
    assert!(
        shown.contains("`retry_unknown` is missing")
            && shown.contains("Add `retry_unknown = true` or `retry_unknown = false`"),
        "{shown}"
    );
    let shown = error("\"mine\"", "\"Mine!\"");
    assert!(
        shown.starts_with("mine.toml:1:8: ") && shown.contains("lower-case"),
        "{shown}"
    );
    let shown = error(
        "[rotation]",
        "[endpoints]\ntoken = \"{isuer}/t\"\n[rotation]",
    );
    assert!(
        shown.starts_with("mine.toml:9:9: \"{isuer}/t\" is no endpoint template"),
        "{shown}"
    );
    let shown = error(
        "[rotation]",
        "[[claims]]\nabout = \"rotation\"\nsays = \"so\"\n[rotation]",
    );
    assert!(
        shown.contains("names no source") && shown.starts_with("mine.toml:8:"),
        "{shown}"
    );
    let shown = error(
        "retry_unknown = true",
        "retry_unknown = true\nrefused_statuses = [401, 99]",
    );
    assert!(
        shown.starts_with("mine.toml:7:26: 99 is no HTTP status"),
        "{shown}"
    );
    let shown = error("[rotation]", "[json]\naccess = \"token\"\n[rotation]");
    assert!(
        shown.contains("belongs to the dialect `json-refresh`"),
        "{shown}"
    );
    let shown = error("title = \"Mine\"", "title = Mine");
    assert!(shown.starts_with("mine.toml:2:"), "{shown}");
}

#[test]
fn the_key_is_given_apart() {
    let wrong = parse_profile(&GOOD.replace("flows", "flow"), "mine.toml").unwrap_err();
    let [wrong] = &wrong.0[..] else {
        panic!("one slip, one error: {wrong}");
    };
    assert_eq!(
        (wrong.key.as_deref(), wrong.line, wrong.column),
        (Some("flow"), 5, 1)
    );
}

#[test]
fn every_slip_is_told_at_once_in_the_order_of_the_file() {
    let text = r#"name = "Mine"
title = 7
dialect = "oauth"
client_auth = "basic"
flows = ["cod", "sms"]
discovery = "yes"
refused_statuses = [401, "403", -1]
[endpoints]
token = "nowhere"
[lifetimes]
access_s = "15 min"
[recognise]
rank = 300
[[claims]]
about = "rotation"
"#;
    let wrong = parse_profile(text, "mine.toml").unwrap_err();
    let told: Vec<String> = wrong.0.iter().map(ToString::to_string).collect();
    let expected = [
        (
            "1:1",
            "`retry_unknown` is missing",
            "Add `retry_unknown = true` or",
        ),
        (
            "1:1",
            "`rotation` is missing",
            "Add a table `[rotation]` with `kind`",
        ),
        (
            "2:9",
            "`title` holds a whole number, not a string",
            "Write `title = \"…\"`",
        ),
        (
            "3:11",
            "`dialect` cannot be \"oauth\"",
            "Did you mean \"oauth2\"?",
        ),
        (
            "4:15",
            "`client_auth` holds a string, not a list of strings",
            "\"basic\", \"post\"",
        ),
        (
            "5:10",
            "`flows` cannot be \"cod\"",
            "Did you mean \"code\"?",
        ),
        (
            "5:17",
            "`flows` cannot be \"sms\"",
            "Write one of \"code\", \"device\"",
        ),
        (
            "6:13",
            "`discovery` holds a string, not true or false",
            "`discovery = true`",
        ),
        (
            "7:26",
            "`refused_statuses` holds a string, not a list of whole numbers",
            "[401]",
        ),
        (
            "7:33",
            "`refused_statuses` is too large, or below zero",
            "whole number",
        ),
        (
            "11:12",
            "`lifetimes.access_s` holds a string, not a whole number",
            "a number",
        ),
        ("13:8", "`recognise.rank` is too large", "from 0 to 255"),
        ("14:1", "`claims.says` is missing", "Add `says = \"…\"`"),
    ];
    assert_eq!(told.len(), expected.len(), "{wrong}");
    for (told, (place, problem, fix)) in told.iter().zip(expected) {
        assert!(
            told.starts_with(&format!("mine.toml:{place}: {problem}")),
            "{told}"
        );
        assert!(told.contains(fix), "{told}");
    }
}

#[test]
fn what_fits_and_is_wrong_all_the_same_is_told_at_once_too() {
    let text = GOOD
        .replace("\"mine\"", "\"Mine!\"")
        .replace("\"Mine\"", "\" \"")
        .replace(
            "[rotation]",
            "refused_statuses = [99]\n[endpoints]\ntoken = \"x\"\nlogin = \"y\"\n[rotation]\ngrace_seconds = 3",
        );
    let wrong = parse_profile(&text, "mine.toml").unwrap_err();
    let keys: Vec<&str> = wrong
        .0
        .iter()
        .filter_map(|error| error.key.as_deref())
        .collect();
    assert_eq!(
        keys,
        [
            "name",
            "title",
            "refused_statuses",
            "token",
            "login",
            "grace_seconds"
        ],
        "{wrong}"
    );
}
