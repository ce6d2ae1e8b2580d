//! The WordPress token plugins, each against its stand-in: login, use, expiry, renewal where it exists, and
//! the right code where it does not.

use serde_json::Value;
use tenure_lab::Server;
use tenure_lab::wordpress::{SimpleJwtLogin, Site, Tmeister, Usefulteam};

use crate::common::{Answer, Home, Ran, request, wait_for};
use crate::support::{Keeper, home_with, log_in, root_code};

const ORDERS: &str = "/shop/wc/v3/orders";

fn home(provider: &str, site: &Site) -> Home {
    home_with(provider, &site.url(), &site.rest_url())
}

fn orders(up: &Keeper) -> Answer {
    up.get(ORDERS)
}

/// The plugins judge a stale token on the login route, too: none may travel there.
fn assert_no_stale_header(site: &Server, path: &str) {
    for request in site.requests_to(path) {
        assert_eq!(request.header("authorization"), None, "{}", request.path);
    }
}

fn assert_wrong_password_is_named(home: &Home) {
    let wrong = home.run_with(
        &["login", "shop", "--password", "--username", "cashier"],
        "canary-wrong\n",
    );
    assert_eq!(wrong.code, 3, "{wrong:?}");
    assert!(wrong.err.contains("API02001"), "{wrong:?}");
    assert!(!wrong.err.contains("canary"), "{wrong:?}");
}

fn failure(ran: &Ran) -> Value {
    ran.json()["error"]["failure"].clone()
}

/// Renewals happen by themselves and every answer is the API's own.
fn wait_renewed(up: &Keeper, times: usize, renewed: impl Fn() -> usize) {
    wait_for("renewals", || {
        let answer = orders(up);
        assert_eq!(answer.status, 200, "{answer:?}");
        (renewed() >= times).then_some(())
    });
}

/// The login is taken up and used.
fn wait_used(up: &Keeper) {
    wait_for("the login to be taken up", || {
        (orders(up).status == 200).then_some(())
    });
}

/// The site ends all tokens, at another second than the one they were given in: their plugins put nothing
/// random into a token, and a new one of the same second would be the same.
fn end_early(site: &Site) {
    site.advance(2);
    site.expire_access_now();
}

const TMEISTER: &str = "/wp-json/jwt-auth/v1/token";

