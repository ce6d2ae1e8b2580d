//! The token endpoint in trouble: callers are served while the token lives, the endpoint is asked at a measured
//! pace, and everything heals by itself.

use std::time::Duration;

use tenure_lab::{Fault, FaultProxy, FaultyIssuer, Gate, IssuerConfig, Rotation};

use crate::common::{Answer, wait_for};
use crate::support::{
    BACKOFF_MS, Call, Running, Setup, Stage, codes, event_kinds, events, for_a_while,
};

/// Lifetime of the access tokens, in seconds. Renewal is due after two thirds of it.
const LIFETIME_S: u64 = 4;
/// How much earlier than the issuer the program may see the end: it counts from the request, not the answer.
const SLACK_MS: i64 = 500;

fn setup() -> Setup {
    Setup {
        access_ttl_s: LIFETIME_S,
        ..Setup::default()
    }
}

/// What was seen while the endpoint was in trouble.
struct Trouble {
    /// States, in the order they were first seen.
    states: Vec<String>,
    /// All codes of the failure shown last.
    codes: Vec<String>,
    /// When the first and the last call of the trouble came, and all between: ms of the issuer's clock.
    calls: Vec<i64>,
}

/// Breaks the endpoint, watches until `enough` was seen of it, repairs it, and waits for the healing.
fn trouble(stage: &Stage, up: &Running, breaks: impl Fn(), repairs: impl Fn()) -> Trouble {
    // A token of which the issuer's own log tells the age.
    assert_eq!(up.refresh().expect("an answer").status, 200);
    let granted = stage.last_granted_ms().expect("an exchange");
    let before = stage.calls();
    breaks();
    let mut seen = Trouble {
        states: Vec::new(),
        codes: Vec::new(),
        calls: Vec::new(),
    };
    let (mut served, mut refused) = (0, 0);
    wait_for("an expired session that was asked for", || {
        let status = up.status();
        let state = status["state"].as_str().expect("a state");
        if seen.states.last().is_none_or(|last| last != state) {
            seen.states.push(state.to_owned());
        }
        if !status["failure"].is_null() {
            seen.codes = codes(&status["failure"]);
        }
        for _ in 0..5 {
            match up.via("/orders") {
                answer if answer.status == 200 => served += 1,
                answer => {
                    honest_refusal(stage, granted, &answer);
                    refused += 1;
                }
            }
        }
        (refused >= 20).then_some(())
    });
    assert!(served > 0, "nobody was served while the token lived");
    let calls = stage.issuer.requests_to("/token");
    seen.calls = calls.iter().skip(before).map(|call| call.at_ms).collect();
    repairs();
    wait_for("the healing", || {
        (up.via("/orders").status == 200).then_some(())
    });
    up.until_state("fresh");
    assert!(!stage.issuer.is_revoked(&stage.first));
    assert_eq!(stage.issuer.logins(), 1, "nobody logged in again");
    seen
}

/// The gateway answers by itself only when the token has really ended, and says when to come back.
fn honest_refusal(stage: &Stage, granted: i64, answer: &Answer) {
    if answer.status == 401 {
        // The token ended on its way to the API, whose own answer is passed on because no newer token came.
        let own = answer.header("tenure-generation").is_some();
        assert!(own && answer.body.contains("expired"), "{answer:?}");
        return;
    }
    assert_eq!(answer.status, 503, "{answer:?}");
    let lived = stage.issuer.clock().now_ms() - granted;
    assert!(
        lived >= LIFETIME_S as i64 * 1_000 - SLACK_MS,
        "refused after {lived} ms: {answer:?}"
    );
    let kind = answer.header("content-type");
    assert_eq!(kind, Some("application/problem+json"), "{answer:?}");
    let seconds: Option<u64> = answer
        .header("retry-after")
        .and_then(|value| value.parse().ok());
    assert!(
        seconds.is_some_and(|seconds| (1..=60).contains(&seconds)),
        "{answer:?}"
    );
    assert_eq!(answer.json()["session"], "shop", "{answer:?}");
    assert!(!codes(&answer.json()).is_empty(), "{answer:?}");
}

