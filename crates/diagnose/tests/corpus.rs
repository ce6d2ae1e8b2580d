//! Measures the classifier against the corpus of failures.
//!
//! The whole corpus lies beside the repository; where it is absent the committed sample is used instead. The
//! floors are what the rules reach today, with a little room; no harmful verdict is tolerated at any time.
#![allow(clippy::unwrap_used)] // A test that cannot read its data must stop.

use std::collections::BTreeMap;
use std::path::Path;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use tenure_core::{Class, Failure, Secret};
use tenure_diagnose::{
    Grant, Local, Profile, Seen, TokenFailure, Verdict, classify_api, classify_token, profile,
};
use tenure_wire::{Client, Ctx, Exchange, Server, Step, TokenAnswer};

const WHOLE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../../shared/corpus/failures.jsonl"
);
const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/failures.jsonl");

struct Case {
    json: Value,
}

impl Case {
    fn text(&self, pointer: &str) -> &str {
        self.json
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    fn fact(&self, name: &str) -> Option<bool> {
        self.json
            .pointer(&format!("/local/{name}"))
            .and_then(Value::as_bool)
    }

    fn is_token(&self) -> bool {
        self.text("/where") == "token"
    }

    fn status(&self) -> u16 {
        u16::try_from(self.json["status"].as_u64().unwrap()).unwrap()
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in self.json["headers"].as_object().unwrap() {
            let name = HeaderName::try_from(name).unwrap();
            headers.append(
                name,
                HeaderValue::from_bytes(value.as_str().unwrap().as_bytes()).unwrap(),
            );
        }
        headers
    }

    fn local(&self) -> Local {
        let seconds = self
            .json
            .pointer("/local/clock_offset_s")
            .and_then(Value::as_i64)
            .unwrap_or(0);
        let owned =
            |pointer: &str| Some(self.text(pointer).to_owned()).filter(|text| !text.is_empty());
        Local {
            token_sent: self.fact("access_token_sent").unwrap_or(true),
            token_expired: self.fact("access_token_expired"),
            clock_offset_ms: seconds * 1000,
            has_refresh: self.fact("has_refresh_token").unwrap_or(true),
            refresh_expired: self.fact("refresh_token_expired").unwrap_or(false),
            token_issuer: owned("/local/token_iss"),
            issuer: owned("/local/issuer_expected"),
            session: "shop".to_owned(),
            grant: match self.text("/request/grant") {
                "authorization_code" => Grant::AuthorizationCode,
                "device_code" => Grant::DeviceCode,
                "password" => Grant::Password,
                "client_credentials" => Grant::ClientCredentials,
                "refresh_token" => Grant::RefreshToken,
                _ => Grant::Other,
            },
            now_s: Some(1_715_678_813),
            ..Local::default()
        }
    }

    fn profile(&self) -> &'static Profile {
        let name = match self.text("/system") {
            "WordPress JWT Authentication (Tmeister)" => "wordpress-tmeister",
            "WordPress JWT Auth (usefulteam)" => "wordpress-usefulteam",
            "Simple JWT Login (WordPress)" => "wordpress-simple-jwt-login",
            "WCPOS (WooCommerce POS)" => "wcpos",
            "Microsoft Entra ID" | "Azure AD B2C" => "entra-id",
            "Okta" => "okta",
            "Google" => "google",
            "Auth0" => "auth0",
            "Keycloak" => "keycloak",
            "Ory Hydra" => "hydra",
            "Zitadel" => "zitadel",
            "GitHub" => "github",
            "GitLab" => "gitlab",
            "Slack" => "slack",
            "Salesforce" => "salesforce",
            _ => "oauth2",
        };
        profile(name).unwrap()
    }
}

/// What came out, in the corpus' terms.
struct Outcome {
    class: Option<Class>,
    heal: &'static str,
    last: bool,
    refused: bool,
}

fn token_answer(case: &Case) -> TokenAnswer {
    let server = Server::new(
        case.profile().wire_dialect(),
        "https://id.example/token".parse().unwrap(),
    );
    let client = Client::public("till");
    let ctx = Ctx {
        now_s: 1_715_678_813,
        jti: "1".to_owned(),
    };
    let (mut exchange, _) = Exchange::refresh(
        &server,
        &client,
        &Secret::new("refresh-canary-1"),
        None,
        false,
        &ctx,
    )
    .unwrap();
    let mut response = http::Response::new(case.text("/body").to_owned().into());
    *response.status_mut() = case.status().try_into().unwrap();
    *response.headers_mut() = case.headers();
    match exchange.on_response(&response, &ctx) {
        Step::Done(answer) => answer,
        Step::Send(_) => panic!("{}: a failure asks for no second request", case.text("/id")),
    }
}

