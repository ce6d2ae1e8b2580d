//! What the authorization server and the API say.

use serde_json::json;
use tenure_lab::{Fault, FaultyIssuer, IssuerConfig, Middleman};

use crate::common::Home;
use crate::support::{doctor, examine, home_at, home_with, import};

#[test]
fn a_healthy_session() {
    for config in [
        IssuerConfig::new(),
        IssuerConfig::new().jwt(),
        IssuerConfig::new().signed_jwt(),
    ] {
        let issuer = FaultyIssuer::start(config);
        let home = home_at(&issuer);
        import(&home, &issuer.issue());
        let found = doctor(&home);
        assert_eq!((found.code(), found.ran.code), ("", 0), "{:#}", found.json);
        for id in [
            "store",
            "state",
            "dns",
            "tcp",
            "http",
            "discovery",
            "issuer",
            "clock",
            "token",
            "lifetime",
            "refresh_token",
            "jwks",
            "introspection",
            "header",
            "api",
            "scopes",
        ] {
            assert_eq!(found.outcome(id), "ok", "{id}: {:#}", found.json);
        }
        assert_eq!(found.outcome("renewal"), "skipped");
        assert_eq!(issuer.exchanges().len(), 0);
    }
}

#[test]
fn for_people_every_check_is_a_line_and_the_verdict_comes_last() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let home = home_at(&issuer);
    import(&home, &issuer.issue());
    let ran = home.run(&["doctor", "--path", "/orders"]).ok();
    assert!(
        ran.out.contains("ok    Authorization header"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("nothing wrong found"), "{}", ran.out);
    assert!(!ran.out.contains('\u{1b}'), "{}", ran.out);
    let coloured = home
        .run(&["doctor", "--path", "/orders", "--color", "always"])
        .ok();
    assert!(coloured.out.contains("\u{1b}["), "{}", coloured.out);
}

#[test]
fn nobody_logged_in() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let home = home_at(&issuer);
    let found = doctor(&home);
    found.assert_verdict("API02010", 3, "state");
    assert_eq!(found.json["fixes"][0]["command"], "tenure login shop");
    assert!(!home.data().join("tenure.db").exists(), "no store is made");
}

#[test]
fn a_clock_an_hour_off_either_way() {
    for skew in [3_600, -3_600] {
        let issuer = FaultyIssuer::start(IssuerConfig::new().jwt());
        issuer.clock().set_skew(skew);
        let home = home_at(&issuer);
        import(&home, &issuer.issue());
        let found = doctor(&home);
        found.assert_verdict("API02023", 4, "clock");
        let offset: i64 = found
            .fact("clock", "clock_offset_s")
            .parse()
            .expect("a number");
        assert!((offset - skew).abs() <= 2, "{offset}");
        let word = if skew > 0 { "ahead" } else { "behind" };
        assert!(found.json["says"].as_str().expect("a text").contains(word));
    }
}

#[test]
fn an_issuer_that_differs_by_a_slash_or_a_scheme() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let home = home_with(&format!("{}/", issuer.url()), &issuer.url_of("/api"), "");
    import(&home, &issuer.issue());
    let found = doctor(&home);
    found.assert_verdict("API02021", 4, "issuer");
    assert_eq!(found.fact("issuer", "difference"), "the slash at the end");
    let step = format!("Set issuer = \"{}\" in [sessions.shop]", issuer.url());
    assert_eq!(found.steps()[0], step);

    // The step heals it.
    let text = std::fs::read_to_string(home.path().join("tenure.toml")).expect("readable");
    let healed = text.replace(
        &format!("\"{}/\"", issuer.url()),
        &format!("\"{}\"", issuer.url()),
    );
    home.write("tenure.toml", &healed);
    assert_eq!(doctor(&home).code(), "");

    issuer.set_public_url(&issuer.url().replace("http:", "https:"));
    let found = doctor(&home);
    found.assert_verdict("API02021", 4, "issuer");
    assert_eq!(
        found.fact("issuer", "difference"),
        "the scheme (http/https)"
    );
}

#[test]
fn a_header_that_is_taken_on_the_way() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let thief = Middleman::start(issuer.addr(), "authorization", "nginx/1.27.3");
    let home = home_with(&issuer.url(), &thief.url_of("/api"), "");
    import(&home, &issuer.issue());
    let found = doctor(&home);
    found.assert_verdict("API02024", 4, "header");
    assert_eq!(found.outcome("api"), "skipped");
    let paste = found.json["fixes"][0]["paste"].as_str().expect("a text");
    assert!(
        paste.contains("fastcgi_param HTTP_AUTHORIZATION"),
        "{paste}"
    );
    assert!(
        thief
            .requests()
            .iter()
            .any(|request| request.bearer().is_some())
    );
}

