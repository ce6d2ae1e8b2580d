//! APIs whose answers are long, or never end.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use tenure_lab::{FaultyIssuer, IssuerConfig};

use crate::support::{Findings, doctor, home_with, import};

/// An API that answers everything with this head and a body without an end.
fn endless(head: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            thread::spawn(move || pour(socket, head));
        }
    });
    format!("http://{address}")
}

/// Writes until the other side has had enough.
fn pour(mut socket: TcpStream, head: &str) {
    let mut lines = BufReader::new(socket.try_clone().expect("a socket")).lines();
    while lines
        .next()
        .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
    {}
    let mut wrote = write!(socket, "HTTP/1.1 {head}\r\nconnection: close\r\n\r\n");
    while wrote.is_ok() {
        wrote = socket.write_all(&[b' '; 8 * 1024]);
    }
}

fn examined(head: &'static str) -> Findings {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let home = home_with(&issuer.url(), &endless(head), "");
    import(&home, &issuer.issue());
    doctor(&home)
}

#[test]
fn a_long_refusal_is_judged_by_its_start() {
    let found = examined(
        "401 Unauthorized\r\nwww-authenticate: Bearer error=\"invalid_token\", error_description=\"The access token expired\"\r\ncontent-type: application/json\r\ncontent-length: 99000000",
    );
    let api = found.check("api");
    assert_eq!(api["failure"]["code"], "API02002", "{:#}", found.json);
    assert_eq!(found.outcome("http"), "ok", "{:#}", found.json);
}

#[test]
fn an_answer_without_an_end_is_no_broken_connection() {
    let found = examined("200 OK\r\ncontent-type: application/octet-stream");
    assert_eq!(found.outcome("http"), "ok", "{:#}", found.json);
    assert_eq!(found.outcome("api"), "ok", "{:#}", found.json);
}
