//! Marked secrets go in; nothing that can be printed may show them.

mod common;

use std::fmt::Debug;
use std::sync::Arc;

use common::*;
use tenure_core::Secret;
use tenure_jose::{Alg, SigningKey};
use tenure_wire::{
    Client, ClientAuth, Dialect, Exchange, JsonFields, Request, Response, WireError, device,
    discovery, parse_redirect, parse_wcpos_redirect, pasted, revocation_answer,
};

/// Every secret holds this word, in words no random-string rule would find.
const CANARY: &str = "canary";

fn secret(what: &str) -> Secret {
    Secret::new(format!("{CANARY}-{what}"))
}

fn assert_dark(what: &str, shown: &dyn Debug) {
    let shown = format!("{shown:?} {shown:#?}");
    assert!(!shown.contains(CANARY), "{what} shows a secret: {shown}");
}

fn dialects() -> Vec<Dialect> {
    vec![
        Dialect::OAuth2,
        Dialect::JsonRefresh(JsonFields::default()),
        Dialect::WordpressTmeister,
        Dialect::WordpressUsefulteam,
        Dialect::SimpleJwtLogin { version: 3 },
        Dialect::SimpleJwtLogin { version: 4 },
        Dialect::Wcpos,
    ]
}

fn marked_client(auth: ClientAuth) -> Client {
    Client {
        id: "till".into(),
        secret: Some(secret("client-secret")),
        key: Some(Arc::new(
            SigningKey::generate(Alg::Es256, "k").expect("a key"),
        )),
        auth,
    }
}

type Started = Result<(Exchange, Request), WireError>;

fn exchanges(dialect: &Dialect) -> Vec<Started> {
    let server = server(dialect.clone());
    let mut all = Vec::new();
    for auth in [
        ClientAuth::None,
        ClientAuth::Basic,
        ClientAuth::Post,
        ClientAuth::PrivateKeyJwt,
    ] {
        let client = marked_client(auth);
        assert_dark("client", &client);
        let ctx = ctx();
        for rotate in [false, true] {
            all.push(Exchange::refresh(
                &server,
                &client,
                &secret("refresh"),
                None,
                rotate,
                &ctx,
            ));
        }
        all.push(Exchange::password(
            &server,
            &client,
            "anna",
            &secret("password"),
            None,
            &ctx,
        ));
        all.push(Exchange::client_credentials(&server, &client, None, &ctx));
        all.push(Exchange::code(
            &server,
            &client,
            &secret("code"),
            "http://127.0.0.1/",
            &secret("verifier"),
            &ctx,
        ));
        all.push(Exchange::device_token(
            &server,
            &client,
            &secret("device"),
            &ctx,
        ));
    }
    all
}

