//! Where a token may travel: to its session's own origins and nowhere else (I15).

use tenure_lab::{Fault, FaultyIssuer, IssuerConfig, Sink};

use crate::common::{Home, wait_for};
use crate::support::{Keeper, ending_in, home_at, home_between, import, seed};

/// An issuer with its keeper, and a place where no token may arrive.
struct Scene {
    issuer: FaultyIssuer,
    sink: Sink,
    home: Home,
    up: Keeper,
}

fn scene(upstream_path: &str) -> Scene {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let home = home_between(&issuer.token_endpoint(), &issuer.url_of(upstream_path), "");
    seed(&home, &issuer);
    let up = Keeper::start(&home);
    Scene {
        issuer,
        sink: Sink::start(),
        home,
        up,
    }
}

impl Scene {
    fn assert_nothing_leaked(&self) {
        let leaked = self.sink.requests();
        assert!(leaked.is_empty(), "{leaked:?}");
    }
}

#[test]
fn a_redirect_to_another_origin_is_passed_on_and_not_followed() {
    let scene = scene("/api");
    let elsewhere = scene.sink.url_of("/collect?from=redirect");
    scene.issuer.set_redirect(&elsewhere);
    let answer = scene.up.get("/shop/redirect");
    assert_eq!(answer.status, 302, "{answer:?}");
    assert_eq!(answer.header("location"), Some(elsewhere.as_str()));
    let ran = scene
        .home
        .run(&["request", "shop", "GET", "/redirect", "-i"]);
    assert!(ran.out.contains(&elsewhere), "{ran:?}");
    // To the same host under another name, as well.
    let alias = scene.sink.url().replace("127.0.0.1", "localhost");
    scene.issuer.set_redirect(&alias);
    assert_eq!(
        scene.up.get("/shop/redirect").header("location"),
        Some(alias.as_str())
    );
    scene.assert_nothing_leaked();
}

#[test]
fn a_token_endpoint_that_redirects_gets_no_refresh_token_sent_after_it() {
    let sink = Sink::start();
    for status in [301, 302, 303, 307, 308] {
        let issuer = FaultyIssuer::start(IssuerConfig::new());
        let home = home_at(&issuer, "");
        import(&home, &ending_in(issuer.issue(), 5));
        issuer.faults().next(Fault::Status(
            status,
            String::new(),
            vec![("location".to_owned(), sink.url_of("/token"))],
        ));
        let ran = home.run(&["token", "shop", "--min-valid", "60s"]);
        // A redirect proves nothing about the token (I5): either it was tried again, or it is said to pass.
        assert!(matches!(ran.code, 0 | 5), "{status}: {ran:?}");
        let leaked = sink.requests();
        assert!(leaked.is_empty(), "{status}: {leaked:?}");
        // The endpoint is left alone for a while first, by this process, too.
        wait_for("the renewal", || {
            let ran = home
                .run(&["token", "shop", "--min-valid", "60s", "--json"])
                .ok();
            (ran.json()["generation"] == 2).then_some(())
        });
        assert_eq!(issuer.most_presented(), 1, "{status}");
    }
}

#[test]
fn no_request_target_reaches_another_upstream() {
    let scene = scene("/api");
    let sink = scene.sink.addr();
    let targets = [
        format!("http://{sink}/steal"),
        format!("http://{sink}/shop/steal"),
        format!("http://shop@{sink}/steal"),
        format!("https://{sink}/steal"),
        format!("//{sink}/steal"),
        format!("/{sink}/steal"),
        format!("/shop//{sink}/steal"),
        format!("/shop/http://{sink}/steal"),
        format!("/shop@{sink}/steal"),
        format!("/shop/@{sink}/steal"),
        format!("/shop:{sink}/steal"),
        format!("/shop?@{sink}/steal"),
        "/shop//evil".to_owned(),
        "/shop/..%2f..%2ftoken".to_owned(),
        "/shop/%2e%2e/token".to_owned(),
        "/shop/%2E%2E%2Ftoken".to_owned(),
        "/shop/../token".to_owned(),
        "/shop/..;/token".to_owned(),
        "/shop/..\\token".to_owned(),
        "/shop/..%5ctoken".to_owned(),
        "/shop/x/../../token".to_owned(),
        "/shop/./../token".to_owned(),
        "/%2e%2e/shop/orders".to_owned(),
        "/nosuch/orders".to_owned(),
        "/shop%2forders".to_owned(),
    ];
    for target in &targets {
        let answer = scene.up.raw(target, &[]);
        assert!(answer.status >= 400, "{target}: {answer:?}");
    }
    scene.assert_nothing_leaked();
    for request in scene.issuer.requests() {
        assert!(
            (request.path == "/api" || request.path.starts_with("/api/"))
                && !request.path.contains(".."),
            "left the upstream's base path: {}",
            request.path
        );
    }
}

