//! What happens to accounts, sessions and consents at the identity provider.

use tenure_lab::wordpress::Tmeister;
use tenure_lab::{Deed, FaultyIssuer, IssuerConfig};

use crate::case::Case;
use crate::refresh::BY_LOGIN;
use crate::stage::{PUBLIC, Stage, oauth, wordpress};

fn stage(issuer: &FaultyIssuer) -> Stage {
    Stage::running(&oauth(issuer, PUBLIC), "/shop/orders", &issuer.issue()).works()
}

#[test]
fn the_session_at_the_identity_provider_is_over() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let mut stage = stage(&issuer);
    issuer.act(Deed::SessionEnded);
    let case = Case {
        chain: &["API02007", "API02016"],
        class: "session_ended",
        ..BY_LOGIN
    };
    case.prove(&mut stage, |stage| stage.log_in_with("admin", "secret"));
}

#[test]
fn the_password_was_changed() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let mut stage = stage(&issuer);
    issuer.act(Deed::PasswordChanged);
    let case = Case {
        chain: &["API02007", "API02014"],
        class: "refresh_revoked",
        ..BY_LOGIN
    };
    case.told(&stage);
    let shop = stage.up().shop();
    let cause = shop["failure"]["because"]["cause"].as_str().unwrap();
    assert!(cause.contains("password"), "{shop:#}");
    case.prove(&mut stage, |stage| stage.log_in_with("admin", "changed"));
}

#[test]
fn a_remembered_password_was_changed() {
    let site = Tmeister::start();
    let config = wordpress("wordpress-tmeister", &site.url(), &site.rest_url());
    let mut stage = Stage::new(&config, "/shop/wc/v3/orders");
    let remember = [
        "login",
        "shop",
        "--password",
        "--username",
        "cashier",
        "--remember",
    ];
    stage.home.run_with(&remember, "secret\n").ok();
    stage.start();
    let mut stage = stage.works();
    site.change_password("cashier", "other");
    site.advance(2);
    site.expire_access_now();
    let case = Case {
        chain: &["API02007", "API02001"],
        class: "login_rejected",
        ..BY_LOGIN
    };
    case.prove(&mut stage, |stage| stage.log_in_with("cashier", "other"));
}

#[test]
fn a_disabled_account_works_again_once_it_is_enabled() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let mut stage = stage(&issuer);
    issuer.act(Deed::AccountDisabled);
    let case = Case {
        chain: &["API02007", "API02018"],
        class: "account_disabled",
        heal: "contact_admin",
        who: "server_admin",
        state: "needs_operator",
        token: 4,
        gateway: 503,
        event: "ended",
    };
    case.told(&stage);
    let asked = issuer.hits("/token");
    case.prove(&mut stage, |stage| {
        assert_eq!(issuer.hits("/token"), asked, "latched");
        issuer.enable_account();
        // Whoever was told that it is done asks for a refresh; nothing else is asked of the endpoint (I8).
        let url = stage.up().admin_url("/api/v1/sessions/shop/refresh");
        let answer = crate::common::request("POST", &url, &[], "");
        assert_eq!(answer.status, 200, "{answer:?}");
    });
    assert_eq!(issuer.logins(), 1, "nobody logged in again");
}

#[test]
fn consent_was_withdrawn() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let mut stage = stage(&issuer);
    issuer.act(Deed::ConsentWithdrawn);
    let case = Case {
        chain: &["API02007", "API02017"],
        class: "consent_required",
        ..BY_LOGIN
    };
    case.prove(&mut stage, |stage| stage.log_in_with("admin", "secret"));
}