impl Trouble {
    /// Degraded first, expired later.
    fn worsened(&self) -> &Self {
        let at = |state: &str| {
            self.states
                .iter()
                .position(|seen| seen == state)
                .unwrap_or_else(|| panic!("never {state}: {:?}", self.states))
        };
        assert!(at("degraded") < at("expired"), "{:?}", self.states);
        self
    }

    /// The failure shown names this code.
    fn named(&self, code: &str) -> &Self {
        assert!(
            self.codes.iter().any(|seen| seen == code),
            "not {code}: {:?}",
            self.codes
        );
        self
    }

    /// No more calls than the waits between them allow, however many callers came. `at_once` is the number of
    /// calls that may follow without a wait (I10: one, after a lost reply).
    fn paced(&self, at_once: usize) -> &Self {
        within_pace(&self.calls, at_once);
        self
    }
}

/// The n-th wait is at least three quarters (jitter) of the first, doubled n times, up to the longest.
fn within_pace(calls: &[i64], at_once: usize) {
    assert!(calls.len() >= 2, "it was not tried again: {calls:?}");
    let length = calls[calls.len() - 1] - calls[0];
    let (mut most, mut waited) = (1 + at_once, 0);
    for number in 0.. {
        let (min, max) = (BACKOFF_MS.0 as i64, BACKOFF_MS.1 as i64);
        waited += (min << number.min(10)).min(max) * 3 / 4;
        if waited > length {
            break;
        }
        most += 1;
    }
    assert!(
        calls.len() <= most,
        "{} calls in {length} ms, at most {most}: {calls:?}",
        calls.len()
    );
}

fn faulty(setup: Setup, fault: Fault) -> Trouble {
    let stage = setup.stage();
    let up = stage.up();
    let faults = stage.issuer.faults();
    let seen = trouble(
        &stage,
        &up,
        || faults.until_cleared(fault.clone()),
        || faults.clear(),
    );
    up.stop();
    seen
}

