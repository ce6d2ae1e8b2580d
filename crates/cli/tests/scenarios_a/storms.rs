//! Two hundred callers at the same moment: one exchange, an answer for everybody, each order once.

use serde_json::json;
use tenure_lab::{Fault, Gate};

use crate::common::{Answer, wait_for};
use crate::support::{Call, Running, Setup};
use crate::traffic::arrived_once;

/// Half of them read, half of them order.
const CALLERS: u64 = 200;

/// Sends all requests; nobody is answered yet.
fn crowd(up: &Running, first_order: u64) -> Vec<Call> {
    let url = up.gateway_url("/orders");
    (0..CALLERS)
        .map(|number| {
            let call = if number % 2 == 0 {
                Call::send("GET", &url, &[], "")
            } else {
                let order = json!({ "number": first_order + number / 2 }).to_string();
                Call::send(
                    "POST",
                    &url,
                    &[("content-type", "application/json")],
                    &order,
                )
            };
            call.expect("the gateway takes it")
        })
        .collect()
}

fn answers(crowd: Vec<Call>) -> Vec<Answer> {
    let answers: Vec<Answer> = crowd
        .into_iter()
        .map(|call| call.answer().expect("an answer"))
        .collect();
    for (number, answer) in answers.iter().enumerate() {
        let status = if number % 2 == 0 { 200 } else { 201 };
        assert_eq!(answer.status, status, "caller {number}: {answer:?}");
    }
    answers
}

#[test]
fn two_hundred_callers_at_expiry_make_one_exchange() {
    // Lazy, so that nobody renews before the callers come.
    let stage = Setup {
        access_ttl_s: 1,
        keep: "lazy",
        ..Setup::default()
    }
    .stage();
    let up = stage.up();
    up.until_state("expired");
    assert_eq!(stage.calls(), 0, "nobody asked yet");
    stage
        .issuer
        .reconfigure(|config| config.access_ttl_ms = 300_000);
    let gate = Gate::closed();
    stage.issuer.faults().next(Fault::Slow(gate.clone()));
    let crowd = crowd(&up, 0);
    wait_for("the exchange", || (gate.arrived() == 1).then_some(()));
    assert_eq!(
        stage.issuer.hits("/api/orders"),
        0,
        "nobody was let through without a token"
    );
    gate.open();
    for answer in answers(crowd) {
        assert_eq!(answer.header("tenure-replayed"), None, "{answer:?}");
        assert_eq!(answer.header("tenure-generation"), Some("2"), "{answer:?}");
    }
    assert_eq!(stage.calls(), 1, "{:?}", stage.issuer.exchanges());
    assert_eq!(stage.issuer.hits("/api/orders") as u64, CALLERS);
    arrived_once(&stage, 0..CALLERS / 2);
    up.stop();
}

#[test]
fn a_storm_of_401_makes_one_exchange_per_generation() {
    let stage = Setup::default().stage();
    let up = stage.up();
    for round in 0..3 {
        // A token that a refusal brought and that is refused again at once is not healed again (I13).
        if round > 0 {
            wait_for("the token to have lived a while", || {
                let age = up.status()["last_refresh"].as_i64();
                age.is_some_and(|seconds| seconds >= 3).then_some(())
            });
        }
        stage.issuer.forget_requests();
        let (api, token) = (Gate::closed(), Gate::closed());
        let held = usize::try_from(CALLERS).expect("fits");
        stage
            .issuer
            .api_faults()
            .next_n(held, Fault::Slow(api.clone()));
        stage.issuer.faults().next(Fault::Slow(token.clone()));
        let crowd = crowd(&up, round * CALLERS / 2);
        wait_for("all requests at the API", || {
            (api.arrived() == CALLERS).then_some(())
        });
        let generation = up.generation();
        stage.issuer.revoke_access_tokens();
        api.open();
        wait_for("the exchange", || (token.arrived() == 1).then_some(()));
        token.open();
        for answer in answers(crowd) {
            assert_eq!(answer.header("tenure-replayed"), Some("1"), "{answer:?}");
            let next = (generation + 1).to_string();
            assert_eq!(
                answer.header("tenure-generation"),
                Some(next.as_str()),
                "{answer:?}"
            );
        }
        assert_eq!(stage.calls(), 1, "{:?}", stage.issuer.exchanges());
        assert_eq!(stage.issuer.hits("/api/orders") as u64, 2 * CALLERS);
        arrived_once(&stage, 0..(round + 1) * CALLERS / 2);
    }
    assert_eq!(stage.issuer.most_presented(), 1);
    up.stop();
}

/// The callers come after the first refusal: they wait for the exchange and never send the refused token.
#[test]
fn callers_after_the_first_401_wait_for_the_new_token() {
    let stage = Setup::default().stage();
    let up = stage.up();
    let gate = Gate::closed();
    stage.issuer.faults().next(Fault::Slow(gate.clone()));
    stage.issuer.revoke_access_tokens();
    let first = Call::send("GET", &up.gateway_url("/orders"), &[], "").expect("it is taken");
    wait_for("the exchange", || (gate.arrived() == 1).then_some(()));
    let crowd = crowd(&up, 0);
    gate.open();
    assert_eq!(first.answer().expect("an answer").status, 200);
    for answer in answers(crowd) {
        assert_eq!(answer.header("tenure-generation"), Some("2"), "{answer:?}");
    }
    assert_eq!(stage.calls(), 1, "{:?}", stage.issuer.exchanges());
    let refused = stage
        .issuer
        .requests_to("/api/orders")
        .iter()
        .filter(|request| request.status == Some(401))
        .count();
    assert_eq!(refused, 1, "a token known to be refused was sent again");
    arrived_once(&stage, 0..CALLERS / 2);
    up.stop();
}