#[test]
fn headers_choose_no_other_upstream() {
    let scene = scene("");
    let sink = scene.sink.addr().to_string();
    for name in [
        "x-forwarded-host",
        "x-original-url",
        "x-rewrite-url",
        "forwarded",
        "x-http-method-override",
        "tenure-session",
    ] {
        let answer = scene.up.raw("/shop/api/orders", &[(name, &sink)]);
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
    }
    for host in [sink.as_str(), "evil.example", "shop.localhost.evil.example"] {
        let answer = scene.up.raw("/shop/api/orders", &[("host", host)]);
        // A loopback address with another port is this machine, but never another upstream.
        let own = host == sink;
        assert_eq!(
            answer.status,
            if own { 200 } else { 421 },
            "{host}: {answer:?}"
        );
    }
    scene.assert_nothing_leaked();
}

#[test]
fn web_pages_and_rebound_names_are_refused_before_anything_is_sent() {
    let scene = scene("/api");
    let own = format!("http://{}", scene.up.gateway_address());
    let localhost = scene
        .up
        .gateway_address()
        .replace("127.0.0.1", "shop.localhost");
    let cases: [(u16, &[(&str, &str)]); 10] = [
        (421, &[("host", "evil.example")]),
        (421, &[("host", "127.0.0.1.nip.example")]),
        (421, &[("host", "0.0.0.0")]),
        (421, &[("host", "tenure.local:7878")]),
        (403, &[("origin", "https://evil.example")]),
        (403, &[("origin", "null")]),
        (403, &[("sec-fetch-site", "cross-site")]),
        (403, &[("sec-fetch-site", "same-site")]),
        (
            403,
            &[("origin", own.as_str()), ("sec-fetch-site", "cross-site")],
        ),
        (
            403,
            &[("origin", "http://127.0.0.1:1"), ("sec-fetch-mode", "cors")],
        ),
    ];
    for (status, headers) in cases {
        let answer = scene.up.raw("/shop/orders", headers);
        assert_eq!(answer.status, status, "{headers:?}: {answer:?}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json"),
            "{answer:?}"
        );
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    // The same by the session's own host name.
    let answer = scene.up.raw(
        "/orders",
        &[("host", &localhost), ("origin", "http://evil.example")],
    );
    assert_eq!(answer.status, 403, "{answer:?}");
    assert_eq!(
        scene.issuer.requests().len(),
        0,
        "nothing was sent upstream"
    );
    // Who may, may.
    assert_eq!(scene.up.raw("/orders", &[("host", &localhost)]).status, 200);
    let typed = [("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate")];
    assert_eq!(scene.up.raw("/shop/orders", &typed).status, 200);
}

#[test]
fn an_absolute_path_on_the_command_line_stays_at_the_upstream() {
    let scene = scene("/api");
    let sink = scene.sink.addr();
    for path in [
        format!("http://{sink}/steal"),
        format!("//{sink}/steal"),
        format!("@{sink}/steal"),
        "/../token".to_owned(),
        "/%2e%2e/token".to_owned(),
    ] {
        let ran = scene.home.run(&["request", "shop", "GET", &path]);
        assert_ne!(ran.code, 0, "{path}: {ran:?}");
    }
    scene.assert_nothing_leaked();
    for request in scene.issuer.requests() {
        assert!(request.path.starts_with("/api/"), "{}", request.path);
    }
}