/// Answers that echo what was sent, grant marked tokens, or are cut off within one.
fn answers(request: &Request) -> Vec<Response> {
    let sent = String::from_utf8_lossy(request.body()).into_owned();
    let echo = "canary-refresh canary-password canary-code canary-verifier canary-device canary-client-secret";
    // Only what this exchange sent can be known by it.
    let echo: Vec<&str> = echo.split(' ').filter(|word| sent.contains(word)).collect();
    let echo = echo.join(" ");
    let cookie = [("set-cookie", "refresh_token=canary-cookie; Max-Age=60")];
    let tokens = r#""access_token":"canary-access","refresh_token":"canary-r2","id_token":"canary-id","token":"canary-t","jwt":"canary-j","data":{"token":"canary-t","jwt":"canary-j","refresh_token":"canary-r2"}"#;
    vec![
        json(
            400,
            &format!(
                r#"{{"error":"invalid_grant","error_description":"unknown {echo}","hint":"{echo}","suberror":"{echo}"}}"#
            ),
        ),
        json(
            400,
            &format!(r#"{{"error":"{echo} x","code":"{echo} x","message":"{echo}"}}"#),
        ),
        json(500, &sent),
        response(
            500,
            &[("content-type", "text/html")],
            &format!("<html>{echo} {sent}</html>"),
        ),
        response(
            200,
            &[("content-type", "text/html")],
            &format!("<html>{sent}</html>"),
        ),
        response(200, &cookie, &format!("{{{tokens}}}")),
        response(401, &cookie, &format!("{{{tokens}}}")),
        json(200, &format!(r#"{{"ok":false,{tokens}}}"#)),
        json(200, r#"{"token_type":"Bearer","access_token":"canary-acc"#),
        response(
            200,
            &[],
            "access_token=canary-access&error=x&refresh_token=canary-r2",
        ),
    ]
}

#[test]
fn no_exchange_and_no_answer_shows_a_secret() {
    let mut steps = 0;
    for dialect in dialects() {
        let starts = exchanges(&dialect).len();
        for at in 0..starts {
            let (_, request) = match exchanges(&dialect).swap_remove(at) {
                Ok(started) => started,
                Err(error) => {
                    assert_dark("wire error", &error);
                    assert!(!error.to_string().contains(CANARY));
                    continue;
                }
            };
            for answer in answers(&request) {
                let (mut exchange, _) =
                    exchanges(&dialect).swap_remove(at).expect("started before");
                assert_dark("exchange", &exchange);
                for _ in 0..3 {
                    assert_dark(dialect.as_str(), &exchange.on_response(&answer, &ctx()));
                    assert_dark("exchange", &exchange);
                    assert_dark("second step", &exchange.second_step_failure());
                    steps += 1;
                }
                assert_dark("salvage", &exchange.salvage());
            }
        }
    }
    assert!(steps > 500, "only {steps} steps were looked at");
}

#[test]
fn what_comes_by_browser_and_device_stays_dark() {
    let state = secret("state");
    for query in [
        "code=canary-code&state=canary-other",
        "code=canary-code&state=canary-state&code=canary-code",
        "code=canary-code&state=canary-state&iss=https://evil.example/?access_token=canary-x",
        "error=access_denied&state=canary-state&error_description=token%3Dcanary-x",
        "access_token=canary-a&state=canary-state",
        "refresh_token=canary-r&access_token=canary-a&state=canary-state",
    ] {
        let address = url(&format!("http://127.0.0.1:9/?{query}"));
        for shown in [
            parse_redirect(&address, &state, Some("https://id.example")),
            parse_redirect(&address, &state, None),
        ] {
            assert_dark(query, &shown);
            if let Err(error) = shown {
                assert!(!error.to_string().contains(CANARY), "{error}");
            }
        }
        assert_dark(query, &parse_wcpos_redirect(&address, &state, &ctx()));
    }
    assert_dark("pasted", &pasted("canary-rubbish"));
    assert_dark(
        "pasted",
        &pasted("http://x/?canary=canary-code").map(|_| ()),
    );
    let codes =
        r#"{"device_code":"canary-d","user_code":"AB","verification_uri":"https://id.example/d"}"#;
    assert_dark("device", &device::parse(&json(200, codes)));
    assert_dark("device", &device::parse(&json(400, codes)));
    assert_dark(
        "device",
        &device::parse(&json(200, r#"{"device_code":"canary-d"}"#)),
    );
    assert_dark(
        "revocation",
        &revocation_answer(&json(400, r#"{"error":"x","token":"canary-t"}"#)),
    );
    assert_dark(
        "discovery",
        &discovery::parse(&json(200, r#"{"token":"canary"}"#), "https://id.example"),
    );
    let pkce = tenure_wire::pkce::Pkce::from_random([3; 32]);
    assert!(!format!("{pkce:?}").contains(pkce.verifier.expose()));
}

/// Far above what a debug build needs, far below what anything quadratic takes.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(3);

#[test]
fn masking_takes_no_longer_for_what_repeats() {
    for piece in [
        "a=password:",
        "token:",
        "key:",
        "pwd:pwd:",
        "password:!!",
        "password:....",
        "password:[masked]",
        "a-token:x=y/",
        "error=",
        "Cookie: path=\"; ",
        "cookie: a; b c; ",
        "Bearer [masked]:",
        "[masked]key:",
    ] {
        let text = piece.repeat(65_536 / piece.len());
        let start = std::time::Instant::now();
        tenure_wire::mask(&text);
        assert!(start.elapsed() < PATIENCE, "{piece}: {:?}", start.elapsed());
    }
}

#[test]
fn a_label_after_a_label_is_not_taken_for_the_secret() {
    let shown = tenure_wire::mask("jwt Set-Cookie: sid=Zq9Zq9; Path=/ ");
    assert_eq!(shown, "jwt Set-Cookie: sid=[masked]; Path=/ ");
}
