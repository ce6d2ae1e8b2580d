//! The administrators' API: who gets in, what it does, and that it is as it is described.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::net::SocketAddr;
use support::{Answer, HOUR, SECOND, Server};
use tower::ServiceExt;

const OWN: &str = "correct horse battery staple";

/// An administrator's program.
struct Console {
    server: Server,
    router: Router,
    token: Option<String>,
}

impl Console {
    /// With a token of the first administrator.
    async fn inside() -> Self {
        let mut console = Self::outside().await;
        let (name, secret) = console.first().await;
        let login = json!({ "name": name, "secret": secret, "new_secret": OWN });
        let answer = console.post("/login", &login).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        console.token = Some(answer.text_of("token"));
        console
    }

    async fn outside() -> Self {
        let server = Server::start().await;
        Self {
            router: server.issuer.admin_router(),
            server,
            token: None,
        }
    }

    async fn first(&self) -> (String, String) {
        let made = self.server.issuer.first_administrator().await.unwrap();
        let (name, secret) = made.unwrap();
        (name.to_owned(), secret.expose().to_owned())
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/admin/v1{path}"))
            .extension(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 50_000))));
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let request = request
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)
            .unwrap();
        self.answer(request).await
    }

    async fn answer(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, Some(body)).await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }
}

fn assert_problem(answer: &Answer, status: u16, reason: Option<&str>, words: &str) {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
    assert_eq!(
        answer.header(header::CONTENT_TYPE),
        "application/problem+json"
    );
    assert_eq!(answer.json()["reason"].as_str(), reason, "{}", answer.text);
    assert!(answer.text.contains(words), "{}", answer.text);
}

#[tokio::test]
async fn a_one_time_secret_is_good_for_one_login_that_chooses_another() {
    let console = Console::outside().await;
    let (name, secret) = console.first().await;
    assert_eq!(name, "admin");
    let again = console.server.issuer.first_administrator().await.unwrap();
    assert!(again.is_none(), "there is one");

    let alone = json!({ "name": name, "secret": secret });
    let refused = console.post("/login", &alone).await;
    assert_problem(&refused, 403, Some("choose_secret"), "new_secret");
    for (weak, why) in [("short", "at least 12"), (secret.as_str(), "another one")] {
        let login = json!({ "name": name, "secret": secret, "new_secret": weak });
        let refused = console.post("/login", &login).await;
        assert_problem(&refused, 422, Some("weak_secret"), why);
        assert!(!refused.text.contains(&secret));
    }
    let login = json!({ "name": "ADMIN", "secret": secret, "new_secret": OWN });
    let inside = console.post("/login", &login).await;
    assert_eq!(inside.status, StatusCode::OK, "{}", inside.text);
    assert_eq!(inside.header(header::CACHE_CONTROL), "no-store");

    let login = json!({ "name": name, "secret": secret, "new_secret": "yet another secret" });
    let refused = console.post("/login", &login).await;
    assert_problem(&refused, 401, Some("login_rejected"), "wrong");
    let own = json!({ "name": name, "secret": OWN });
    assert_eq!(console.post("/login", &own).await.status, StatusCode::OK);
}

#[tokio::test]
async fn of_two_that_come_at_once_with_one_secret_one_is_let_in() {
    let console = Console::outside().await;
    let (name, secret) = console.first().await;
    let login = |own: &str| json!({ "name": name, "secret": secret, "new_secret": own });
    let (one, other) = (login("the owner's secret"), login("the thief's secret"));
    let (one, other) = tokio::join!(console.post("/login", &one), console.post("/login", &other));
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401]);
}

