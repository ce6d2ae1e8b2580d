//! Whatever comes from outside, nothing panics and nothing grows.

mod common;

use common::*;
use http::{HeaderValue, StatusCode};
use proptest::prelude::*;
use tenure_core::Secret;
use tenure_wire::{
    Client, Dialect, Exchange, JsonFields, Response, Step, TokenAnswer, device, discovery, mask,
    parse_redirect, parse_wcpos_redirect, pasted, retry_after, revocation_answer,
};

fn dialect() -> impl Strategy<Value = Dialect> {
    prop_oneof![
        Just(Dialect::OAuth2),
        Just(Dialect::JsonRefresh(JsonFields::default())),
        Just(Dialect::WordpressTmeister),
        Just(Dialect::WordpressUsefulteam),
        (0_u8..6).prop_map(|version| Dialect::SimpleJwtLogin { version }),
        Just(Dialect::Wcpos),
    ]
}

/// JSON of the names that mean something, with values of any type.
fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,12}".prop_map(Into::into),
        Just(serde_json::Value::from(
            "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.AA"
        )),
    ];
    let name = prop_oneof![
        Just("access_token"),
        Just("refresh_token"),
        Just("token"),
        Just("jwt"),
        Just("data"),
        Just("error"),
        Just("errors"),
        Just("errcode"),
        Just("error_code"),
        Just("error_codes"),
        Just("code"),
        Just("message"),
        Just("error_description"),
        Just("expires_in"),
        Just("expires_at"),
        Just("authed_user"),
        Just("scope"),
        Just("success"),
        Just("ok"),
        Just("status"),
        Just("issuer"),
        Just("token_endpoint"),
        Just("namespaces"),
        Just("device_code"),
        Just("user_code"),
        Just("verification_uri"),
        Just("interval"),
    ];
    leaf.prop_recursive(3, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::vec((name.clone(), inner), 0..8).prop_map(|fields| {
                fields
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect::<serde_json::Value>()
            }),
        ]
    })
    .prop_map(|value| value.to_string())
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        json_text().prop_map(String::into_bytes),
        (json_text(), 0_usize..400).prop_map(|(text, cut)| text
            .into_bytes()
            .into_iter()
            .take(cut)
            .collect()),
        (".{0,20}", json_text(), ".{0,20}").prop_map(|(a, b, c)| format!("{a}{b}{c}").into_bytes()),
        "(access_token|error|token|<b>)?[=&%a-z\"{}:<>é]{0,60}".prop_map(String::into_bytes),
    ]
}

fn answer() -> impl Strategy<Value = Response> {
    let name = prop_oneof![
        Just("content-type"),
        Just("set-cookie"),
        Just("retry-after"),
        Just("date"),
    ];
    let text = prop_oneof![
        "refresh_token=[ -~]{0,20}(; (Max-Age|expires)=[ -~]{0,30})?",
        "[0-9.eE+-]{1,25}",
        "application/(json|x-www-form-urlencoded)|text/html",
        "[ -~]{0,40}",
    ];
    (
        100_u16..1000,
        prop::collection::vec((name, text), 0..4),
        body(),
    )
        .prop_map(|(status, headers, body)| {
            let mut response = Response::new(body.into());
            *response.status_mut() = StatusCode::from_u16(status).expect("100 to 999 are statuses");
            for (name, text) in headers {
                if let Ok(value) = HeaderValue::from_str(&text) {
                    response.headers_mut().append(name, value);
                }
            }
            response
        })
}

fn start(dialect: Dialect) -> Exchange {
    let server = server(dialect);
    let (client, secret) = (Client::public("c"), Secret::new("held-secret"));
    let started = match server.dialect {
        Dialect::WordpressTmeister => {
            Exchange::password(&server, &client, "u", &secret, None, &ctx())
        }
        _ => Exchange::refresh(&server, &client, &secret, None, true, &ctx()),
    };
    started.expect("a start").0
}

proptest! {
    #[test]
    fn any_answer_in_any_dialect(dialect in dialect(), answers in prop::collection::vec(answer(), 1..4)) {
        let mut exchange = start(dialect);
        for answer in &answers {
            let status = answer.status();
            match exchange.on_response(answer, &ctx()) {
                Step::Send(_) => prop_assert!(status.is_success()),
                Step::Done(TokenAnswer::Granted(granted)) => prop_assert!(!granted.access.is_empty()),
                Step::Done(TokenAnswer::Refused(refusal)) => {
                    prop_assert!(refusal.body.len() <= 2048);
                    prop_assert!(!refusal.body.contains("held-secret"));
                }
                Step::Done(TokenAnswer::Unusable(unusable)) => prop_assert!(!unusable.why.is_empty()),
            }
        }
        let _ = format!("{exchange:?}");
    }

    #[test]
    fn any_answer_to_the_other_parsers(answer in answer()) {
        let _ = device::parse(&answer).map_err(|refusal| device::poll(&refusal));
        let _ = discovery::parse(&answer, "https://id.example");
        let _ = discovery::parse_rest_index(&answer);
        let _ = revocation_answer(&answer);
        let _ = retry_after(answer.headers());
    }

    #[test]
    fn any_text_pasted_or_redirected(text in "(https?://)?.{0,40}[?#&](code|state|error|iss)=.{0,40}") {
        let state = Secret::new("st");
        if let Ok(url) = pasted(&text) {
            let _ = parse_redirect(&url, &state, Some("https://id.example"));
            let _ = parse_wcpos_redirect(&url, &state, &ctx());
        }
    }

    #[test]
    fn no_random_token_survives_masking(bytes: [u8; 32], before in "[a-z ]{0,20}[ :'\"]", after in "[ ,'\"][a-z ]{0,20}") {
        let hex: String = bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        for token in [tenure_jose::b64url(bytes), hex] {
            let masked = mask(&format!("{before}{token}{after}"));
            prop_assert!(!masked.contains(&token[..16]), "{masked}");
        }
    }

    #[test]
    fn masking_any_text(text in ".{0,200}") {
        let once = mask(&text);
        prop_assert_eq!(mask(&once), once);
    }

    #[test]
    fn issuers_differ_or_they_do_not(a in "https?://[a-c]{1,2}(:[0-9]{1,4})?(/[a-b]{0,2}){0,2}", b in "https?://[a-c]{1,2}(:[0-9]{1,4})?(/[a-b]{0,2}){0,2}") {
        prop_assert_eq!(discovery::difference(&a, &b).is_none(), a == b);
    }
}
