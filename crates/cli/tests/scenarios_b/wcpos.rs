//! WooCommerce POS: login in the browser, renewal without rotation, refusals with status 200.

use std::process::Command;

use tenure_lab::Process;
use tenure_lab::wordpress::Wcpos;

use crate::common::{Answer, Home, get, request, wait_for};
use crate::support::{Keeper, home_with, import, root_code, token};

const REFRESH: &str = "/wp-json/wcpos/v1/auth/refresh";

fn home(site: &Wcpos) -> Home {
    home_with("wcpos", &site.url(), &site.rest_url())
}

/// A route of the plugin; it wants the marker header, which the till sends.
fn orders(up: &Keeper) -> Answer {
    let url = up.gateway_url("/shop/wcpos/v2/orders");
    request("GET", &url, &[("x-wcpos", "1")], "")
}

/// Where the login page sends the browser.
fn submit(login_url: &str, password: &str) -> Answer {
    let page = get(login_url);
    assert!(
        page.status == 200 && page.body.contains("wcpos-pwd"),
        "{page:?}"
    );
    request(
        "POST",
        login_url,
        &[("content-type", "application/x-www-form-urlencoded")],
        &format!("wcpos-log=cashier&wcpos-pwd={password}"),
    )
}

fn login_process(home: &Home, command: impl FnOnce(&mut Command)) -> (Process, String) {
    let mut login = home.command(&["login", "shop", "--browser"]);
    command(&mut login);
    let mut login = Process::spawn(&mut login);
    let url = login.wait_for_line("/wcpos-auth").trim().to_owned();
    (login, url)
}

#[test]
fn the_browser_login_brings_the_tokens_back_to_the_loopback_address() {
    let site = Wcpos::start();
    let home = home(&site);
    let (mut login, url) = login_process(&home, |_| {});
    let wrong = submit(&url, "wrong");
    assert_eq!(wrong.status, 200, "the form again: {wrong:?}");
    assert!(login.try_status().is_none());
    let redirect = submit(&url, "secret");
    assert_eq!(redirect.status, 302, "{redirect:?}");
    let back = redirect.header("location").expect("a redirect").to_owned();
    assert!(back.starts_with("http://127.0.0.1:"), "{back}");
    // Another page that guesses the address, but not the state, logs nobody in.
    let (address, query) = back.split_once('?').expect("a query");
    let forged: Vec<_> = query
        .split('&')
        .map(|pair| {
            if pair.starts_with("state=") {
                "state=guessed"
            } else {
                pair
            }
        })
        .collect();
    let refused = get(&format!("{address}?{}", forged.join("&")));
    assert!(refused.status >= 400, "{refused:?}");
    let landed = get(&back);
    assert_eq!(landed.status, 200, "{landed:?}");
    assert!(
        !landed.body.contains("eyJ"),
        "no token on the page: {landed:?}"
    );
    assert_eq!(login.wait().code(), Some(0), "{}", login.stderr());
    let said = login.stdout() + &login.stderr();
    assert!(!said.contains("eyJ"), "{said}");

    let up = Keeper::start(&home);
    let answer = orders(&up);
    assert_eq!(answer.status, 200, "{answer:?}");
    // Ended by the server: 401 whatever was wrong; renewed and sent again.
    site.expire_access_now();
    let answer = orders(&up);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("tenure-replayed"), Some("1"), "{answer:?}");
    assert_eq!(site.refreshes(), 1);
    for asked in site.requests_to(REFRESH) {
        assert_eq!(asked.header("authorization"), None);
        assert!(asked.header("x-wcpos").is_some() || asked.query.contains("wcpos=1"));
    }
    up.stop();
}

#[test]
fn short_lifetimes_are_renewed_with_the_same_refresh_token() {
    let site = Wcpos::start();
    site.set_access_ttl(4);
    let home = home(&site);
    import(&home, &site.issue("cashier"));
    let up = Keeper::start(&home);
    wait_for("three renewals", || {
        let answer = orders(&up);
        assert_eq!(answer.status, 200, "{answer:?}");
        (site.refreshes() >= 3).then_some(())
    });
    let mut sent: Vec<_> = site
        .requests_to(REFRESH)
        .iter()
        .filter_map(|sent| sent.field("refresh_token"))
        .collect();
    sent.dedup();
    assert_eq!(sent.len(), 1, "it does not rotate");
    up.stop();
}

#[test]
fn a_session_deleted_at_the_shop_is_a_refusal_although_it_says_200() {
    for reasons in [false, true] {
        let site = Wcpos::start();
        site.set_reasons(reasons);
        let home = home(&site);
        import(&home, &site.issue("cashier"));
        let up = Keeper::start(&home);
        assert_eq!(orders(&up).status, 200);
        site.revoke_all_sessions();
        let answer = orders(&up);
        assert_eq!(answer.status, 401, "{answer:?}");
        assert_eq!(
            answer.json()["code"],
            "woocommerce_pos_rest_unauthorized",
            "{answer:?}"
        );
        assert!(answer.header("tenure-code").is_some(), "{answer:?}");
        let shop = up.wait_state("needs_login");
        assert_eq!(root_code(&shop["failure"]), "API02014", "{shop}");
        assert_eq!(shop["failure"]["command"], "tenure login shop", "{shop}");
        for _ in 0..10 {
            assert_eq!(orders(&up).status, 401);
        }
        assert_eq!(site.hits(REFRESH), 1, "latched");
        let status = home.run(&["status", "shop", "--json"]).json();
        assert_eq!(status["sessions"][0]["state"], "needs_login", "{status}");
        import(&home, &site.issue("cashier"));
        wait_for("the login to be taken up", || {
            (orders(&up).status == 200).then_some(())
        });
        up.stop();
    }
}

#[test]
fn the_end_of_the_refresh_token_is_told_as_such() {
    let site = Wcpos::start();
    let home = home(&site);
    import(&home, &site.issue("cashier"));
    let before = token(&home);
    let up = Keeper::start(&home);
    site.advance(31 * 86_400);
    let answer = orders(&up);
    assert_eq!(answer.status, 401, "{answer:?}");
    let shop = up.wait_state("needs_login");
    assert_eq!(root_code(&shop["failure"]), "API02009", "{shop}");
    assert!(
        !shop.to_string().contains(&before),
        "no token in the status"
    );
    up.stop();
}

#[test]
fn a_customer_may_not_use_the_till_and_no_refresh_changes_that() {
    let site = Wcpos::start();
    let home = home(&site);
    import(&home, &site.issue("customer"));
    let up = Keeper::start(&home);
    let answer = orders(&up);
    assert_eq!(answer.status, 403, "{answer:?}");
    assert_eq!(answer.json()["code"], "woocommerce_pos_rest_forbidden");
    assert_eq!(site.hits(REFRESH), 0);
    up.stop();
}