#[tokio::test]
async fn a_one_time_secret_that_is_a_week_old_is_refused_and_made_anew() {
    let mut console = Console::outside().await;
    let (name, secret) = console.first().await;
    console.server.wait(8 * 24 * HOUR);
    let login = json!({ "name": name, "secret": secret, "new_secret": OWN });
    let refused = console.post("/login", &login).await;
    assert_problem(&refused, 401, Some("login_rejected"), "reset");
    let admin = console.server.issuer.admin("ops on here");
    let secret = admin.reset_administrator("Admin").await.unwrap();
    let login = json!({ "name": name, "secret": secret.expose(), "new_secret": OWN });
    let inside = console.post("/login", &login).await;
    assert_eq!(inside.status, StatusCode::OK, "{}", inside.text);

    // A reset ends what was let in before.
    console.token = Some(inside.text_of("token"));
    assert_eq!(console.get("/users").await.status, StatusCode::OK);
    admin.reset_administrator(&name).await.unwrap();
    let refused = console.get("/users").await;
    assert_problem(&refused, 401, Some("token_unknown"), "log in again");
}

#[tokio::test]
async fn guessing_is_slowed_down_and_says_nothing_about_names() {
    let console = Console::outside().await;
    console.first().await;
    let guess = |name: &str| json!({ "name": name, "secret": "not the secret" });
    let known = console.post("/login", &guess("admin")).await;
    let unknown = console.post("/login", &guess("nobody")).await;
    assert_eq!((known.status, &known.text), (unknown.status, &unknown.text));
    let mut last = known;
    for _ in 0..8 {
        last = console.post("/login", &guess("admin")).await;
    }
    assert_eq!(last.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(!last.header(header::RETRY_AFTER).is_empty());
    let filter = tenure_issuer::AuditFilter {
        action: Some("administrator.refused".into()),
        ..Default::default()
    };
    let log = console.server.issuer.audit(filter, 100).await.unwrap();
    assert!(
        log.len() >= 6
            && log
                .iter()
                .all(|entry| entry.who.address.as_deref() == Some("127.0.0.1"))
    );
}

#[tokio::test]
async fn only_a_living_token_opens_and_no_page_of_another_origin() {
    let mut console = Console::inside().await;
    let token = console.token.take().unwrap();
    let refused = console.get("/users").await;
    assert_problem(&refused, 401, Some("no_token"), "Bearer TOKEN");
    assert!(
        refused
            .header(header::WWW_AUTHENTICATE)
            .starts_with("Bearer")
    );
    // The tokens of users open nothing here.
    let login = console.server.login("openid").await;
    console.token = Some(login.text_of("access_token"));
    let refused = console.get("/users").await;
    assert_problem(&refused, 401, Some("token_unknown"), "");

    let request = Request::get("/admin/v1/users")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::ORIGIN, "http://127.0.0.1:7881")
        .body(Body::empty())
        .unwrap();
    assert_problem(&console.answer(request).await, 403, None, "origins");

    console.token = Some(token);
    assert_eq!(console.get("/users").await.status, StatusCode::OK);
    console.server.wait(HOUR + SECOND);
    let refused = console.get("/users").await;
    assert_problem(&refused, 401, Some("token_unknown"), "");
}

#[tokio::test]
async fn users_are_looked_after() {
    let console = Console::inside().await;
    let made = console.post("/users", &json!({ "name": "bob" })).await;
    assert_eq!(made.status, StatusCode::CREATED);
    assert!(made.text_of("password").len() >= 12);
    let twice = console.post("/users", &json!({ "name": "BOB" })).await;
    assert_problem(&twice, 409, None, "already");
    assert_eq!(console.get("/users/Bob").await.json()["disabled"], false);
    let closed = console.post("/users/bob/disable", &json!({})).await;
    assert_eq!(closed.json()["disabled"], true);
    assert_eq!(console.get("/users/bob").await.json()["disabled"], true);
    console.post("/users/bob/enable", &json!({})).await;
    assert_eq!(console.get("/users/bob").await.json()["disabled"], false);

    let login = console.server.login("openid").await;
    let set = json!({ "password": "another password" });
    let set = console.put("/users/ada/password", &set).await;
    assert_eq!(set.json()["sessions_ended"], 1, "{}", set.text);
    assert!(set.json()["password"].is_null());
    let refused = console
        .server
        .refresh(&login.text_of("refresh_token"))
        .await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_problem(&console.get("/users/eve").await, 404, None, "eve");
}

