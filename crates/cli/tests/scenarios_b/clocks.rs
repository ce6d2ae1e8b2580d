//! Clocks that disagree, clocks that jump, and a process that stood still (I11).

use tenure_lab::issuer::{ExpiresIn, TokenFormat};
use tenure_lab::wait::block_until;
use tenure_lab::{FaultyIssuer, IssuerConfig};

use crate::common::request;
use crate::support::{Keeper, home_at, import, seed};

/// Lifetime of access tokens here.
const TTL_MS: u64 = 2_000;

const HOUR_S: i64 = 3_600;

fn issuer(expires_in: ExpiresIn) -> FaultyIssuer {
    FaultyIssuer::start(
        IssuerConfig::new()
            .jwt()
            .access_ttl_ms(TTL_MS)
            .expires_in(expires_in),
    )
}

/// Steady traffic for so many lifetimes: every answer is the API's own, and no wrong expiry is claimed.
fn steady(up: &Keeper, issuer: &FaultyIssuer, lifetimes: u64) {
    let end = issuer.clock().now_ms() + (lifetimes * TTL_MS) as i64;
    while issuer.clock().now_ms() < end {
        let answer = up.get("/shop/orders");
        assert_eq!(answer.status, 200, "{answer:?}");
        let shop = up.shop();
        assert!(
            shop["state"] == "fresh" || shop["state"] == "due",
            "no wrong expiry: {shop}"
        );
        let left = shop["access_expires_in"].as_i64().expect("known");
        assert!((0..=2).contains(&left), "{shop}");
    }
}

/// Renewal comes at two thirds of a lifetime, a little earlier or later: never more than two in one.
fn assert_no_storm(issuer: &FaultyIssuer, since: usize, lifetimes: u64) {
    let exchanges = issuer.exchanges().len() - since;
    let most = usize::try_from(2 * lifetimes + 2).expect("small");
    assert!(
        exchanges <= most,
        "{exchanges} exchanges in {lifetimes} lifetimes"
    );
    assert!(
        exchanges + 1 >= usize::try_from(lifetimes).expect("small"),
        "{exchanges}"
    );
    assert_eq!(issuer.most_presented(), 1);
}

fn skewed(seconds: i64, expires_in: ExpiresIn) {
    let issuer = issuer(expires_in);
    issuer.clock().set_skew(seconds);
    let home = home_at(&issuer, "");
    seed(&home, &issuer);
    let up = Keeper::start(&home);
    steady(&up, &issuer, 5);
    assert_no_storm(&issuer, 0, 5);
    up.stop();
}

#[test]
fn an_hour_ahead_of_the_client_with_expires_in() {
    skewed(HOUR_S, ExpiresIn::Seconds);
}

#[test]
fn an_hour_behind_the_client_with_expires_in() {
    skewed(-HOUR_S, ExpiresIn::Seconds);
}

#[test]
fn an_hour_ahead_of_the_client_with_the_jwt_alone() {
    skewed(HOUR_S, ExpiresIn::Omitted);
}

#[test]
fn an_hour_behind_the_client_with_the_jwt_alone() {
    skewed(-HOUR_S, ExpiresIn::Omitted);
}

#[test]
fn an_hour_ahead_of_the_client_with_an_epoch_for_expires_in() {
    skewed(HOUR_S, ExpiresIn::Epoch);
}

#[test]
fn jumps_while_running_make_no_wrong_expiry_and_no_storm() {
    let issuer = issuer(ExpiresIn::Omitted);
    let home = home_at(&issuer, "");
    seed(&home, &issuer);
    let up = Keeper::start(&home);
    for skew in [0, HOUR_S, -HOUR_S, 0] {
        issuer.clock().set_skew(skew);
        steady(&up, &issuer, 2);
    }
    assert_no_storm(&issuer, 0, 8);
    up.stop();
}

#[test]
fn a_login_taken_over_from_a_server_an_hour_off_is_valid_as_long_as_it_lives() {
    for skew in [HOUR_S, -HOUR_S] {
        let issuer = FaultyIssuer::start(IssuerConfig::new().jwt().expires_in(ExpiresIn::Omitted));
        issuer.clock().set_skew(skew);
        let home = home_at(&issuer, "");
        let mut pair = issuer.issue();
        // Nothing but the token itself says how long it lives.
        pair.as_object_mut()
            .expect("an object")
            .remove("obtained_at");
        import(&home, &pair);
        let ran = home.run(&["token", "shop", "--min-valid", "4m"]).ok();
        assert_eq!(ran.out.trim(), pair["access_token"], "skew {skew}");
        assert_eq!(issuer.exchanges().len(), 0, "skew {skew}");
    }
}

#[test]
fn after_standing_still_for_three_lifetimes_the_first_request_is_answered() {
    for format in [TokenFormat::Opaque, TokenFormat::Jwt] {
        let mut config = IssuerConfig::new().access_ttl_ms(1_000);
        config.format = format;
        let issuer = FaultyIssuer::start(config);
        let home = home_at(&issuer, "");
        seed(&home, &issuer);
        let up = Keeper::start(&home);
        assert_eq!(up.get("/shop/orders").status, 200);

        up.process.freeze();
        let before = issuer.exchanges().len();
        let frozen = issuer.clock().now_ms();
        // These reach the socket while nobody reads from it.
        let url = up.gateway_url("/shop/orders");
        let waiting: Vec<_> = (0..20)
            .map(|_| {
                let url = url.clone();
                std::thread::spawn(move || request("GET", &url, &[], ""))
            })
            .collect();
        block_until(
            || issuer.clock().now_ms() >= frozen + 3_000,
            "three lifetimes to pass",
        );
        // At most the exchange that was on its way ended meanwhile.
        let asleep = issuer.exchanges().len();
        assert!(asleep <= before + 1);
        up.process.thaw();
        for thread in waiting {
            let answer = thread.join().expect("no panic");
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        let lifetimes = (issuer.clock().now_ms() - frozen - 3_000) / 1_000;
        let woken = issuer.exchanges().len() - asleep;
        assert!(
            woken <= 2 + 2 * usize::try_from(lifetimes).expect("positive"),
            "{woken} exchanges in {lifetimes} lifetimes after waking"
        );
        assert_eq!(issuer.most_presented(), 1);
        up.stop();
    }
}