#[test]
fn a_key_that_is_no_longer_published() {
    let issuer = FaultyIssuer::start(IssuerConfig::new().signed_jwt());
    let home = home_at(&issuer);
    import(&home, &issuer.issue());
    issuer.replace_key();
    let found = doctor(&home);
    assert_eq!(found.code(), "API02022", "{:#}", found.json);
    assert_eq!(found.json["verdict"]["cause"], "key_no_longer_published");
    assert_eq!(found.json["verdict"]["heal"], "refresh");
    // The step heals it.
    let found = examine(&home, &["shop", "--path", "/orders", "--allow-refresh"]);
    assert_eq!((found.code(), found.ran.code), ("", 0), "{:#}", found.json);
    assert_eq!(found.outcome("renewal"), "ok");
    assert_eq!(issuer.exchanges().len(), 1);
}

#[test]
fn a_session_that_was_revoked_and_refused_for_good() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let home = home_at(&issuer);
    import(&home, &issuer.issue());
    issuer.revoke_all_families();
    // The first use finds out and latches it.
    let ran = home.run(&["request", "shop", "GET", "/orders"]);
    assert_ne!(ran.code, 0, "{ran:?}");
    let asked = issuer.exchanges().len();
    let found = doctor(&home);
    found.assert_verdict("API02007", 3, "state");
    assert_eq!(
        found.json["verdict"]["because"]["code"], "API02014",
        "{:#}",
        found.json
    );
    assert_eq!(found.json["fixes"][0]["command"], "tenure login shop");
    assert_eq!(issuer.exchanges().len(), asked);
    // The step, carried out, heals it.
    import(&home, &issuer.issue());
    assert_eq!(doctor(&home).code(), "");
}

#[test]
fn an_access_token_that_was_revoked_before_its_time() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let home = home_at(&issuer);
    import(&home, &issuer.issue());
    issuer.revoke_access_tokens();
    let found = doctor(&home);
    found.assert_verdict("API02011", 5, "introspection");
    assert_eq!(found.json["verdict"]["heal"], "refresh");
}

#[test]
fn a_client_secret_that_is_wrong_and_one_that_cannot_be_read() {
    let config = || IssuerConfig::new().client("lab", "the-right-one-0123456789");
    let client = "client_id = \"lab\"\nclient_secret = { file = \"secret\" }";
    let issuer = FaultyIssuer::start(config());
    let home = home_with(&issuer.url(), &issuer.url_of("/api"), client);
    home.write("secret", "the-right-one-0123456789\n");
    import(&home, &issuer.issue());
    let found = doctor(&home);
    assert_eq!(found.code(), "", "{:#}", found.json);
    assert_eq!(found.outcome("client"), "ok");
    assert_eq!(found.outcome("introspection"), "ok");

    home.write("secret", "canary-the-wrong-one-0123\n");
    let found = doctor(&home);
    found.assert_verdict("API02019", 4, "client");
    assert!(!found.ran.out.contains("canary"), "{}", found.ran.out);

    // The step, carried out, heals it.
    home.write("secret", "the-right-one-0123456789\n");
    assert_eq!(doctor(&home).code(), "");

    std::fs::remove_file(home.path().join("secret")).expect("it was there");
    let found = doctor(&home);
    found.assert_verdict("API02019", 4, "config");
}

#[test]
fn a_scope_that_is_missing() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let home = home_at(&issuer);
    import(&home, &issuer.issue());
    let found = examine(&home, &["shop", "--path", "/scope403"]);
    found.assert_verdict("API02005", 4, "scopes");
    let all = found.steps().join("\n");
    assert!(all.contains("Add `orders:write` to `scopes`"), "{all}");
}

#[test]
fn a_token_that_lives_too_short() {
    let issuer = FaultyIssuer::start(IssuerConfig::new().access_ttl_s(30));
    let home = home_at(&issuer);
    import(&home, &issuer.issue());
    let found = doctor(&home);
    assert_eq!(
        (found.code(), found.outcome("lifetime")),
        ("", "warn"),
        "{:#}",
        found.json
    );
}

#[test]
fn a_store_whose_key_is_another() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let keyed = |home: &Home, key: &str| {
        home.write(
            "tenure.toml",
            &format!(
                "[keeper]\nstore_key = {{ file = \"{key}\" }}\n[sessions.shop]\nprovider = \"oauth2\"\nissuer = \"{}\"\nupstream = \"{}\"\nclient_id = \"lab\"\n",
                issuer.url(),
                issuer.url_of("/api")
            ),
        );
    };
    let home = Home::new();
    keyed(&home, "first.key");
    import(&home, &issuer.issue());
    let other = Home::new();
    keyed(&other, "other.key");
    import(&other, &json!({ "access_token": "x", "expires_in": 300 }));
    let keys: Vec<_> = walk(other.path(), "other.key");
    assert_eq!(keys.len(), 1, "{keys:?}");
    let target = walk(home.path(), "first.key")
        .remove(0)
        .with_file_name("other.key");
    std::fs::copy(&keys[0], target).expect("copied");
    keyed(&home, "other.key");
    let found = doctor(&home);
    found.assert_verdict("API02026", 4, "store");
    assert_eq!(found.outcome("state"), "skipped");
}

