//! Failures of WordPress sites that look alike, told apart.

use tenure_lab::wordpress::{SimpleJwtLogin, Site, Tmeister, Usefulteam, Wcpos};
use tenure_lab::{Fault, Gate, Middleman};

use crate::common::Home;
use crate::support::{Findings, examine, import};

fn home_of(provider: &str, url: &str) -> Home {
    let home = Home::new();
    home.write(
        "tenure.toml",
        &format!(
            "[sessions.shop]\nprovider = \"{provider}\"\nissuer = \"{url}\"\nupstream = \"{url}\"\n"
        ),
    );
    home
}

fn logged_in(site: &Site) -> Home {
    let home = home_of("wordpress-tmeister", &site.url());
    let args = ["login", "shop", "--password", "--username", "cashier"];
    home.run_with(&args, "secret\n").ok();
    home
}

fn doctor(home: &Home) -> Findings {
    examine(home, &["shop", "--path", "/wp-json/wc/v3/orders"])
}

#[test]
fn a_healthy_site() {
    let site = Tmeister::start();
    let home = logged_in(&site);
    let found = doctor(&home);
    assert_eq!((found.code(), found.ran.code), ("", 0), "{:#}", found.json);
    for id in [
        "rest_index",
        "issuer",
        "plugin",
        "header",
        "validate",
        "api",
    ] {
        assert_eq!(found.outcome(id), "ok", "{id}: {:#}", found.json);
    }
    assert_eq!(
        site.hits("/wp-json/jwt-auth/v1/token"),
        1 + 1,
        "the login, and one GET without credentials"
    );
}

#[test]
fn a_plugin_that_was_switched_off() {
    let site = Tmeister::start();
    let home = logged_in(&site);
    site.deactivate_plugin();
    let found = doctor(&home);
    found.assert_verdict("API02021", 4, "plugin");
    assert_eq!(found.json["verdict"]["cause"], "route_not_found");
    assert!(
        found.steps()[0].starts_with("Activate "),
        "{:?}",
        found.steps()
    );
}

#[test]
fn expired_and_secret_changed_are_two_things() {
    let site = Tmeister::start();
    let home = logged_in(&site);
    site.expire_access_now();
    let found = doctor(&home);
    found.assert_verdict("API02002", 3, "validate");
    assert_eq!(found.json["fixes"][0]["command"], "tenure login shop");

    let home = logged_in(&site);
    site.change_secret();
    let found = doctor(&home);
    found.assert_verdict("API02022", 3, "validate");
}

#[test]
fn a_site_that_moved_names_the_difference() {
    let site = Tmeister::start();
    let home = logged_in(&site);
    site.move_to(&site.url().replace("http:", "https:"));
    let found = doctor(&home);
    found.assert_verdict("API02021", 4, "audience");
    assert!(
        found.json["says"]
            .as_str()
            .expect("a text")
            .contains("http/https")
    );
}

#[test]
fn a_header_that_the_web_server_keeps() {
    let site = Tmeister::start();
    let thief = Middleman::start(site.addr(), "authorization", "Apache/2.4.62 (Debian)");
    site.move_to(&thief.url());
    let home = logged_in_by(&thief.url());
    let found = doctor(&home);
    found.assert_verdict("API02024", 4, "header");
    let paste = found.json["fixes"][0]["paste"].as_str().expect("a text");
    assert!(paste.contains("SetEnvIf Authorization"), "{paste}");
}

fn logged_in_by(url: &str) -> Home {
    let home = home_of("wordpress-tmeister", url);
    let args = ["login", "shop", "--password", "--username", "cashier"];
    home.run_with(&args, "secret\n").ok();
    home
}

#[test]
fn wcpos_tells_by_its_echo() {
    let site = Wcpos::start();
    let home = home_of("wcpos", &site.url());
    import(&home, &site.issue("cashier"));
    let found = examine(&home, &["shop"]);
    assert_eq!((found.code(), found.ran.code), ("", 0), "{:#}", found.json);
    assert_eq!(
        (found.outcome("header"), found.outcome("validate")),
        ("ok", "ok")
    );
    assert_eq!(site.refreshes(), 0);

    let thief = Middleman::start(site.addr(), "authorization", "LiteSpeed");
    site.move_to(&thief.url());
    let home = home_of("wcpos", &thief.url());
    import(&home, &site.issue("cashier"));
    let found = examine(&home, &["shop"]);
    found.assert_verdict("API02024", 4, "header");
    assert!(
        found.json["fixes"][0]["step"]
            .as_str()
            .expect("a text")
            .contains("LiteSpeed")
    );
}

#[test]
fn a_second_jwt_plugin_judges_what_it_does_not_know() {
    let site = Wcpos::start();
    let home = home_of("wcpos", &site.url());
    import(&home, &site.issue("cashier"));
    let open = Gate::closed();
    open.open();
    // Index, echo, and the question without and with rubbish are answered as usual; then the other plugin answers.
    site.api_faults().next_n(4, Fault::Slow(open));
    let body = r#"{"code":"jwt_auth_invalid_token","message":"Signature verification failed","data":{"status":403}}"#;
    site.api_faults().next(Fault::status(403, body));
    let found = examine(&home, &["shop"]);
    found.assert_verdict("API02003", 4, "validate");
    assert_eq!(found.json["verdict"]["cause"], "judged_by_second_plugin");
}

#[test]
fn cookies_that_are_passed_on_are_worth_a_word() {
    let site = Tmeister::start();
    let home = logged_in(&site);
    let text = std::fs::read_to_string(home.path().join("tenure.toml")).expect("readable");
    home.write("tenure.toml", &format!("{text}keep_cookies = true\n"));
    let found = doctor(&home);
    assert_eq!(
        (found.code(), found.outcome("config")),
        ("", "warn"),
        "{:#}",
        found.json
    );
    assert!(
        found.steps()[0].contains("keep_cookies"),
        "{:?}",
        found.steps()
    );
}

#[test]
fn the_other_plugins_are_asked_in_their_own_way() {
    let (usefulteam, three, four) = (
        Usefulteam::start(),
        SimpleJwtLogin::start(3),
        SimpleJwtLogin::start(4),
    );
    let sites: [(&str, &Site); 3] = [
        ("wordpress-usefulteam", &usefulteam),
        ("wordpress-simple-jwt-login-3", &three),
        ("wordpress-simple-jwt-login-4", &four),
    ];
    for (provider, site) in sites {
        let home = home_of(provider, &site.url());
        let args = ["login", "shop", "--password", "--username", "cashier"];
        home.run_with(&args, "secret\n").ok();
        let found = doctor(&home);
        assert_eq!((found.code(), found.ran.code), ("", 0), "{:#}", found.json);
        assert_eq!(
            (found.outcome("header"), found.outcome("validate")),
            ("ok", "ok"),
            "{:#}",
            found.json
        );
        site.change_secret();
        let found = doctor(&home);
        assert_eq!(found.code(), "API02022", "{:#}", found.json);
    }
}
