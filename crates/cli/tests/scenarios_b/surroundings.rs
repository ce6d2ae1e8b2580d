//! Surroundings that are not what they should be, with several parts at work.

use tenure_lab::wait::block_until;
use tenure_lab::{FaultProxy, FaultyIssuer, IssuerConfig, Rotation};

use crate::common::{Home, wait_for};
use crate::support::{Keeper, ending_in, home_at, home_between, import, seed};

#[test]
fn an_issuer_that_is_not_there_yet_heals_by_itself() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let proxy = FaultProxy::start(issuer.addr());
    let home = Home::new();
    // By discovery: not even the token endpoint is known before the issuer answers.
    issuer.set_public_url(&proxy.url());
    home.write(
        "tenure.toml",
        &format!(
            "[sessions.shop]\nissuer = \"{}\"\nclient_id = \"lab\"\nclient_auth = \"none\"\nupstream = \"{}\"\n\
             [keeper.timing]\nbackoff_min = \"100ms\"\nbackoff_max = \"1s\"\n",
            proxy.url(),
            issuer.url_of("/api"),
        ),
    );
    proxy.refuse();
    import(&home, &ending_in(issuer.issue(), 1));
    let mut up = Keeper::start(&home);
    let shop = wait_for("the end of the token", || {
        let shop = up.shop();
        (shop["state"] == "expired" && !shop["failure"].is_null()).then_some(shop)
    });
    assert_eq!(shop["failure"]["heal"], "retry_later", "{shop}");
    assert!(up.process.wait_for_line("next attempt").contains("shop"));
    let refused = up.get("/shop/orders");
    assert_eq!(refused.status, 503, "{refused:?}");
    proxy.accept();
    wait_for("the session to heal", || {
        (up.get("/shop/orders").status == 200).then_some(())
    });
    let shop = up.shop();
    assert_eq!(shop["state"], "fresh", "{shop}");
    assert!(shop["failure"].is_null(), "{shop}");
    assert_eq!(issuer.most_presented(), 1);
    up.stop();
}

#[test]
fn an_upstream_that_is_not_there_is_a_502_and_no_matter_of_the_token() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let proxy = FaultProxy::start(issuer.addr());
    let home = home_between(
        &issuer.token_endpoint(),
        &format!("{}/api", proxy.url()),
        "",
    );
    seed(&home, &issuer);
    proxy.refuse();
    let up = Keeper::start(&home);
    let answer = up.get("/shop/orders");
    assert_eq!(answer.status, 502, "{answer:?}");
    assert_eq!(answer.json()["session"], "shop", "{answer:?}");
    assert_eq!(up.shop()["state"], "fresh");
    proxy.accept();
    assert_eq!(up.get("/shop/orders").status, 200);
    assert_eq!(issuer.hits("/token"), 0);
    up.stop();
}

#[test]
fn the_first_of_two_ups_is_killed_and_the_second_carries_on() {
    // With a grace: at a strict server the kill may lose an answer, and with it the session.
    let config = IssuerConfig::new().rotation(Rotation::Grace { seconds: 30 });
    let issuer = FaultyIssuer::start(config.access_ttl_ms(2_000));
    let home = home_at(&issuer, "");
    seed(&home, &issuer);
    let mut first = Keeper::start(&home);
    let mut second = Keeper::start(&home);
    let said = second.process.wait_for_line("process");
    assert!(said.contains(&first.process.id().to_string()), "{said}");
    assert_eq!(second.get("/shop/orders").status, 200);
    first.process.kill9();
    let before = issuer.exchanges().len();
    wait_for("renewals by the second", || {
        let answer = second.get("/shop/orders");
        assert_eq!(answer.status, 200, "{answer:?}");
        (issuer.exchanges().len() >= before + 3).then_some(())
    });
    assert_eq!(issuer.logins(), 1);
    second.stop();
}

#[test]
fn one_session_that_must_log_in_does_not_disturb_another() {
    let [good, bad] =
        [(); 2].map(|()| FaultyIssuer::start(IssuerConfig::new().access_ttl_ms(2_000)));
    let home = Home::new();
    let session = |name: &str, issuer: &FaultyIssuer| {
        format!(
            "[sessions.{name}]\ntoken_endpoint = \"{}\"\nupstream = \"{}\"\nclient_id = \"lab\"\nclient_auth = \"none\"\n",
            issuer.token_endpoint(),
            issuer.url_of("/api")
        )
    };
    home.write(
        "tenure.toml",
        &(session("shop", &good) + &session("depot", &bad)),
    );
    seed(&home, &good);
    home.run_with(
        &["login", "depot", "--import", "-"],
        &bad.issue().to_string(),
    )
    .ok();
    bad.revoke_all_families();
    let up = Keeper::start(&home);
    wait_for("the one session to end", || {
        (up.get("/depot/orders").status == 401).then_some(())
    });
    let asked = bad.hits("/token");
    let renewed = good.exchanges().len();
    block_until(
        || {
            assert_eq!(up.get("/shop/orders").status, 200);
            assert_eq!(up.get("/depot/orders").status, 401);
            good.exchanges().len() >= renewed + 3
        },
        "the other session's renewals",
    );
    assert_eq!(bad.hits("/token"), asked, "latched");
    let status = home.run(&["status", "--json"]).ok().json();
    let states: Vec<_> = status["sessions"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|session| (session["name"].as_str(), session["state"] == "needs_login"))
        .collect();
    assert!(states.contains(&(Some("depot"), true)), "{status}");
    assert!(states.contains(&(Some("shop"), false)), "{status}");
    up.stop();
}
