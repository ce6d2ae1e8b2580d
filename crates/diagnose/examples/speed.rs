//! How long a verdict takes: `cargo run --release -p tenure-diagnose --example speed`.
#![allow(clippy::unwrap_used)] // A tool for developers.

use std::hint::black_box;
use std::time::Instant;

use http::{HeaderMap, HeaderValue};
use tenure_diagnose::{Answer, Local, Place, judge};

fn main() {
    let start = Instant::now();
    tenure_diagnose::classify::rules::prepare();
    println!(
        "compiling the rules, once: {:.1} ms",
        start.elapsed().as_secs_f64() * 1e3
    );
    let filler = |length: usize| {
        "Please ask your administrator to look at the trace below. "
            .chars()
            .cycle()
            .take(length)
            .collect::<String>()
    };
    let json = |length: usize| {
        format!(
            "{{\"error\":{{\"code\":\"Refused\",\"message\":\"The bearer token has expired. {}\",\"trace\":\"00-ab\"}}}}",
            filler(length)
        )
    };
    let html = |length: usize| {
        format!(
            "<html><title>Oops</title><body><p>{}</p></body></html>",
            filler(length)
        )
    };
    // A part of a name picks out cases, for a profiler's sake.
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let local = Local {
        token_sent: true,
        has_refresh: true,
        ..Local::default()
    };
    for (name, status, body) in [
        ("short JSON", 401, json(10)),
        ("JSON of 2 KB", 401, json(1_950)),
        ("page of 2 KB", 403, html(1_950)),
        ("JSON of 64 KB", 401, json(64_000)),
        ("JSON of 1 MB", 401, json(1_000_000)),
        ("nothing", 401, String::new()),
    ]
    .into_iter()
    .filter(|(name, ..)| name.contains(&wanted))
    {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        headers.insert(
            "www-authenticate",
            HeaderValue::from_static("Bearer error=\"invalid_token\""),
        );
        let answer = Answer {
            place: Place::Resource,
            status,
            headers: &headers,
            body: body.as_bytes(),
        };
        let run = |times: u32| {
            let start = Instant::now();
            for _ in 0..times {
                black_box(judge(black_box(&answer), &local, None));
            }
            start.elapsed().as_secs_f64() * 1e6 / f64::from(times)
        };
        run(2_000);
        // Short runs, the best of many: a busy machine interrupts long ones.
        let best = (0..300).map(|_| run(100)).fold(f64::MAX, f64::min);
        println!("{name}: {best:.2} µs");
    }
}
