//! A JSON API with `/login` and `/refresh`.

use tenure_lab::JsonRefresh;

use crate::common::{Home, request, wait_for};
use crate::support::{Keeper, import, log_in};

fn home(api: &JsonRefresh) -> Home {
    let home = Home::new();
    home.write(
        "tenure.toml",
        &format!(
            "[sessions.shop]\nprovider = \"json-refresh\"\ntoken_endpoint = \"{0}/refresh\"\n\
             login_endpoint = \"{0}/login\"\nupstream = \"{0}\"\n\
             [keeper.timing]\nbackoff_min = \"100ms\"\nbackoff_max = \"1s\"\n",
            api.url()
        ),
    );
    home
}

#[test]
fn login_use_expiry_and_renewal() {
    let api = JsonRefresh::start();
    let home = home(&api);
    let wrong = home.run_with(
        &["login", "shop", "--password", "--username", "admin"],
        "canary-wrong\n",
    );
    assert_ne!(wrong.code, 0, "{wrong:?}");
    assert!(!wrong.err.contains("canary"), "{wrong:?}");
    log_in(&home, "admin", &[]).ok();
    let up = Keeper::start(&home);
    assert_eq!(up.get("/shop/orders").status, 200);
    // The server ends the token early: refused as token_expired, renewed, sent again.
    api.expire_access_now();
    let answer = request("POST", &up.gateway_url("/shop/orders"), &[], r#"{"id":7}"#);
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.header("tenure-replayed"), Some("1"), "{answer:?}");
    assert_eq!(api.orders_posted().len(), 1, "the body arrived once");
    assert_eq!(api.refreshes(), 1);
    up.stop();
}

#[test]
fn short_lifetimes_are_renewed_by_themselves() {
    let api = JsonRefresh::start();
    api.set_access_ttl_ms(2_000);
    let home = home(&api);
    import(&home, &api.issue());
    let up = Keeper::start(&home);
    wait_for("three renewals", || {
        let answer = up.get("/shop/orders");
        assert_eq!(answer.status, 200, "{answer:?}");
        (api.refreshes() >= 3).then_some(())
    });
    up.stop();
}

#[test]
fn a_refused_refresh_token_brings_no_loop_and_a_login_heals_it() {
    let api = JsonRefresh::start();
    let home = home(&api);
    import(&home, &api.issue());
    let up = Keeper::start(&home);
    api.revoke_refresh_tokens();
    api.expire_access_now();
    let answer = up.get("/shop/orders");
    assert_eq!(answer.status, 401, "{answer:?}");
    assert_eq!(answer.json()["error"], "token_expired", "{answer:?}");
    assert_eq!(answer.header("tenure-code"), Some("API02007"), "{answer:?}");
    let asked = std::time::Instant::now();
    for _ in 0..50 {
        assert!(up.get("/shop/orders").status >= 400);
    }
    // Paced if not latched: back-off begins at 100 ms and doubles.
    let paced = 5 + usize::try_from(asked.elapsed().as_secs()).expect("small");
    assert!(api.hits("/refresh") <= paced, "{}", api.hits("/refresh"));
    let shop = up.shop();
    assert_eq!(shop["failure"]["code"], "API02007", "{shop}");
    log_in(&home, "admin", &[]).ok();
    wait_for("the login to be taken up", || {
        (up.get("/shop/orders").status == 200).then_some(())
    });
    up.stop();
}