#[test]
fn server_errors() {
    let fault = Fault::status(500, r#"{"error":"server_error"}"#);
    faulty(setup(), fault).worsened().named("API01009").paced(0);
}

#[test]
fn a_web_page_instead_of_an_answer() {
    faulty(setup(), Fault::Html200)
        .worsened()
        .named("API01010")
        .paced(0);
}

#[test]
fn silence() {
    // Only here the timeout decides; elsewhere a short one would name what a busy machine answers late. Two exchanges
    // fit between the renewal's due time and the token's end.
    let setup = Setup {
        access_ttl_s: 2 * LIFETIME_S,
        exchange_timeout: "900ms",
        ..setup()
    };
    faulty(setup, Fault::Hang(Gate::closed()))
        .worsened()
        .named("API01001")
        .paced(1);
}

#[test]
fn resets_after_the_server_committed() {
    let setup = Setup {
        rotation: Rotation::SameSuccessor,
        ..setup()
    };
    let stage = setup.stage();
    let up = stage.up();
    let faults = stage.issuer.faults();
    let seen = trouble(
        &stage,
        &up,
        || faults.until_cleared(Fault::ResetAfterCommit),
        || faults.clear(),
    );
    seen.named("API01003").paced(1);
    up.stop();
}

#[test]
fn one_reset_after_the_server_committed_is_not_even_noticed() {
    let stage = Setup {
        rotation: Rotation::SameSuccessor,
        ..Setup::default()
    }
    .stage();
    let up = stage.up();
    stage.issuer.faults().next(Fault::ResetAfterCommit);
    let refreshed = up.refresh().expect("an answer");
    assert_eq!(refreshed.status, 200, "{refreshed:?}");
    assert_eq!(stage.calls(), 2, "the same token again, once");
    assert_eq!(stage.issuer.presented(&stage.first), 2);
    assert_eq!(up.state(), "fresh");
    assert_eq!(up.via("/orders").status, 200);
    up.stop();
}

#[test]
fn too_many_requests_with_seconds() {
    let fault = Fault::RetryAfterSeconds(2);
    let seen = faulty(setup(), fault);
    seen.worsened().named("API03005");
    for gap in seen.calls.windows(2) {
        assert!(gap[1] - gap[0] >= 2_000, "too soon: {:?}", seen.calls);
    }
}

#[test]
fn too_many_requests_with_a_date() {
    let stage = setup().stage();
    let up = stage.up();
    // Long enough that renewal (after two thirds of the life) is refused once before.
    let wait_s = LIFETIME_S as i64 + 2;
    let date = stage.issuer.clock().now_ms().div_euclid(1_000) + wait_s;
    let text = jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&jiff::Timestamp::from_second(date).expect("in range"))
        .expect("a date");
    let fault = Fault::Status(
        429,
        r#"{"error":"slow_down"}"#.to_owned(),
        vec![("retry-after".to_owned(), text)],
    );
    let faults = stage.issuer.faults();
    let seen = trouble(
        &stage,
        &up,
        || faults.until_cleared(fault.clone()),
        || faults.clear(),
    );
    seen.worsened().named("API03005");
    // Dates have whole seconds, and so has the server's clock as the program sees it.
    let too_soon = seen
        .calls
        .iter()
        .skip(1)
        .filter(|at| **at < (date - 1) * 1_000);
    assert_eq!(too_soon.count(), 0, "not before {date}: {:?}", seen.calls);
    up.stop();
}

#[test]
fn nobody_listens() {
    let issuer = FaultyIssuer::start(
        IssuerConfig::new()
            .rotation(Rotation::Strict)
            .access_ttl_s(LIFETIME_S),
    );
    let proxy = FaultProxy::start(issuer.addr());
    let stage = Setup {
        token_endpoint: Some(format!("{}/token", proxy.url())),
        ..setup()
    }
    .stage_at(issuer);
    let up = stage.up();
    let seen = trouble(&stage, &up, || proxy.refuse(), || proxy.accept());
    seen.worsened().named("API01002");
    // What is refused never arrives: the program's own events tell when it was tried.
    let tried: Vec<i64> = events(&stage.home)
        .iter()
        .filter(|event| event["kind"] == "refresh_failed")
        .map(|event| event["at"].as_i64().expect("an instant"))
        .collect();
    within_pace(&tried, 0);
    up.stop();
}

#[test]
fn a_slow_answer_is_waited_for() {
    let stage = Setup {
        access_ttl_s: 2,
        ..Setup::default()
    }
    .stage();
    let up = stage.up();
    let gate = Gate::closed();
    stage.issuer.faults().next(Fault::Slow(gate.clone()));
    wait_for("the renewal", || (gate.arrived() == 1).then_some(()));
    let calls = stage.calls();
    up.until_state("expired");
    let url = up.gateway_url("/orders");
    let waiting: Vec<Call> = (0..20)
        .map(|_| Call::send("GET", &url, &[], "").expect("it is taken"))
        .collect();
    // Nothing more is asked while the answer is awaited.
    for_a_while(
        Duration::from_millis(300),
        Duration::from_millis(50),
        || {
            assert_eq!(stage.calls(), calls);
        },
    );
    stage
        .issuer
        .reconfigure(|config| config.access_ttl_ms = 300_000);
    gate.open();
    for call in waiting {
        let answer = call.answer().expect("an answer");
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(stage.calls(), calls);
    let kinds = event_kinds(&stage.home);
    assert!(!kinds.contains(&"refresh_failed".to_owned()), "{kinds:?}");
    up.stop();
}
