//! No answer of a token endpoint upsets its readers, in any dialect, and what was sent is never shown.
#![no_main]

use http::StatusCode;
use libfuzzer_sys::fuzz_target;
use tenure_core::Secret;
use tenure_wire::{
    Client, Ctx, Dialect, Exchange, JsonFields, Response, Server, Step, TokenAnswer, device,
    discovery, retry_after,
};

const SENT: &str = "a-refresh-secret-that-was-sent";

fuzz_target!(|data: &[u8]| {
    let Some(response) = response(data) else {
        return;
    };
    for dialect in dialects() {
        exchange(dialect, &response);
    }
    let _ = device::parse(&response);
    let _ = discovery::parse(&response, "https://id.example");
    let _ = discovery::parse_rest_index(&response);
    let _ = retry_after(response.headers());
});

fn response(data: &[u8]) -> Option<Response> {
    let heard = tenure_fuzz::heard(data)?;
    let mut response = Response::new(heard.body.into());
    *response.status_mut() = StatusCode::from_u16(heard.status).ok()?;
    *response.headers_mut() = heard.headers;
    Some(response)
}

fn dialects() -> [Dialect; 5] {
    [
        Dialect::OAuth2,
        Dialect::JsonRefresh(JsonFields::default()),
        Dialect::WordpressUsefulteam,
        Dialect::SimpleJwtLogin { version: 1 },
        Dialect::Wcpos,
    ]
}

/// A refresh of which every answer is this one.
fn exchange(dialect: Dialect, response: &Response) {
    let server = Server::new(
        dialect,
        "https://id.example/token".parse().expect("an address"),
    );
    let client = Client::public("till-7");
    let ctx = Ctx {
        now_s: 1_767_225_600,
        jti: "j".into(),
    };
    let sent = Secret::new(SENT);
    let (mut exchange, _) = Exchange::refresh(&server, &client, &sent, None, true, &ctx)
        .expect("these dialects can refresh");
    for _ in 0..4 {
        if let Step::Done(answer) = exchange.on_response(response, &ctx) {
            return check(&answer);
        }
    }
    panic!("the exchange never ends");
}

fn check(answer: &TokenAnswer) {
    let shown = format!("{answer:?}");
    assert!(!shown.contains(SENT), "what was sent is shown: {shown}");
}
