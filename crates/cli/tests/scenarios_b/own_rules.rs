//! Rules of one's own in a running gateway.

use tenure_lab::{FaultyIssuer, IssuerConfig};

use crate::support::{Keeper, ending_in, home_at, import};

#[test]
fn the_gateway_goes_by_rules_of_ones_own() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let home = home_at(&issuer, "");
    let config = std::fs::read_to_string(home.path().join("tenure.toml")).unwrap();
    home.write(
        "tenure.toml",
        &format!("rules = [\"stock.toml\"]\n{config}"),
    );
    // What the shipped rules call the API's own affair is this server's way to say that a token is over.
    home.write(
        "stock.toml",
        "[[rule]]\nid = \"stock.locked\"\ncode = [\"order_locked\"]\nclass = \"access_expired\"\ncause = \"lock_over\"\n\
         example = { status = 403, body = '{\"code\":\"order_locked\"}' }\n",
    );
    import(&home, &ending_in(issuer.issue(), 200));
    let up = Keeper::start(&home);
    let passed = up.get("/shop/forbidden");
    assert_eq!(passed.header("tenure-code"), Some("API02002"), "{passed:?}");
    assert_eq!(issuer.hits("/token"), 1, "one refresh was tried");
}
