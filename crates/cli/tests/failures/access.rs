//! The access token: ended, revoked, damaged, signed with an old key, of another installation, lost on the way,
//! too weak.

use tenure_lab::wordpress::{Tmeister, Wcpos};
use tenure_lab::{Fault, FaultyIssuer, Gate, IssuerConfig};

use crate::case::{Case, heals_itself};
use crate::common::wait_for;
use crate::stage::{PUBLIC, Stage, oauth, wordpress};

const ORDERS: &str = "/shop/orders";
const WP_ORDERS: &str = "/shop/wc/v3/orders";

/// A refusal that a refresh heals, seen while the refresh is under way.
const BY_REFRESH: Case = Case {
    chain: &["API02003"],
    class: "access_invalid",
    heal: "refresh",
    who: "tenure",
    state: "expired",
    token: 0,
    gateway: 200,
    event: "refused",
};

fn tmeister(site: &Tmeister) -> Stage {
    let config = wordpress("wordpress-tmeister", &site.url(), &site.rest_url());
    let mut stage = Stage::new(&config, WP_ORDERS);
    stage.log_in_with("cashier", "secret");
    stage.start();
    stage.works()
}

/// A stage at an issuer whose next exchange waits at the gate.
fn held(issuer: &FaultyIssuer) -> (Stage, Gate) {
    let stage = Stage::running(&oauth(issuer, PUBLIC), ORDERS, &issuer.issue()).works();
    let gate = Gate::closed();
    issuer.faults().next(Fault::Slow(gate.clone()));
    (stage, gate)
}

#[test]
fn tokens_that_live_for_seconds_are_renewed_in_time_and_when_they_end_early() {
    let issuer = FaultyIssuer::start(IssuerConfig::new().access_ttl_s(4));
    let (mut stage, gate) = held(&issuer);
    issuer.expire_access_now();
    let case = Case {
        chain: &["API02002"],
        class: "access_expired",
        ..BY_REFRESH
    };
    issuer.reconfigure(|config| config.access_ttl_ms = 300_000);
    heals_itself(case, &mut stage, &gate);
}

#[test]
fn a_token_without_a_refresh_token_ends_and_a_login_heals_it() {
    let issuer = FaultyIssuer::start(IssuerConfig::new().access_ttl_s(2));
    let mut pair = issuer.issue();
    pair.as_object_mut().unwrap().remove("refresh_token");
    let mut stage = Stage::running(&oauth(&issuer, PUBLIC), ORDERS, &pair).works();
    let case = Case {
        chain: &["API02002"],
        class: "access_expired",
        heal: "relogin",
        who: "user",
        state: "needs_login",
        token: 3,
        gateway: 401,
        event: "expired",
    };
    case.prove(&mut stage, |stage| {
        issuer.reconfigure(|config| config.access_ttl_ms = 300_000);
        stage.log_in(&issuer.issue());
    });
    assert_eq!(issuer.hits("/token"), 0, "there was nothing to send");
}

#[test]
fn access_tokens_revoked_by_an_administrator_are_renewed() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let (mut stage, gate) = held(&issuer);
    issuer.revoke_access_tokens();
    let case = Case {
        chain: &["API02011"],
        class: "access_revoked",
        ..BY_REFRESH
    };
    heals_itself(case, &mut stage, &gate);
}

#[test]
fn a_session_deleted_by_an_administrator_takes_a_login() {
    let site = Wcpos::start();
    let config = wordpress("wcpos", &site.url(), &site.rest_url());
    let path = "/shop/wcpos/v2/orders?wcpos=1";
    let mut stage = Stage::running(&config, path, &site.issue("cashier")).works();
    site.revoke_all_sessions();
    let case = Case {
        chain: &["API02007", "API02014"],
        class: "refresh_revoked",
        heal: "relogin",
        who: "user",
        state: "needs_login",
        token: 3,
        gateway: 401,
        event: "ended",
    };
    case.prove(&mut stage, |stage| stage.log_in(&site.issue("cashier")));
}

#[test]
fn a_token_damaged_before_it_was_taken_over_is_renewed() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let mut pair = issuer.issue();
    pair["access_token"] = format!("{}x", pair["access_token"].as_str().unwrap()).into();
    let mut stage = Stage::running(&oauth(&issuer, PUBLIC), ORDERS, &pair);
    let gate = Gate::closed();
    issuer.faults().next(Fault::Slow(gate.clone()));
    heals_itself(BY_REFRESH, &mut stage, &gate);
}

#[test]
fn tokens_damaged_on_the_way_are_told_as_such_after_one_renewal() {
    let issuer = FaultyIssuer::start(IssuerConfig::new().jwt());
    let stage = Stage::running(&oauth(&issuer, PUBLIC), ORDERS, &issuer.issue());
    let mut stage = stage.works();
    issuer.front().damage_authorization(true);
    let case = Case {
        chain: &["API02003"],
        class: "access_invalid",
        heal: "fix_config",
        who: "operator",
        state: "degraded",
        token: 0,
        gateway: 401,
        event: "observed",
    };
    case.prove(&mut stage, |_| issuer.front().damage_authorization(false));
    assert_eq!(issuer.exchanges().len(), 1, "once, and not again");
}

#[test]
fn a_signing_secret_changed_for_all_users_takes_a_login_where_nothing_renews() {
    let site = Tmeister::start();
    let mut stage = tmeister(&site);
    site.change_secret();
    let case = Case {
        chain: &["API02022"],
        class: "key_mismatch",
        heal: "relogin",
        who: "user",
        state: "needs_login",
        token: 3,
        gateway: 403,
        event: "refused",
    };
    case.prove(&mut stage, |stage| stage.log_in_with("cashier", "secret"));
}

