//! Holds the line on the corpus of failures, and checks that every verdict on it is complete.
#![allow(clippy::unwrap_used)] // A test that cannot read its data must stop.

use tenure_core::{Heal, Secret};
use tenure_diagnose::corpus::measure;
use tenure_diagnose::lines::{Line, classify_line};
use tenure_diagnose::{Place, TokenFailure, classify_token, profile};
use tenure_wire::{Client, Ctx, Exchange, Server, Step, TokenAnswer};

const CORPUS: &str = include_str!("data/failures.jsonl");
/// Answers that look like the end of a login and are none, and their neighbours that are.
const HARMLESS: &str = include_str!("data/harmless.jsonl");

#[test]
fn the_line_is_held_and_no_verdict_does_harm() {
    let report = measure(CORPUS).unwrap();
    let total = report.total();
    for miss in report.misses() {
        println!(
            "{} ({}): {} instead of {}",
            miss.id, miss.system, miss.got, miss.wanted
        );
    }
    assert!(total.all >= 900);
    assert!(
        total.class_percent() >= 98.0,
        "{:.1} % of the classes",
        total.class_percent()
    );
    assert!(
        total.heal_percent() >= 99.0,
        "{:.1} % of the first steps",
        total.heal_percent()
    );
    assert_eq!(total.harmful, 0);
}

/// Answers written after the rules, to see what they make of what nobody had shown them: 93 to 95 % of the
/// classes at first sight, one of 352 harmful. The rules have learnt from them since.
#[test]
fn further_answers_stay_right() {
    let report = measure(include_str!("data/further.jsonl")).unwrap();
    for miss in report.misses() {
        println!(
            "{} ({}): {} instead of {}",
            miss.id, miss.system, miss.got, miss.wanted
        );
    }
    let total = report.total();
    assert!(
        total.class_percent() >= 99.0 && total.heal_percent() >= 99.0,
        "{total:?}"
    );
    assert_eq!(total.harmful, 0);
}

#[test]
fn what_only_looks_like_the_end_of_a_login_is_told_apart() {
    holds_wholly(HARMLESS);
}

/// Tokens, codes and sessions that an API keeps for somebody, and the same words where the caller's own is meant.
#[test]
fn a_token_that_is_a_thing_is_told_from_the_callers() {
    holds_wholly(include_str!("data/things.jsonl"));
}

/// What shops, tills and their like answer about logins, tokens, keys and licences of terminals, guests, coupons and
/// carts, in five languages; 14 of the first 71, 2 of the next 48 and 3 of the last 35 would have done harm at first
/// sight, each time before the rules had learnt from them. Beside them the same words about the caller's own.
#[test]
fn logins_and_tokens_of_others_are_told_from_the_callers() {
    holds_wholly(include_str!("data/business.jsonl"));
}

/// Consents of bank accounts, gRPC, SOAP, sessions in many languages, limits and keys of other systems.
#[test]
fn shapes_of_single_systems_are_known() {
    holds_wholly(include_str!("data/systems.jsonl"));
}

/// Sixty answers of hospitals, parcels, charge points, hotels, tax offices and others, labelled before the rules saw
/// them: 90 % of the classes and 92 % of the first steps at first sight, four harmful. The rules have learnt since.
#[test]
fn answers_of_other_trades_stay_right() {
    let total = measure(include_str!("data/fresh.jsonl")).unwrap().total();
    assert!(total.class_percent() >= 96.0, "{total:?}");
    assert_eq!((total.heal, total.harmful), (total.all, 0));
}

/// Seventy-four answers of known systems, labelled before the rules saw them: 93 % of the classes and 95 % of the first
/// steps at first sight, one harmful; four of the labels, the harmful one's among them, were at odds with those of the
/// corpus for the same answers, and were put right. Two misses were the rules'.
#[test]
fn answers_held_out_stay_right() {
    holds_wholly(include_str!("data/heldout.jsonl"));
}

fn holds_wholly(corpus: &str) {
    let report = measure(corpus).unwrap();
    let misses: Vec<String> = report
        .misses()
        .map(|miss| format!("{}: {} instead of {}", miss.id, miss.got, miss.wanted))
        .collect();
    assert!(misses.is_empty(), "{}", misses.join("\n"));
}

#[test]
fn every_verdict_is_complete() {
    for text in CORPUS.lines() {
        let line = Line::parse(text).unwrap();
        let failure = line.judge().failure;
        let id = &line.id;
        assert!(
            !failure.cause.is_empty() && !failure.detail.is_empty() && !failure.rule.is_empty(),
            "{id}"
        );
        assert!(!failure.evidence.is_empty(), "{id}: no evidence");
        assert!(
            failure.page.ends_with(failure.code.as_str()),
            "{id}: {}",
            failure.page
        );
    }
}

#[test]
fn a_line_comes_out_with_the_keys_of_the_contract() {
    for text in CORPUS.lines().take(20) {
        let out = classify_line(text).unwrap();
        let keys: Vec<&String> = out.as_object().unwrap().keys().collect();
        assert_eq!(
            keys,
            [
                "id", "class", "code", "cause", "heal", "who", "rule", "evidence"
            ]
        );
    }
}