#[tokio::test]
async fn clients_are_looked_after() {
    let console = Console::inside().await;
    let asked = json!({ "id": "cron", "scopes": ["orders"], "grants": ["client-credentials"], "backchannel_logout_uri": "https://cron.example/told", "backchannel_logout_session_required": true });
    let made = console.post("/clients", &asked).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert_eq!(
        made.json()["backchannel_logout_uri"],
        asked["backchannel_logout_uri"]
    );
    assert_eq!(made.json()["backchannel_logout_session_required"], true);
    let secret = made.text_of("secret");
    assert!(!console.get("/clients/cron").await.text.contains(&secret));
    let grant = async |secret: &str| {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", "cron"),
            ("client_secret", secret),
        ];
        console.server.post("/token", &form).await.status
    };
    assert_eq!(grant(&secret).await, StatusCode::OK);
    let new = console.post("/clients/cron/secret", &json!({})).await;
    assert_eq!(grant(&secret).await, StatusCode::UNAUTHORIZED);
    assert_eq!(grant(&new.text_of("secret")).await, StatusCode::OK);
    assert_eq!(console.delete("/clients/cron").await.status, StatusCode::OK);
    assert_problem(&console.get("/clients/cron").await, 404, None, "cron");

    for (wrong, words) in [
        (json!({ "id": "x", "grants": ["teleport"] }), "teleport"),
        (json!({ "id": "x", "scopes": ["gold"] }), "gold"),
        (json!({ "id": "x", "proof": "keys" }), "keys"),
        (
            json!({ "id": "x", "proof": "public", "redirect_uris": ["/cb"] }),
            "absolute",
        ),
        (
            json!({ "id": "x", "backchannel_logout_uri": "http://10.0.0.1/told" }),
            "https",
        ),
    ] {
        let refused = console.post("/clients", &wrong).await;
        assert_problem(&refused, 422, None, words);
    }
}

#[tokio::test]
async fn a_client_without_rotation_keeps_its_refresh_token() {
    let console = Console::inside().await;
    let asked = json!({ "id": "fixed", "proof": "public", "grants": ["password", "refresh"], "rotate": false });
    let made = console.post("/clients", &asked).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let form = [
        ("grant_type", "password"),
        ("client_id", "fixed"),
        ("username", "ada"),
        ("password", support::PASSWORD),
    ];
    let login = console.server.post("/token", &form).await;
    let token = login.text_of("refresh_token");
    for _ in 0..3 {
        console.server.wait(HOUR);
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", "fixed"),
            ("refresh_token", token.as_str()),
        ];
        let refreshed = console.server.post("/token", &form).await;
        assert_eq!(refreshed.status, StatusCode::OK, "{}", refreshed.text);
        assert_eq!(refreshed.text_of("refresh_token"), token);
    }
}

