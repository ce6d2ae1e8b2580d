//! From nothing to a protected answer with one command, and steady traffic over many lifetimes.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tenure_lab::Process;

use crate::common::{Answer, Home};
use crate::support::{Setup, Stage, ask, from_env, steadily};

#[test]
fn the_line_to_try_gets_the_orders() {
    let home = Home::new();
    let free = "127.0.0.1:0";
    let ports = ["--listen", free, "--admin", free, "--issuer-listen", free];
    let mut up = Process::spawn(&mut home.command(&[&["up"], &ports[..]].concat()));
    let line = up.wait_for_line("curl http://");
    let url = line.split_whitespace().next_back().expect("the address");
    let answer = ask("GET", url, &[], "").expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    let orders = answer.json()["orders"].as_array().map(Vec::len);
    assert!(orders.is_some_and(|count| count > 0), "{answer:?}");
    up.interrupt();
    assert_eq!(up.wait().code(), Some(0), "{}", up.stderr());
}

/// Lifetime of the access tokens under steady traffic, in seconds.
const LIFETIME_S: u64 = 2;

/// `TENURE_TRAFFIC_S` makes it longer than four lifetimes.
#[test]
fn traffic_over_many_lifetimes_sees_the_api_only() {
    let stage = Setup {
        access_ttl_s: LIFETIME_S,
        ..Setup::default()
    }
    .stage();
    let up = stage.up();
    let seconds = from_env("TENURE_TRAFFIC_S", 4 * LIFETIME_S);
    let (done, number) = (AtomicBool::new(false), AtomicU64::new(0));
    let url = up.gateway_url("/orders");
    let pause = Duration::from_millis(10);
    let (read, posted) = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| steadily(&done, pause, || ask("GET", &url, &[], ""))))
            .collect();
        let writer = scope.spawn(|| {
            steadily(&done, pause, || {
                let order = json!({ "number": number.fetch_add(1, Ordering::SeqCst) });
                ask(
                    "POST",
                    &url,
                    &[("content-type", "application/json")],
                    &order.to_string(),
                )
            })
        });
        std::thread::sleep(Duration::from_secs(seconds)); // paced: the length of the run is the matter
        done.store(true, Ordering::SeqCst);
        let read: Vec<_> = readers
            .into_iter()
            .flat_map(|reader| reader.join().expect("a caller"))
            .collect();
        (read, writer.join().expect("a caller"))
    });
    for answer in &read {
        own(answer, 200);
    }
    for answer in &posted {
        own(answer, 201);
    }
    assert!(read.len() > 100, "that was no traffic: {}", read.len());
    arrived_once(&stage, 0..number.load(Ordering::SeqCst));
    let exchanges = stage.issuer.exchanges();
    assert!(
        exchanges.len() as u64 >= seconds / LIFETIME_S - 1,
        "too few renewals: {exchanges:?}"
    );
    assert_eq!(stage.issuer.most_presented(), 1, "{exchanges:?}");
    // Renewed in the last third of each life, not all the time.
    assert!(
        exchanges.len() as u64 <= 2 * seconds / LIFETIME_S + 1,
        "too many renewals: {exchanges:?}"
    );
    up.stop();
}

fn own(answer: &std::io::Result<Answer>, status: u16) {
    let answer = answer.as_ref().expect("an answer");
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("tenure-code"), None, "{answer:?}");
}

/// Each order with these numbers was accepted by the API exactly once.
pub fn arrived_once(stage: &Stage, numbers: std::ops::Range<u64>) {
    let posted = stage.issuer.orders_posted();
    let distinct: BTreeSet<u64> = posted
        .iter()
        .filter_map(|order: &Value| order["number"].as_u64())
        .collect();
    assert_eq!(distinct, numbers.collect(), "orders are missing");
    assert_eq!(posted.len(), distinct.len(), "orders arrived twice");
}
