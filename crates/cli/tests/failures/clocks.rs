//! Clocks that disagree: measured, named, and healed by setting them.

use tenure_lab::wordpress::{Tmeister, Wcpos};
use tenure_lab::{Fault, Gate};

use crate::case::{Case, heals_itself};
use crate::stage::{Stage, wordpress};

const HOUR_S: i64 = 3_600;

#[test]
fn a_server_whose_clock_went_back_finds_its_tokens_too_new() {
    let site = Tmeister::start();
    let config = wordpress("wordpress-tmeister", &site.url(), &site.rest_url());
    let mut stage = Stage::new(&config, "/shop/wc/v3/orders");
    stage.log_in_with("cashier", "secret");
    stage.start();
    let mut stage = stage.works();
    site.clock().set_skew(-HOUR_S);
    let case = Case {
        chain: &["API02023"],
        class: "clock_skew",
        heal: "fix_clock",
        who: "operator",
        state: "degraded",
        token: 0,
        gateway: 403,
        event: "observed",
    };
    case.told(&stage);
    let shop = stage.up().shop();
    let evidence = shop["failure"]["evidence"].as_array().unwrap();
    let offset = evidence
        .iter()
        .find(|fact| fact["kind"] == "clock_offset_s");
    let offset: i64 = offset.unwrap()["value"].as_str().unwrap().parse().unwrap();
    assert!(
        (offset + HOUR_S).abs() <= 5,
        "sign and size are told: {offset}"
    );
    case.prove(&mut stage, |_| site.clock().set_skew(0));
}

#[test]
fn a_server_whose_clock_went_ahead_finds_them_too_old_and_a_renewal_heals() {
    let site = Wcpos::start();
    site.set_reasons(true);
    let config = wordpress("wcpos", &site.url(), &site.rest_url());
    let path = "/shop/wcpos/v2/orders?wcpos=1";
    let mut stage = Stage::running(&config, path, &site.issue("cashier")).works();
    let gate = Gate::closed();
    site.faults().next(Fault::Slow(gate.clone()));
    site.clock().set_skew(HOUR_S);
    let case = Case {
        chain: &["API02023"],
        class: "clock_skew",
        heal: "fix_clock",
        who: "operator",
        state: "expired",
        token: 0,
        gateway: 200,
        event: "refused",
    };
    heals_itself(case, &mut stage, &gate);
}