#[tokio::test]
async fn sessions_are_seen_and_ended() {
    let console = Console::inside().await;
    let login = console.server.login("openid").await;
    console.server.login("openid").await;
    let all = console.get("/sessions?user=ada&limit=1").await.json();
    assert_eq!(
        (all["sessions"].as_array().unwrap().len(), &all["more"]),
        (1, &json!(true))
    );
    let listed = console.get("/sessions?user=ada&client=tenure").await.json();
    let sessions = listed["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 2);
    assert_eq!(
        console.get("/sessions?client=app").await.json()["sessions"],
        json!([])
    );
    let sid = sessions[0]["sid"].as_str().unwrap();
    let shown = console.get(&format!("/sessions/{sid}")).await.json();
    assert_eq!(shown["state"], "alive");
    let timeline = shown["timeline"].as_array().unwrap();
    assert_eq!(timeline[0]["action"], "session.began");

    let ended = console.delete(&format!("/sessions/{sid}")).await;
    assert_eq!(ended.json()["sessions_ended"], 1);
    let ended = console.delete(&format!("/sessions/{sid}")).await;
    assert_eq!(ended.json()["sessions_ended"], 0);
    assert_problem(&console.delete("/sessions/none").await, 404, None, "none");
    let ended = console
        .post("/sessions/revoke", &json!({ "user": "ada" }))
        .await;
    assert_eq!(ended.json()["sessions_ended"], 1);
    let refused = console
        .server
        .refresh(&login.text_of("refresh_token"))
        .await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    for wrong in [json!({}), json!({ "user": "ada", "all": true })] {
        let refused = console.post("/sessions/revoke", &wrong).await;
        assert_problem(&refused, 422, None, "name one of");
    }
}

#[tokio::test]
async fn keys_are_turned_over() {
    let console = Console::inside().await;
    let keys = console.post("/keys", &json!({})).await.json();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2);
    let early = console.post("/keys/promote", &json!({})).await;
    assert_problem(&early, 409, Some("too_early"), "too recently");
    let wait: i64 = early.header(header::RETRY_AFTER).parse().unwrap();
    console.server.wait(wait * SECOND);
    let keys = console.post("/keys/promote", &json!({})).await.json();
    let of = |state: &str| {
        let keys = keys["keys"].as_array().unwrap();
        keys.iter().find(|key| key["state"] == state).unwrap()["kid"].clone()
    };
    let old = of("retiring");
    let left = console
        .delete(&format!("/keys/{}", old.as_str().unwrap()))
        .await;
    assert!(
        left.json()["keys"]
            .as_array()
            .unwrap()
            .iter()
            .any(|key| key["state"] == "revoked")
    );
    assert_problem(&console.delete("/keys/none").await, 404, None, "none");
}

#[tokio::test]
async fn what_administrators_do_is_in_the_log_with_who_and_from_where() {
    let console = Console::inside().await;
    console.post("/users", &json!({ "name": "bob" })).await;
    let log = console.get("/audit?user=bob").await.json();
    let entry = &log["entries"][0];
    assert_eq!(
        (&entry["action"], &entry["by"], &entry["address"]),
        (
            &json!("user.added"),
            &json!("administrator admin"),
            &json!("127.0.0.1")
        )
    );
    let whole = console.get("/audit/verify").await.json();
    assert_eq!(whole["whole"], true);
    let head = whole["head"].as_str().unwrap().to_owned();
    let exported = console.get("/audit/export").await;
    let lines: Vec<Value> = exported
        .text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(json!(lines.len()), whole["entries"]);
    assert_eq!(lines[0]["seq"], 1);
    console.post("/users", &json!({ "name": "eve" })).await;
    let later = console
        .get(&format!("/audit/verify?head={head}"))
        .await
        .json();
    assert_eq!(later["whole"], true);
    let other = format!("{}:{}", 1, "ab".repeat(32));
    let broken = console
        .get(&format!("/audit/verify?head={other}"))
        .await
        .json();
    assert_eq!(broken["whole"], false);
    assert_problem(
        &console.get("/audit/verify?head=x").await,
        400,
        None,
        "SEQ:MAC",
    );
}

