//! Answers made to hurt: deep, endless, broken.
#![allow(clippy::unwrap_used)] // Headers here are constants.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue};
use tenure_diagnose::{Answer, Finding, Local, Place, judge};

fn judged(headers: &HeaderMap, body: &[u8]) -> Finding {
    let answer = Answer {
        place: Place::Token,
        status: 400,
        headers,
        body,
    };
    judge(&answer, &Local::default(), None)
}

/// Far above what a debug build needs, far below what anything quadratic would take.
const PATIENCE: Duration = Duration::from_secs(2);

#[test]
fn nothing_deep_endless_or_broken_takes_long() {
    let none = HeaderMap::new();
    let megabyte = 1 << 20;
    let bodies: Vec<Vec<u8>> = vec![
        b"[".repeat(megabyte),
        b"{\"a\":".repeat(megabyte / 5),
        b"<a>".repeat(megabyte / 3),
        b"<script".repeat(megabyte / 7),
        b"<".repeat(megabyte),
        b"\"\\".repeat(megabyte / 2),
        b"\xff\xfe".repeat(megabyte / 2),
        b"\xfe\xff\xd8\x00".repeat(megabyte / 4),
        b"expired or invalid ".repeat(megabyte / 19),
        "刷新令牌已过期".repeat(megabyte / 21).into_bytes(),
        b"a=b&".repeat(megabyte / 4),
        b"{\"error\":\"{\\\"error\\\":".repeat(megabyte / 20),
        vec![0; megabyte],
        b"A_".repeat(megabyte / 2),
    ];
    for body in bodies {
        let start = Instant::now();
        let finding = judged(&none, &body);
        assert!(
            start.elapsed() < PATIENCE,
            "{:?}…",
            String::from_utf8_lossy(&body[..20])
        );
        assert!(
            finding
                .failure
                .evidence
                .iter()
                .all(|fact| fact.value.len() <= 400)
        );
    }
}

#[test]
fn megabytes_of_headers_are_passed_over() {
    let mut headers = HeaderMap::new();
    for number in 0..2_000 {
        let name = HeaderName::try_from(format!("x-error-{number}")).unwrap();
        headers.insert(
            name,
            HeaderValue::from_bytes(&b"expired ".repeat(100)).unwrap(),
        );
    }
    for _ in 0..50 {
        headers.append(
            "www-authenticate",
            HeaderValue::from_bytes(&b"Bearer a=\"b\", ".repeat(2_000)).unwrap(),
        );
    }
    let start = Instant::now();
    judged(&headers, b"{}");
    assert!(start.elapsed() < PATIENCE);
}

#[test]
fn only_the_start_of_a_body_counts() {
    let mut body = b"{\"padding\":\"".to_vec();
    body.extend(b"x".repeat(70_000));
    body.extend(b"\",\"error\":\"invalid_grant\"}");
    let finding = judged(&HeaderMap::new(), &body);
    assert!(!finding.proven, "{:?}", finding.failure);
}

#[test]
fn a_truncated_refusal_is_still_read() {
    let body = br#"{"error":"invalid_grant","error_description":"The refresh tok"#;
    let finding = judged(&HeaderMap::new(), body);
    assert_eq!(finding.failure.class.as_str(), "refresh_invalid");
}
