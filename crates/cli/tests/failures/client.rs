//! The client that asks: its id, its secret. The operator corrects the configuration, and nobody logs in again.

use tenure_lab::{FaultyIssuer, IssuerConfig};

use crate::case::Case;
use crate::stage::{Stage, oauth};
use crate::support::ending_in;

fn wrong_then_right(wrong: &str, id_line: &str) {
    let issuer = FaultyIssuer::start(IssuerConfig::new().client("lab", "right"));
    let with = |secret: &str| {
        oauth(
            &issuer,
            &format!("client_secret = {{ file = \"{secret}\" }}"),
        )
    };
    let pair = ending_in(issuer.issue(), 0);
    let mut stage = Stage::new(
        &with(wrong).replace("client_id = \"lab\"", id_line),
        "/shop/orders",
    );
    stage.home.write("right", "right");
    stage.home.write("wrong", "wrong");
    stage.log_in(&pair);
    stage.start();
    let case = Case {
        chain: &["API02007", "API02019"],
        class: "client_invalid",
        heal: "fix_config",
        who: "operator",
        state: "needs_operator",
        token: 4,
        gateway: 503,
        event: "ended",
    };
    case.prove(&mut stage, |stage| stage.restart_with(&with("right")));
    assert_eq!(issuer.logins(), 1, "nobody logged in again");
}

#[test]
fn a_wrong_client_secret() {
    wrong_then_right("wrong", "client_id = \"lab\"");
}

#[test]
fn a_wrong_client_id() {
    wrong_then_right("right", "client_id = \"bal\"");
}