#[tokio::test]
async fn administrators_look_after_one_another_and_the_last_one_stays() {
    let mut console = Console::inside().await;
    let refused = console.delete("/administrators/admin").await;
    assert_problem(&refused, 422, None, "last one");
    let made = console
        .post("/administrators", &json!({ "name": "eva" }))
        .await;
    assert_eq!(made.status, StatusCode::CREATED);
    let twice = console
        .post("/administrators", &json!({ "name": "EVA" }))
        .await;
    assert_problem(&twice, 422, None, "already");
    let asked = json!({ "label": "backup job", "days": 2 });
    let token = console.post("/administrators/eva/tokens", &asked).await;
    assert_eq!(token.status, StatusCode::CREATED, "{}", token.text);
    let all = console.get("/administrators").await.json();
    assert_eq!(all["administrators"][1]["tokens"], json!(["backup job"]));
    let own = console.token.replace(token.text_of("token"));
    console.server.wait(24 * HOUR);
    assert_eq!(console.get("/users").await.status, StatusCode::OK);
    console.server.wait(24 * HOUR);
    assert_eq!(console.get("/users").await.status, StatusCode::UNAUTHORIZED);
    assert_ne!(own, console.token);

    // One's own token, given back.
    let login = json!({ "name": "admin", "secret": OWN });
    console.token = Some(console.post("/login", &login).await.text_of("token"));
    assert_eq!(
        console.delete("/administrators/eva").await.status,
        StatusCode::NO_CONTENT
    );
    assert_problem(
        &console.delete("/administrators/eva").await,
        404,
        None,
        "eva",
    );
    assert_eq!(
        console.post("/logout", &json!({})).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(console.get("/users").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn bodies_that_are_wrong_are_told_and_no_secret_is_repeated() {
    let console = Console::inside().await;
    let secret = "hunter2-canary";
    for (path, body, status, words) in [
        (
            "/users",
            json!({ "nam": "x", "password": secret }),
            400,
            "unknown field `nam`",
        ),
        (
            "/users",
            json!({ "password": secret }),
            400,
            "missing field `name`",
        ),
        (
            "/users",
            json!({ "name": 7, "password": secret }),
            400,
            "wrong kind, at line 1",
        ),
        ("/users", json!([secret]), 400, "wrong kind"),
        (
            "/users",
            json!({ "name": "", "password": secret }),
            422,
            "1 to 200 bytes",
        ),
        (
            "/login",
            json!({ "name": "admin", "secret": { "x": secret } }),
            400,
            "wrong kind",
        ),
    ] {
        let refused = console.post(path, &body).await;
        assert_problem(&refused, status, None, words);
        assert!(!refused.text.contains(secret), "{}", refused.text);
    }
    let mut request = Request::post("/admin/v1/users")
        .header(
            header::AUTHORIZATION,
            format!("Bearer {}", console.token.as_ref().unwrap()),
        )
        .body(Body::from("name=x"))
        .unwrap();
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    request.headers_mut().insert(header::CONTENT_TYPE, form);
    assert_problem(
        &console.answer(request).await,
        415,
        None,
        "application/json",
    );
    assert_problem(&console.get("/sessions?limit=x").await, 400, None, "query");
    assert_problem(&console.get("/none").await, 404, None, "openapi.json");
    assert_problem(&console.delete("/users").await, 405, None, "DELETE");
}

#[tokio::test]
async fn every_route_is_described_with_its_methods() {
    const ROUTES: &str = include_str!("../src/admin_api/mod.rs");
    let console = Console::inside().await;
    let document = console.get("/openapi.json").await.json();
    let paths = document["paths"].as_object().unwrap();
    let calls = ROUTES.split(".route(").skip(1);
    let mut routes: Vec<&str> = calls.map(|call| call.split('"').nth(1).unwrap()).collect();
    routes.sort_unstable();
    let mut described: Vec<&str> = paths.keys().map(String::as_str).collect();
    described.sort_unstable();
    assert_eq!(described, routes);
    for (path, methods) in paths {
        let address = ["{name}", "{id}", "{sid}", "{kid}"]
            .iter()
            .fold(path.clone(), |path, part| path.replace(part, "none"));
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
            if path.ends_with("/logout") {
                continue;
            }
            let name = method.as_str().to_lowercase();
            let address = address.trim_start_matches("/admin/v1");
            let answer = console.send(method, address, None).await;
            let known = answer.status != StatusCode::METHOD_NOT_ALLOWED;
            assert_eq!(known, methods.get(&name).is_some(), "{name} {path}");
            let told = &methods[&name]["responses"][answer.status.as_str()];
            assert!(
                !known || told.is_object(),
                "{name} {path}: {}",
                answer.status
            );
        }
    }
}
