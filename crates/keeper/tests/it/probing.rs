//! `probe` against the WordPress stand-ins: which plugin is it, and how does it know.

use tenure_keeper::probe::{Found, probe};
use tenure_lab::wordpress::{SimpleJwtLogin, Site, Tmeister, Usefulteam, Wcpos};

async fn found(site: &Site) -> Found {
    let http = tenure_http::Client::new().expect("a client");
    let url = site.url().parse().expect("a URL");
    probe(&http, &url).await.expect("a server is found")
}

#[tokio::test]
async fn plugins_of_one_namespace_are_told_apart() {
    let sites: [(&str, Box<dyn std::ops::Deref<Target = Site>>, &str); 4] = [
        (
            "wordpress-tmeister",
            Box::new(Tmeister::start()),
            "answers POST /jwt-auth/v1/token/validate",
        ),
        (
            "wordpress-usefulteam",
            Box::new(Usefulteam::start()),
            "/jwt-auth/v1/token/refresh",
        ),
        (
            "wordpress-simple-jwt-login-3",
            Box::new(SimpleJwtLogin::start(3)),
            "answers GET /simple-jwt-login/v1/auth/validate",
        ),
        (
            "wordpress-simple-jwt-login-4",
            Box::new(SimpleJwtLogin::start(4)),
            "/simple-jwt-login/v1/auth/2fa",
        ),
    ];
    for (name, site, reason) in sites {
        let found = found(&site).await;
        assert_eq!(found.provider, name, "{found:?}");
        let told = found.evidence.join("\n");
        assert!(told.contains(reason) && !told.contains("guess"), "{told}");
    }
}

#[tokio::test]
async fn without_routes_in_the_index_an_answer_tells() {
    let sites: [(&str, Box<dyn std::ops::Deref<Target = Site>>); 4] = [
        ("wordpress-tmeister", Box::new(Tmeister::start())),
        ("wordpress-usefulteam", Box::new(Usefulteam::start())),
        (
            "wordpress-simple-jwt-login-3",
            Box::new(SimpleJwtLogin::start(3)),
        ),
        (
            "wordpress-simple-jwt-login-4",
            Box::new(SimpleJwtLogin::start(4)),
        ),
    ];
    for (name, site) in sites {
        site.hide_routes();
        let found = found(&site).await;
        assert_eq!(found.provider, name, "{found:?}");
        assert!(
            found.evidence.join("\n").contains("without a token"),
            "{found:?}"
        );
        assert!(
            site.requests()
                .iter()
                .all(|request| request.header("authorization").is_none()),
            "nothing but questions"
        );
    }
}

/// A site of which nothing but the index is known.
async fn site(index: &serde_json::Value) -> Found {
    let index = index.to_string();
    let app = axum::Router::new().route(
        "/wp-json/",
        axum::routing::get(move || std::future::ready(index.clone())),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let http = tenure_http::Client::new().expect("a client");
    let found = probe(&http, &url.parse().expect("a URL")).await;
    server.abort();
    found.expect("a server is found")
}

#[tokio::test]
async fn a_guess_is_said_to_be_one() {
    // No routes and no answer; then routes that no profile describes (the paid sibling of a plugin).
    let silent = serde_json::json!({ "namespaces": ["jwt-auth/v1"] });
    let paid = serde_json::json!({
        "namespaces": ["jwt-auth/v1"],
        "routes": { "/jwt-auth/v1/token/refresh": {}, "/jwt-auth/v1/token/revoke": {} },
    });
    for index in [silent, paid] {
        let found = site(&index).await;
        let told = found.evidence.join("\n");
        assert!(
            told.contains("is a guess")
                && told.contains("change `provider` to \"wordpress-tmeister\""),
            "{told}"
        );
        assert_eq!(found.provider, "wordpress-usefulteam", "{told}");
    }
    // Without an answer, what is missing still tells.
    let listed = serde_json::json!({
        "namespaces": ["jwt-auth/v1"],
        "routes": { "/jwt-auth/v1/token": {} },
    });
    let found = site(&listed).await;
    let told = found.evidence.join("\n");
    assert_eq!(found.provider, "wordpress-tmeister", "{told}");
    assert!(told.contains("has no /jwt-auth/v1/token/refresh"), "{told}");
}

#[tokio::test]
async fn a_point_of_sale_is_known_without_routes() {
    let found = found(&Wcpos::start()).await;
    assert_eq!(found.provider, "wcpos", "{found:?}");
}
