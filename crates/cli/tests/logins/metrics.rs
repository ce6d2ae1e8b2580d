//! `GET /metrics`.

use crate::common::{get, request, wait_for};
use crate::support::Example;

/// The value of a sample.
fn sample(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find(|line| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(' '))
    })?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn sessions_and_refreshes_are_told_in_the_text_format() {
    let example = Example::start();
    let read = || example.up.admin("/metrics");
    let answer = read();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let refreshed = "tenure_refreshes_total{session=\"shop\",outcome=\"refreshed\"}";
    assert!(sample(&answer.body, refreshed).is_some(), "{answer:?}");
    let url = format!("{}/api/v1/sessions/shop/refresh", example.up.url("admin"));
    assert_eq!(request("POST", &url, &[], "").status, 200);
    let text = wait_for("the refresh to be counted", || {
        let text = read().body;
        sample(&text, refreshed)
            .is_some_and(|count| count >= 1.0)
            .then_some(text)
    });
    let value = |name: &str| sample(&text, name).unwrap_or_else(|| panic!("no {name} in {text}"));
    let fresh = value("tenure_session_state{session=\"shop\",state=\"fresh\"}");
    let due = value("tenure_session_state{session=\"shop\",state=\"due\"}");
    assert!((fresh + due - 1.0).abs() < f64::EPSILON, "{text}");
    assert!(value("tenure_session_state{session=\"shop\",state=\"needs_login\"}") < 0.5);
    assert!(value("tenure_session_generation{session=\"shop\"}") >= 2.0);
    assert!(value("tenure_session_access_expires_seconds{session=\"shop\"}") > 0.0);
    assert!(value("tenure_session_unsaved{session=\"shop\"}") < 0.5);
    assert!(value("process_start_time_seconds") > 1e9);
    assert!(!text.contains("eyJ"), "a token in {text}");
    assert!(!text.contains(&example.password), "the password in {text}");
}

#[test]
fn every_family_is_described_before_its_samples() {
    let example = Example::start();
    let text = example.up.admin("/metrics").body;
    let mut described = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            described.push(rest.split(' ').next().unwrap());
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            assert_eq!(described.last(), Some(&name), "{text}");
        }
    }
    assert_eq!(described.len(), 6, "{text}");
    assert!(text.ends_with('\n'), "{text:?}");
}

#[test]
fn metrics_are_for_this_machine_only() {
    let example = Example::start();
    let url = format!("{}/metrics", example.up.url("admin"));
    assert_eq!(get(&url).status, 200);
    let ask = |header| request("GET", &url, &[header], "").status;
    assert_eq!(ask(("host", "evil.example")), 421);
    assert_eq!(ask(("origin", "https://evil.example")), 403);
    assert_eq!(ask(("sec-fetch-site", "cross-site")), 403);
}
