//! What must hold for every input, not only for the ones somebody thought of.
#![allow(clippy::unwrap_used)] // Profiles named here are shipped.

use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use tenure_core::Heal;
use tenure_diagnose::profile::profiles;
use tenure_diagnose::{
    Answer, Grant, Local, Place, Profile, Seen, TokenFailure, classify_api, classify_token, judge,
    parse_profile,
};
use tenure_wire::{Refusal, Unusable};

fn any_profile() -> impl Strategy<Value = &'static Profile> {
    prop::sample::select(profiles().collect::<Vec<_>>())
}

/// Pieces of which hostile bodies are made.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let real = prop::sample::select(vec![
        "{\"error\":",
        "\"invalid_grant\"",
        "{",
        "[",
        "}",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "\\u12",
        "\\ud800",
        "<",
        "<html",
        "</",
        "<?xml ",
        "<Code>",
        "error=",
        "&",
        "\u{feff}",
        "expired or ",
        "Token ",
        "刷新令牌已过期",
        "ungültig oder ",
        "AADSTS50173",
        "HTTP/1.1 401",
        "-9",
        "1e9",
        "true",
        "<script>",
        "&#39;",
        "://",
        "_",
        "%",
    ]);
    prop_oneof![
        4 => real.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ]
}

/// Words of real refusals, mixed with noise.
fn words() -> impl Strategy<Value = String> {
    let real = prop::sample::select(vec![
        "invalid_grant",
        "invalid_client",
        "invalid_refresh_token",
        "jwt_auth_expired_refresh_token",
        "error_code:51",
        "AADSTS700082: expired",
        "Refresh token already used",
        "revoked",
        "expired",
        "invalid_token",
        "token_expired",
    ]);
    prop_oneof![real.prop_map(str::to_owned), ".{0,60}"]
}

proptest! {
    #[test]
    fn throttling_and_failing_servers_never_end_a_session(
        profile in any_profile(),
        status in prop_oneof![Just(429u16), 500u16..600],
        error in words(),
        description in words(),
        unknown_outcome: bool,
    ) {
        let refusal = Refusal {
            status, error: Some(error), description: Some(description), sub: None, retry_after: None, body: String::new(),
        };
        let local = Local { unknown_outcome, session: "s".into(), ..Local::default() };
        let verdict = classify_token(profile, TokenFailure::Refused(&refusal), &local);
        prop_assert!(!verdict.is_final());
        prop_assert_ne!(verdict.failure().heal, Heal::Relogin);
    }

    #[test]
    fn what_is_no_answer_never_ends_a_session(profile in any_profile(), status in 100u16..600, body in ".{0,80}") {
        let unusable = Unusable { status, why: "html", retry_after: None, location: None, body_start: body };
        let verdict = classify_token(profile, TokenFailure::Unusable(&unusable), &Local::default());
        prop_assert!(!verdict.is_final());
    }

    #[test]
    fn a_final_verdict_names_a_person_or_a_place_to_act(
        profile in any_profile(), status in 200u16..600, error in words(), description in words(),
    ) {
        let refusal = Refusal {
            status, error: Some(error), description: Some(description), sub: None, retry_after: None, body: String::new(),
        };
        let local = Local { grant: Grant::RefreshToken, ..Local::default() };
        let verdict = classify_token(profile, TokenFailure::Refused(&refusal), &local);
        if verdict.is_final() {
            prop_assert!(!matches!(verdict.failure().heal, Heal::RetryLater | Heal::None | Heal::Refresh));
        }
    }

    #[test]
    fn no_answer_of_an_api_upsets_the_classifier(
        profile in any_profile(),
        status in 100u16..600,
        challenge in "[ -~]{0,80}",
        body in prop::collection::vec(any::<u8>(), 0..200),
        token_sent: bool,
    ) {
        let mut headers = HeaderMap::new();
        headers.insert("www-authenticate", HeaderValue::from_str(&challenge).unwrap());
        let local = Local { token_sent, has_refresh: true, ..Local::default() };
        let verdict = classify_api(profile, &Seen { status, headers: &headers, body_start: &body }, &local);
        if let Some(verdict) = verdict {
            prop_assert!(!verdict.refused || token_sent);
            prop_assert!(!verdict.failure.rule.is_empty());
        }
    }

    #[test]
    fn no_raw_answer_upsets_the_judge(
        token: bool,
        status in 100u16..1000,
        pieces in prop::collection::vec(piece(), 0..40),
    ) {
        let body = pieces.concat();
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("text/html"));
        let place = if token { Place::Token } else { Place::Resource };
        let answer = Answer { place, status, headers: &headers, body: &body };
        let finding = judge(&answer, &Local::default(), None);
        prop_assert!(!finding.failure.rule.is_empty());
        prop_assert!(!finding.proven || token && matches!(status, 200 | 400 | 401 | 403));
        prop_assert!(!finding.refused);
    }

    #[test]
    fn no_pasted_text_upsets_the_reader(text in "(HTTP/1.1 |401|\\{|\"|: |\r|\n|<|> |é|a){0,60}") {
        let _ = tenure_diagnose::http_text::parse(&text);
        let _ = tenure_diagnose::lines::classify_line(&text);
    }

    #[test]
    fn no_text_upsets_the_profile_parser(text in "(name|title|=|\"|\\[|\\]|\n|[a-z é]){0,60}") {
        let _ = parse_profile(&text, "any.toml").map_err(|error| error.to_string());
    }
}