#[test]
fn slips_in_lines_are_named() {
    for (text, said) in [
        ("nonsense", "not a JSON object"),
        ("[]", "not a JSON object"),
        ("{}", "key `status`"),
        (
            r#"{"statsu":401}"#,
            "key `statsu`: not known; did you mean `status`?",
        ),
        (r#"{"status":401,"hedaers":{}}"#, "did you mean `headers`?"),
        (
            r#"{"status":401,"local":{"acces_token_sent":true}}"#,
            "key `local.acces_token_sent`: not known; did you mean `local.access_token_sent`?",
        ),
        (
            r#"{"status":401,"request":{"grants":"password"}}"#,
            "did you mean `request.grant`?",
        ),
        (r#"{"status":"401"}"#, "key `status`"),
        (r#"{"status":401,"where":"here"}"#, "key `where`"),
        (r#"{"status":401,"headers":4}"#, "key `headers`"),
        (
            r#"{"status":401,"headers":[["a"]]}"#,
            "key `headers[0]`: not a pair",
        ),
        (
            r#"{"status":401,"headers":[["a","b"],{"nmae":"a","value":"b"}]}"#,
            "did you mean `headers[1].name`?",
        ),
        (
            r#"{"status":401,"headers":[["WWW-Authentcate","Bearer"]]}"#,
            "did you mean `headers.www-authenticate`?",
        ),
        (
            r#"{"status":401,"headers":{"www-autenticate":"Bearer"}}"#,
            "key `headers.www-autenticate`: not known",
        ),
        (
            r#"{"status":401,"headers":{"a b":"c"}}"#,
            "key `headers.a b`",
        ),
        (
            r#"{"status":401,"local":{"access_token_sent":"yes"}}"#,
            "key `local.access_token_sent`",
        ),
        (
            r#"{"status":401,"request":{"grant":5}}"#,
            "key `request.grant`",
        ),
    ] {
        let error = classify_line(text).unwrap_err().to_string();
        assert!(error.contains(said), "{text}: {error}");
    }
}

#[test]
fn a_header_may_have_many_values_and_a_line_may_say_more() {
    let line = r#"{"status":401,"note":"from the till","state":1,"local":{"shop":4},
        "headers":{"www-authenticate":["Negotiate","Bearer error=\"invalid_token\""]}}"#;
    assert_eq!(classify_line(line).unwrap()["class"], "access_invalid");
    assert_eq!(Line::parse(line).unwrap().unheeded, ["local.shop"]);
    for pairs in [
        r#"[["WWW-Authenticate","Negotiate"],["www-authenticate","Bearer error=\"invalid_token\""],["content-size",4]]"#,
        r#"[{"name":"www-authenticate","value":"Bearer error=\"invalid_token\""}]"#,
    ] {
        let line = format!("{{\"status\":401,\"headers\":{pairs}}}");
        assert_eq!(classify_line(&line).unwrap()["class"], "access_invalid");
    }
}

/// What the keeper makes of the same answers, through the wire crate: nothing that can pass may end a session.
#[test]
fn what_can_pass_never_ends_a_session() {
    for text in CORPUS.lines().chain(HARMLESS.lines()) {
        let line = Line::parse(text).unwrap();
        let json: serde_json::Value = serde_json::from_str(text).unwrap();
        if line.place != Place::Token || line.local.grant != tenure_diagnose::Grant::RefreshToken {
            continue;
        }
        let profile = line.provider.or(profile("oauth2")).unwrap();
        let server = Server::new(
            profile.wire_dialect(),
            "https://id.example/token".parse().unwrap(),
        );
        let ctx = Ctx {
            now_s: 1_715_678_813,
            jti: "1".to_owned(),
        };
        let held = Secret::new("refresh-canary-1");
        let (mut exchange, _) =
            Exchange::refresh(&server, &Client::public("till"), &held, None, false, &ctx).unwrap();
        let mut response = http::Response::new(line.body.clone().into());
        *response.status_mut() = line.status.try_into().unwrap();
        *response.headers_mut() = line.headers.clone();
        let Step::Done(answer) = exchange.on_response(&response, &ctx) else {
            panic!("{}: a failure asks for no second request", line.id)
        };
        let failure = match &answer {
            TokenAnswer::Refused(refusal) => TokenFailure::Refused(refusal),
            TokenAnswer::Unusable(unusable) => TokenFailure::Unusable(unusable),
            TokenAnswer::Granted(_) => panic!("{}: a failure was taken for tokens", line.id),
        };
        let verdict = classify_token(profile, failure, &line.local);
        let heal = json["truth"]["heal"].as_str().unwrap();
        let passes = matches!(heal, "retry_later" | "none");
        assert!(
            !(verdict.is_final() && passes),
            "{}: {:?}",
            line.id,
            verdict.failure()
        );
        assert!(
            verdict.is_final() || verdict.failure().heal != Heal::Relogin,
            "{}",
            line.id
        );
    }
}

#[test]
fn a_provider_without_a_profile_is_judged_without_one() {
    let out = classify_line(r#"{"status":429,"provider":"wcpo"}"#).unwrap();
    assert_eq!(out["class"], "rate_limited");
    assert!(
        out["evidence"].to_string().contains("did you mean"),
        "{out}"
    );
}