#[test]
fn a_store_that_is_none_stays_as_it_is() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let home = home_at(&issuer);
    let text = "no database at all ".repeat(20);
    home.write("data/tenure.db", &text);
    let found = doctor(&home);
    found.assert_verdict("API02026", 4, "store");
    let after = std::fs::read_to_string(home.data().join("tenure.db")).expect("readable");
    assert_eq!(after, text);
}

fn walk(dir: &std::path::Path, name: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(walk(&path, name));
        } else if path.file_name().is_some_and(|file| file == name) {
            found.push(path);
        }
    }
    found
}

/// Answers packets as a clock that is right.
fn third_clock() -> String {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        let mut packet = [0; 48];
        while let Ok((_, from)) = socket.recv_from(&mut packet) {
            let mut answer = [0; 48];
            (answer[0], answer[1]) = (0x24, 2);
            answer[24..32].copy_from_slice(&packet[40..48]);
            let now = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .expect("after 1970");
            let seconds = u32::try_from(now.as_secs() + 2_208_988_800).expect("before 2036");
            answer[32..36].copy_from_slice(&seconds.to_be_bytes());
            answer[40..44].copy_from_slice(&seconds.to_be_bytes());
            socket.send_to(&answer, from).expect("answered");
        }
    });
    address
}

#[test]
fn a_third_clock_says_whose_is_wrong() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    issuer.clock().set_skew(3_600);
    let home = home_at(&issuer);
    import(&home, &issuer.issue());
    let found = examine(&home, &["shop", "--sntp", &third_clock()]);
    found.assert_verdict("API02023", 4, "clock");
    assert_eq!(found.outcome("sntp"), "ok");
    assert_eq!(found.json["verdict"]["cause"], "server_clock_wrong");
    assert_eq!(found.json["verdict"]["who"], "server_admin");
    // The step, carried out, heals it.
    issuer.clock().set_skew(0);
    assert_eq!(doctor(&home).code(), "");
}

#[test]
fn a_token_that_ended_and_nothing_to_renew_it_with() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let home = home_at(&issuer);
    let mut pair = issuer.issue();
    issuer.expire_access_now();
    let fields = pair.as_object_mut().expect("an object");
    let refresh = fields.remove("refresh_token").expect("it rotates");
    let obtained = fields["obtained_at"].as_i64().expect("a number") - 3_600;
    fields["obtained_at"] = json!(obtained);
    import(&home, &pair);
    let found = doctor(&home);
    found.assert_verdict("API02002", 3, "token");

    // With a refresh token the same is daily life.
    pair["refresh_token"] = refresh;
    import(&home, &pair);
    let found = doctor(&home);
    assert_eq!(
        (found.code(), found.outcome("token")),
        ("", "warn"),
        "{:#}",
        found.json
    );
    assert_eq!(issuer.exchanges().len(), 0);
}

#[test]
fn a_session_begun_with_a_refresh_token_alone_has_no_access_token_yet() {
    let issuer = FaultyIssuer::start(IssuerConfig::new().signed_jwt());
    let home = home_at(&issuer);
    let refresh = issuer.issue()["refresh_token"].clone();
    import(&home, &json!({ "refresh_token": refresh }));
    let found = doctor(&home);
    assert_eq!(found.code(), "", "{:#}", found.json);
    for id in ["token", "lifetime", "audience"] {
        let says = found.check(id)["says"].as_str().expect("a text");
        assert!(says.contains("no access token yet"), "{id}: {says}");
    }
    assert_eq!(found.outcome("refresh_token"), "ok", "{:#}", found.json);
    assert_eq!(issuer.exchanges().len(), 0);
}

#[test]
fn a_server_that_is_down_for_maintenance_and_one_that_asked_for_a_pause() {
    let issuer = FaultyIssuer::start(IssuerConfig::new().client("lab", "the-right-one-0123456789"));
    let client = "client_id = \"lab\"\nclient_secret = { file = \"secret\" }";
    let home = home_with(&issuer.url(), &issuer.url_of("/api"), client);
    home.write("secret", "the-right-one-0123456789");
    import(&home, &issuer.issue());
    issuer.api_faults().until_cleared(Fault::status(503, "{}"));
    doctor(&home).assert_verdict("API01008", 5, "http");
    issuer.api_faults().clear();

    issuer.expire_access_now();
    issuer.faults().until_cleared(Fault::RetryAfterSeconds(600));
    let ran = home.run(&["request", "shop", "GET", "/orders"]);
    assert_ne!(ran.code, 0, "{ran:?}");
    let asked = issuer.hits("/token");
    let found = doctor(&home);
    assert_eq!(found.outcome("pace"), "warn", "{:#}", found.json);
    assert_eq!(found.check("pace")["failure"]["code"], "API03005");
    assert_eq!(found.outcome("client"), "skipped");
    assert_eq!(issuer.hits("/token"), asked, "it is left alone");
}