#[test]
fn tmeister_without_the_password_ends_with_its_token() {
    let site = Tmeister::start();
    let home = home("wordpress-tmeister", &site);
    assert_wrong_password_is_named(&home);
    let up = Keeper::start(&home);
    site.set_access_ttl(8);
    let said = log_in(&home, "cashier", &[]).ok().err;
    assert!(
        said.contains("--remember"),
        "nothing renews it, and that is said: {said}"
    );
    wait_used(&up);
    let shop = up.wait_state("needs_login");
    assert_eq!(shop["failure"]["code"], "API02002", "{shop}");
    assert_eq!(shop["failure"]["heal"], "relogin", "{shop}");
    assert_eq!(shop["failure"]["command"], "tenure login shop", "{shop}");
    let answer = orders(&up);
    assert_eq!(answer.status, 401, "{answer:?}");
    assert_eq!(answer.json()["code"], "API02002", "{answer:?}");
    assert!(answer.header("www-authenticate").is_some(), "{answer:?}");
    let ran = home.run(&["token", "shop", "--json"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert_eq!(failure(&ran)["code"], "API02002", "{ran:?}");
    // One wrong and one right login: nobody tried to renew what cannot be renewed.
    assert_eq!(site.hits(TMEISTER), 2);
    site.set_access_ttl(3600);
    log_in(&home, "cashier", &[]).ok();
    wait_used(&up);
    assert_no_stale_header(&site, TMEISTER);
    up.stop();
}

#[test]
fn tmeister_expired_by_the_server_is_seen_in_its_403() {
    let site = Tmeister::start();
    let home = home("wordpress-tmeister", &site);
    log_in(&home, "cashier", &[]).ok();
    let up = Keeper::start(&home);
    assert_eq!(orders(&up).status, 200);
    end_early(&site);
    for _ in 0..10 {
        let answer = orders(&up);
        assert_eq!(answer.status, 403, "the plugin's own answer: {answer:?}");
        assert_eq!(answer.json()["code"], "jwt_auth_invalid_token");
        assert_eq!(answer.header("tenure-code"), Some("API02002"), "{answer:?}");
    }
    assert_eq!(site.hits(TMEISTER), 1, "there is nothing to renew it with");
    log_in(&home, "cashier", &[]).ok();
    wait_used(&up);
    up.stop();
}

#[test]
fn tmeister_with_the_password_remembered_logs_in_again() {
    let site = Tmeister::start();
    site.set_access_ttl(4);
    let home = home("wordpress-tmeister", &site);
    let said = log_in(&home, "cashier", &["--remember"]).ok().err;
    assert!(!said.contains("warning"), "{said}");
    let up = Keeper::start(&home);
    wait_renewed(&up, 3, || site.hits(TMEISTER));
    assert_no_stale_header(&site, TMEISTER);
    up.stop();
}

#[test]
fn tmeister_with_the_password_remembered_heals_a_refusal() {
    let site = Tmeister::start();
    let home = home("wordpress-tmeister", &site);
    log_in(&home, "cashier", &["--remember"]).ok();
    let up = Keeper::start(&home);
    assert_eq!(orders(&up).status, 200);
    end_early(&site);
    let answer = request(
        "POST",
        &up.gateway_url(ORDERS),
        &[("content-type", "application/json")],
        r#"{"id":7}"#,
    );
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.header("tenure-replayed"), Some("1"), "{answer:?}");
    assert_eq!(site.orders_posted().len(), 1);
    assert_eq!(site.hits(TMEISTER), 2);
    assert_no_stale_header(&site, TMEISTER);
    up.stop();
}

#[test]
fn tmeister_refuses_a_remembered_password_that_was_changed_once() {
    let site = Tmeister::start();
    let home = home("wordpress-tmeister", &site);
    log_in(&home, "cashier", &["--remember"]).ok();
    let up = Keeper::start(&home);
    assert_eq!(orders(&up).status, 200);
    site.change_password("cashier", "other");
    end_early(&site);
    let answer = orders(&up);
    assert_eq!(answer.status, 403, "the plugin's own answer: {answer:?}");
    assert!(answer.header("tenure-code").is_some(), "{answer:?}");
    let shop = up.wait_state("needs_login");
    assert_eq!(root_code(&shop["failure"]), "API02001", "{shop}");
    assert_eq!(shop["failure"]["heal"], "relogin", "{shop}");
    for _ in 0..10 {
        assert_eq!(orders(&up).status, 401);
    }
    assert_eq!(site.hits(TMEISTER), 2, "latched");
    up.stop();
}

#[test]
fn tmeister_imported_user_name_and_password_log_in() {
    let site = Tmeister::start();
    let home = home("wordpress-tmeister", &site);
    home.run_with(
        &["login", "shop", "--import", "-"],
        r#"{"username":"cashier","password":"secret"}"#,
    )
    .ok();
    let got = home.run(&["request", "shop", "GET", "/wc/v3/orders"]).ok();
    assert_eq!(got.json()[0]["id"], 1, "{got:?}");
}

#[test]
fn tmeister_rights_are_the_shops_own_affair() {
    let site = Tmeister::start();
    let home = home("wordpress-tmeister", &site);
    log_in(&home, "customer", &[]).ok();
    let up = Keeper::start(&home);
    let answer = orders(&up);
    assert_eq!(answer.status, 403, "{answer:?}");
    assert_eq!(answer.json()["code"], "woocommerce_rest_cannot_view");
    assert_eq!(
        site.hits(TMEISTER),
        1,
        "a 403 for want of rights renews nothing"
    );
    assert_eq!(up.shop()["state"], "fresh");
    up.stop();
}

const USEFULTEAM: &str = "/wp-json/jwt-auth/v1/token";

#[test]
fn usefulteam_is_renewed_with_its_cookie() {
    let site = Usefulteam::start();
    site.set_access_ttl(4);
    let home = home("wordpress-usefulteam", &site);
    assert_wrong_password_is_named(&home);
    let said = log_in(&home, "cashier", &[]).ok().err;
    assert!(!said.contains("warning"), "{said}");
    let up = Keeper::start(&home);
    let renewed = || {
        let asked = site.requests_to(USEFULTEAM);
        asked
            .iter()
            .filter(|asked| asked.header("cookie").is_some())
            .count()
    };
    wait_renewed(&up, 3, renewed);
    assert_no_stale_header(&site, USEFULTEAM);
    up.stop();
}

#[test]
fn usefulteam_is_silent_about_a_dead_token_and_renewed_all_the_same() {
    let site = Usefulteam::start();
    let home = home("wordpress-usefulteam", &site);
    log_in(&home, "cashier", &[]).ok();
    let up = Keeper::start(&home);
    assert_eq!(orders(&up).status, 200);
    end_early(&site);
    // Elsewhere than at /token/validate it makes the request anonymous.
    let answer = orders(&up);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("tenure-replayed"), Some("1"), "{answer:?}");
    assert_eq!(site.hits(USEFULTEAM), 2);
    up.stop();
}

