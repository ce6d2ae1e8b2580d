//! APIs that refuse a token that is good, and say why wrongly or not at all.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use tenure_lab::{FaultyIssuer, IssuerConfig};

use crate::support::{Findings, doctor, home_with, import};

/// An API that gives this answer to everybody.
fn api(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            reply(socket, answer);
        }
    });
    format!("http://{address}")
}

/// One that hangs up early is no concern of the test's.
fn reply(mut socket: TcpStream, answer: &str) {
    let mut lines = BufReader::new(socket.try_clone().expect("a socket")).lines();
    while lines
        .next()
        .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
    {}
    let (head, body) = answer.split_once('\n').expect("a head and a body");
    drop(write!(
        socket,
        "HTTP/1.1 {head}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    ));
}

fn examined(answer: &'static str) -> Findings {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let home = home_with(&issuer.url(), &api(answer), "");
    import(&home, &issuer.issue());
    doctor(&home)
}

#[test]
fn a_token_with_time_left_that_an_api_calls_expired() {
    let found = examined(
        "401 Unauthorized\n{\"error\":\"token_expired\",\"message\":\"The token expired\"}",
    );
    assert_eq!(found.code(), "API02002", "{:#}", found.json);
    assert_eq!(found.outcome("api"), "fail", "{:#}", found.json);
    assert_ne!(found.ran.code, 0, "{:#}", found.json);
    let steps = found.steps().join("\n");
    assert!(steps.contains("Compare the API's clock"), "{steps}");
}

#[test]
fn a_bare_403_may_be_about_the_token() {
    let found = examined("403 Forbidden\n{}");
    let says = found.check("api")["says"].as_str().unwrap_or_default();
    assert!(says.contains("does not say why"), "{:#}", found.json);
}