fn outcome(case: &Case) -> (Outcome, Option<Failure>) {
    let local = case.local();
    if !case.is_token() {
        let (headers, body) = (case.headers(), case.text("/body"));
        let seen = Seen {
            status: case.status(),
            headers: &headers,
            body_start: body.as_bytes(),
        };
        return match classify_api(case.profile(), &seen, &local) {
            None => (
                Outcome {
                    class: None,
                    heal: "none",
                    last: false,
                    refused: false,
                },
                None,
            ),
            Some(verdict) => (
                Outcome {
                    class: Some(verdict.failure.class),
                    heal: verdict.failure.heal.as_str(),
                    last: false,
                    refused: verdict.refused,
                },
                Some(verdict.failure),
            ),
        };
    }
    let answer = token_answer(case);
    let failure = match &answer {
        TokenAnswer::Refused(refusal) => TokenFailure::Refused(refusal),
        TokenAnswer::Unusable(unusable) => TokenFailure::Unusable(unusable),
        TokenAnswer::Granted(_) => panic!("{}: a failure was taken for tokens", case.text("/id")),
    };
    let verdict = classify_token(case.profile(), failure, &local);
    let shown = verdict.failure().clone();
    let outcome = Outcome {
        class: Some(shown.root().class),
        heal: shown.root().heal.as_str(),
        last: matches!(verdict, Verdict::Final { .. }),
        refused: false,
    };
    (outcome, Some(shown))
}

fn cases() -> (Vec<Case>, bool) {
    let whole = Path::new(WHOLE).exists();
    let text = std::fs::read_to_string(if whole { WHOLE } else { SAMPLE }).unwrap();
    (parse(&text), whole)
}

fn parse(text: &str) -> Vec<Case> {
    text.lines()
        .map(|line| Case {
            json: serde_json::from_str(line).unwrap(),
        })
        .collect()
}

fn class_matches(case: &Case, outcome: &Outcome) -> bool {
    let truth = case.text("/truth/class");
    match outcome.class {
        None | Some(Class::NotAuth) => truth == "not_auth",
        // Not classes of the corpus: it files them under these.
        Some(Class::LoginRejected) => truth == "bad_request",
        Some(class) => truth == class.as_str(),
    }
}

/// The corpus lets a refresh count where a revoked token's session may still be renewed.
fn heal_matches(case: &Case, outcome: &Outcome) -> bool {
    let truth = case.text("/truth/heal");
    let refresh_too = case.text("/truth/class") == "access_revoked"
        && case.fact("has_refresh_token") != Some(false);
    outcome.heal == truth || refresh_too && outcome.heal == "refresh"
}

fn is_harmful(case: &Case, outcome: &Outcome) -> bool {
    let (class, heal) = (case.text("/truth/class"), case.text("/truth/heal"));
    let passes = matches!(heal, "retry_later" | "none")
        || matches!(
            class,
            "rate_limited"
                | "server_error"
                | "server_unavailable"
                | "network_intercepted"
                | "not_auth"
                | "unknown"
        );
    outcome.last && passes || outcome.refused && class == "not_auth"
}

#[test]
fn no_harmful_verdict_and_the_floors_hold() {
    let (cases, whole) = cases();
    assert!(cases.len() >= 50, "the corpus or its sample must be there");
    measure(&cases, if whole { "corpus" } else { "sample" }, whole);
}

#[test]
fn the_committed_sample_is_representative() {
    let cases = parse(&std::fs::read_to_string(SAMPLE).unwrap());
    assert!(cases.len() >= 50);
    measure(&cases, "sample", false);
}

fn measure(cases: &[Case], name: &str, whole: bool) {
    let mut right = BTreeMap::new();
    let mut harmful = Vec::new();
    let mut misses = Vec::new();
    for case in cases {
        let (outcome, _) = outcome(case);
        let group: &mut [usize; 3] = right.entry(case.text("/where").to_owned()).or_default();
        group[0] += 1;
        group[1] += usize::from(class_matches(case, &outcome));
        group[2] += usize::from(heal_matches(case, &outcome));
        if is_harmful(case, &outcome) {
            harmful.push(case.text("/id").to_owned());
        }
        if !class_matches(case, &outcome) {
            misses.push(format!(
                "{} {} {} => {} not {:?} {}",
                case.text("/id"),
                case.status(),
                case.text("/body").chars().take(140).collect::<String>(),
                case.text("/truth/class"),
                outcome.class,
                outcome.last
            ));
        }
    }
    for (place, [all, class, heal]) in &right {
        println!("{name} {place}: {all} cases, class {class}, heal {heal}");
    }
    for miss in &misses {
        println!("miss {miss}");
    }
    assert!(harmful.is_empty(), "harmful verdicts: {harmful:?}");
    if whole {
        for (place, class_floor, heal_floor) in FLOORS {
            let [all, class, heal] = right[*place];
            assert!(
                class * 100 >= all * class_floor,
                "{place}: {class} of {all} classes right"
            );
            assert!(
                heal * 100 >= all * heal_floor,
                "{place}: {heal} of {all} heals right"
            );
        }
    }
}

/// Place, and how many in a hundred have the right class and the right first step.
const FLOORS: &[(&str, usize, usize)] = &[("resource", 56, 60), ("token", 85, 82)];

#[test]
fn every_failure_is_complete() {
    for case in &cases().0 {
        let (_, failure) = outcome(case);
        let mut failure = failure.as_ref();
        while let Some(found) = failure {
            let id = case.text("/id");
            assert!(
                !found.cause.is_empty() && !found.detail.is_empty() && !found.rule.is_empty(),
                "{id}: {found:?}"
            );
            assert!(!found.evidence.is_empty(), "{id}: no evidence");
            assert!(
                found.page.ends_with(found.code.as_str()),
                "{id}: {}",
                found.page
            );
            failure = found.because.as_deref();
        }
    }
}