#[test]
fn an_issuer_s_key_that_changed_is_healed_by_a_renewal() {
    let issuer = FaultyIssuer::start(IssuerConfig::new().jwt());
    let (mut stage, gate) = held(&issuer);
    issuer.change_key();
    let case = Case {
        chain: &["API02022"],
        class: "key_mismatch",
        ..BY_REFRESH
    };
    heals_itself(case, &mut stage, &gate);
}

#[test]
fn a_token_of_another_installation_takes_the_right_address() {
    let shop = Tmeister::start();
    let staging = Tmeister::start();
    staging.share_secret_of(&shop);
    let mut stage = tmeister(&shop);
    let config = |site: &Tmeister| wordpress("wordpress-tmeister", &shop.url(), &site.rest_url());
    stage.restart_with(&config(&staging));
    let case = Case {
        chain: &["API02021"],
        class: "wrong_issuer",
        heal: "fix_config",
        who: "operator",
        state: "needs_operator",
        token: 4,
        gateway: 403,
        event: "refused",
    };
    case.prove(&mut stage, |stage| stage.restart_with(&config(&shop)));
}

/// The header is lost: nothing is wrong with the token.
const LOST: Case = Case {
    chain: &["API02024"],
    class: "access_missing",
    heal: "fix_config",
    who: "operator",
    state: "needs_operator",
    token: 0,
    gateway: 401,
    event: "observed",
};

#[test]
fn a_header_stripped_by_a_wordpress_web_server_is_told_as_lost() {
    let site = Tmeister::start();
    let mut stage = tmeister(&site);
    site.front().strip_authorization(true);
    LOST.prove(&mut stage, |_| site.front().strip_authorization(false));
}

#[test]
fn a_header_stripped_in_front_of_an_api_is_told_as_lost() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let stage = Stage::running(&oauth(&issuer, PUBLIC), ORDERS, &issuer.issue());
    let mut stage = stage.works();
    issuer.front().strip_authorization(true);
    LOST.prove(&mut stage, |_| issuer.front().strip_authorization(false));
    assert_eq!(
        issuer.exchanges().len(),
        1,
        "a silent challenge is worth one try"
    );
}

#[test]
fn a_missing_scope_is_asked_for_and_harms_nothing() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let config = |scopes: &str| oauth(&issuer, &format!("{PUBLIC}\nscopes = {scopes}"));
    let mut stage = Stage::new(&config("[\"orders\"]"), "/shop/reports");
    stage.log_in_with("admin", "secret");
    stage.start();
    let case = Case {
        chain: &["API02005"],
        class: "insufficient_scope",
        heal: "request_scope",
        who: "operator",
        state: "fresh",
        token: 0,
        gateway: 403,
        event: "observed",
    };
    case.told(&stage);
    assert_eq!(stage.up().get(ORDERS).status, 200, "the rest works on");
    case.prove(&mut stage, |stage| {
        stage.restart_with(&config("[\"orders\", \"reports\"]"));
        stage.log_in_with("admin", "secret");
    });
    assert_eq!(issuer.exchanges().len(), 0, "no refresh");
}

/// Code of each session's failure, as the command line shows it; `shop` first.
fn told(stage: &Stage) -> [Option<String>; 2] {
    let shown = stage.home.run(&["status", "--json"]).ok().json();
    let code = |name: &str| {
        let sessions = shown["sessions"].as_array().unwrap();
        let session = sessions.iter().find(|session| session["name"] == name);
        let code = &session.unwrap()["failure"]["code"];
        code.as_str().map(str::to_owned)
    };
    [code("shop"), code("till")]
}

/// Asks with both sessions until the command line shows this.
fn until_told(stage: &Stage, expected: [Option<&str>; 2]) {
    wait_for("both sessions", || {
        for name in ["shop", "till"] {
            stage.up().get(&format!("/{name}/wc/v3/orders"));
        }
        let told = told(stage);
        stage.remember(format!("{told:?}"));
        (told.each_ref().map(Option::as_deref) == expected).then_some(())
    });
}

#[test]
fn one_user_with_an_old_signature_is_told_apart_from_a_secret_changed_for_all() {
    let site = Tmeister::start();
    let config = wordpress("wordpress-tmeister", &site.url(), &site.rest_url());
    let till = config.replace("[sessions.shop]", "[sessions.till]");
    let till = till.split("[keeper").next().unwrap();
    let mut stage = Stage::new(&format!("{till}{config}"), WP_ORDERS);
    let log_in = |stage: &Stage, name: &str, user: &str| {
        let login = ["login", name, "--password", "--username", user];
        stage.home.run_with(&login, "secret\n").ok();
    };
    let both = |stage: &Stage| {
        log_in(stage, "shop", "cashier");
        log_in(stage, "till", "admin");
    };
    both(&stage);
    stage.start();
    until_told(&stage, [None, None]);
    let old = crate::support::token(&stage.home);

    site.change_secret();
    let changed = Some("API02022");
    until_told(&stage, [changed, changed]);
    log_in(&stage, "shop", "cashier");
    until_told(&stage, [None, changed]);
    log_in(&stage, "till", "admin");
    until_told(&stage, [None, None]);

    // One user alone: the token of before the change came back, from a backup of a device.
    stage.log_in(&serde_json::json!({ "access_token": old }));
    until_told(&stage, [changed, None]);
    log_in(&stage, "shop", "cashier");
    until_told(&stage, [None, None]);
}