#[test]
fn usefulteam_without_its_device_must_log_in() {
    let site = Usefulteam::start();
    let home = home("wordpress-usefulteam", &site);
    log_in(&home, "cashier", &[]).ok();
    let up = Keeper::start(&home);
    assert_eq!(orders(&up).status, 200);
    site.remove_device(2, "");
    let answer = orders(&up);
    assert_eq!(answer.status, 401, "{answer:?}");
    let shop = up.wait_state("needs_login");
    assert_eq!(root_code(&shop["failure"]), "API02008", "{shop}");
    let asked = site.hits(USEFULTEAM);
    for _ in 0..10 {
        assert_eq!(orders(&up).status, 401);
    }
    assert_eq!(site.hits(USEFULTEAM), asked, "latched");
    up.stop();
}

const SIMPLE_REFRESH: &str = "/wp-json/simple-jwt-login/v1/auth/refresh";
const SIMPLE_LOGIN: &str = "/wp-json/simple-jwt-login/v1/auth";

#[test]
fn simple_jwt_login_4_spends_a_refresh_token_each_time() {
    let site = SimpleJwtLogin::start(4);
    site.set_access_ttl(4);
    let home = home("wordpress-simple-jwt-login-4", &site);
    assert_wrong_password_is_named(&home);
    log_in(&home, "cashier", &[]).ok();
    let up = Keeper::start(&home);
    wait_renewed(&up, 3, || site.hits(SIMPLE_REFRESH));
    let sent = site.requests_to(SIMPLE_REFRESH);
    let mut spent: Vec<_> = sent
        .iter()
        .filter_map(|sent| sent.field("refresh_token"))
        .collect();
    assert_eq!(spent.len(), sent.len());
    spent.sort();
    spent.dedup();
    assert_eq!(spent.len(), sent.len(), "each refresh token was sent once");
    assert_eq!(site.refresh_tokens(), 1);
    assert_no_stale_header(&site, SIMPLE_REFRESH);
    assert_no_stale_header(&site, SIMPLE_LOGIN);
    up.stop();
}

#[test]
fn simple_jwt_login_4_after_a_change_of_its_key_must_log_in() {
    let site = SimpleJwtLogin::start(4);
    let home = home("wordpress-simple-jwt-login-4", &site);
    log_in(&home, "cashier", &[]).ok();
    let up = Keeper::start(&home);
    assert_eq!(orders(&up).status, 200);
    site.change_secret();
    let answer = orders(&up);
    assert_eq!(answer.status, 401, "{answer:?}");
    assert_eq!(answer.json()["data"]["error_code"], 75, "{answer:?}");
    let shop = up.wait_state("needs_login");
    assert_eq!(root_code(&shop["failure"]), "API02008", "{shop}");
    for _ in 0..10 {
        assert_eq!(orders(&up).status, 401);
    }
    assert_eq!(site.hits(SIMPLE_REFRESH), 1, "latched");
    up.stop();
}

#[test]
fn simple_jwt_login_3_renews_with_the_token_itself() {
    let site = SimpleJwtLogin::start(3);
    site.set_access_ttl(4);
    let home = home("wordpress-simple-jwt-login-3", &site);
    assert_wrong_password_is_named(&home);
    let said = log_in(&home, "cashier", &[]).ok().err;
    assert!(!said.contains("warning"), "{said}");
    let up = Keeper::start(&home);
    wait_renewed(&up, 3, || site.hits(SIMPLE_REFRESH));
    up.stop();
    // Also when it expired while nobody was there, until the refresh time is over.
    let before = site.hits(SIMPLE_REFRESH);
    let end = site.clock().now_ms() + 4_500;
    wait_for("the token's end", || {
        (site.clock().now_ms() > end).then_some(())
    });
    let up = Keeper::start(&home);
    assert_eq!(orders(&up).status, 200);
    assert!(site.hits(SIMPLE_REFRESH) > before);
    up.stop();
}

#[test]
fn simple_jwt_login_3_too_old_to_be_refreshed_must_log_in() {
    for old in [false, true] {
        let site = SimpleJwtLogin::start(3);
        site.set_old_statuses(old);
        let home = home("wordpress-simple-jwt-login-3", &site);
        log_in(&home, "cashier", &[]).ok();
        let up = Keeper::start(&home);
        assert_eq!(orders(&up).status, 200);
        // The refresh time is over at the site before the client expects it: two weeks and an hour pass there.
        site.advance(20_160 * 60 + 2 * 3600);
        let answer = orders(&up);
        assert!(matches!(answer.status, 400 | 401), "{answer:?}");
        let shop = up.wait_state("needs_login");
        assert_eq!(root_code(&shop["failure"]), "API02009", "{shop}");
        assert_eq!(shop["failure"]["heal"], "relogin", "{shop}");
        for _ in 0..10 {
            assert_eq!(orders(&up).status, 401);
        }
        assert_eq!(site.hits(SIMPLE_REFRESH), 1, "latched");
        up.stop();
    }
}
