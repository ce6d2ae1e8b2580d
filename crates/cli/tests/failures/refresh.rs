//! The refresh token: idle too long, past its life, revoked, missing on the way.

use tenure_lab::{FaultyIssuer, IssuerConfig};

use crate::case::Case;
use crate::stage::{PUBLIC, Stage, oauth};
use crate::support::{ending_in, refresh_token};

const ORDERS: &str = "/shop/orders";

/// A refusal of the refresh token that a login heals.
pub const BY_LOGIN: Case = Case {
    chain: &["API02007", "API02009"],
    class: "refresh_expired",
    heal: "relogin",
    who: "user",
    state: "needs_login",
    token: 3,
    gateway: 401,
    event: "ended",
};

#[test]
fn a_session_nobody_kept_warm_dies_of_inactivity() {
    let issuer = FaultyIssuer::start(IssuerConfig::new().refresh_ttl_s(1_800));
    let mut stage = Stage::new(&oauth(&issuer, PUBLIC), ORDERS);
    // An hour ago, and nobody was there since.
    issuer.clock().advance(-3_600);
    let pair = issuer.issue();
    issuer.clock().advance(3_600);
    stage.log_in(&pair);
    stage.start();
    BY_LOGIN.prove(&mut stage, |stage| stage.log_in(&issuer.issue()));
}

#[test]
fn a_refresh_that_failed_because_the_refresh_token_expired() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let stage = Stage::running(&oauth(&issuer, PUBLIC), ORDERS, &issuer.issue());
    let mut stage = stage.works();
    issuer.expire_refresh_tokens();
    issuer.expire_access_now();
    BY_LOGIN.prove(&mut stage, |stage| stage.log_in(&issuer.issue()));
    assert_eq!(issuer.exchanges().len(), 1, "latched");
}

#[test]
fn a_refresh_that_failed_because_the_refresh_token_was_revoked() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let pair = issuer.issue();
    let mut stage = Stage::running(&oauth(&issuer, PUBLIC), ORDERS, &pair).works();
    issuer.revoke_family(&refresh_token(&pair));
    let case = Case {
        chain: &["API02007", "API02014"],
        class: "refresh_revoked",
        ..BY_LOGIN
    };
    case.prove(&mut stage, |stage| stage.log_in(&issuer.issue()));
}

#[test]
fn a_refresh_token_that_is_dropped_on_the_way_takes_the_operator() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let config = oauth(&issuer, PUBLIC);
    issuer.front().drop_field(Some("refresh_token"));
    let mut stage = Stage::running(&config, ORDERS, &ending_in(issuer.issue(), 0));
    let case = Case {
        chain: &["API02007", "API03001"],
        class: "bad_request",
        heal: "fix_config",
        who: "operator",
        state: "needs_operator",
        token: 4,
        gateway: 503,
        event: "ended",
    };
    case.prove(&mut stage, |stage| {
        issuer.front().drop_field(None);
        stage.restart_with(&config);
    });
}
