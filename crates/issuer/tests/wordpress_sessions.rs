//! What lies behind the dialects of WordPress plugins: sessions, revocation, codes that say why, the shared secret.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;

use axum::body::Body;
use http::{Request, StatusCode, header};
use serde_json::{Value, json};
use support::wordpress::*;
use support::{HOUR, PASSWORD, SECOND, Server, form, sql};
use tenure_core::Secret;
use tenure_issuer::{ClientRegistration, WordPress, WordpressPlugin};
use tenure_jose::peek;

#[tokio::test]
async fn a_lost_reply_is_no_theft_and_a_thief_is_found() {
    let server = speaking(WordpressPlugin::Usefulteam).await;
    let first = login("ada", PASSWORD).issuer(&server).await.cookie();
    let with = |path: &'static str, cookie: &str| post(path).with("cookie", cookie);
    let second = with(ROTATE, &first).issuer(&server).await.cookie();
    // The answer was lost: the same successor again, soon and much later; and access tokens all the while.
    for pause in [5 * SECOND, 8 * HOUR] {
        server.wait(pause);
        assert_eq!(with(ROTATE, &first).issuer(&server).await.cookie(), second);
        let again = with(TOKEN, &first).issuer(&server).await;
        assert_eq!(again.status, 200);
        assert_eq!(again.cookie(), second, "the successor comes along");
    }
    let third = with(ROTATE, &second).issuer(&server).await.cookie();
    let access = with(TOKEN, &third).issuer(&server).await.token();
    // Somebody else has the first one.
    let stolen = with(ROTATE, &first).issuer(&server).await;
    assert_eq!(
        (stolen.status, stolen.code()),
        (401, "jwt_auth_obsolete_refresh_token")
    );
    let owner = with(ROTATE, &third).issuer(&server).await;
    assert_eq!(owner.code(), "jwt_auth_obsolete_refresh_token");
    let heard = post(VALIDATE).bearer(&access).issuer(&server).await;
    assert_eq!(heard.code(), "jwt_auth_obsolete_token");
    // Two clients without a device name are two sessions, and OAuth's tokens are other ones.
    let (one, two) = (
        login("ada", PASSWORD).issuer(&server).await.cookie(),
        login("ada", PASSWORD).issuer(&server).await.cookie(),
    );
    for cookie in [&one, &two] {
        assert_eq!(with(ROTATE, cookie).issuer(&server).await.status, 200);
    }
    let foreign = server.login("orders").await.text_of("refresh_token");
    let cookie = format!("refresh_token={foreign}");
    let heard = with(ROTATE, &cookie).issuer(&server).await;
    assert_eq!(heard.code(), "jwt_auth_invalid_refresh_token");
    let crossed = server.refresh(one.split_once('=').unwrap().1).await;
    assert_eq!(crossed.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn many_who_replace_one_cookie_at_once_get_one_successor() {
    let server = Arc::new(speaking(WordpressPlugin::Usefulteam).await);
    let cookie = login("ada", PASSWORD).issuer(&server).await.cookie();
    let asking: Vec<_> = (0..32)
        .map(|_| {
            let (server, cookie) = (Arc::clone(&server), cookie.clone());
            tokio::spawn(async move {
                let heard = post(ROTATE).with("cookie", cookie).issuer(&server).await;
                assert_eq!(heard.status, 200, "{heard:?}");
                heard.cookie()
            })
        })
        .collect();
    let mut successors = std::collections::BTreeSet::new();
    for one in asking {
        successors.insert(one.await.unwrap());
    }
    assert_eq!(successors.len(), 1);
    let sessions = server
        .issuer
        .sessions(tenure_issuer::SessionFilter::default(), 9)
        .await
        .unwrap();
    assert_eq!(sessions[0].info.family.generation, 2);
}

#[tokio::test]
async fn nothing_that_is_sent_breaks_anything() {
    let long = "x".repeat(70_000);
    let deep = "[".repeat(2_000);
    let bodies = [
        "",
        "null",
        "[]",
        "\"x\"",
        "{\"username\":[],\"password\":{}}",
        "{\"refresh_token\":17}",
        "a=b&a=c",
        "%",
        &deep,
        &long,
    ];
    let headers = [
        "Bearer \u{e9}",
        "Bearer ..",
        "Bearer a.b.c",
        "Bearer eyJhbGciOiJIUzI1NiJ9.e30.",
        "bearer x",
        " ",
    ];
    let cookies = [
        "refresh_token",
        "refresh_token=",
        "refresh_token=1.\u{e9}",
        ";;=;",
        "refresh_token=99999999999999999999.aa",
    ];
    for plugin in [
        WordpressPlugin::Tmeister,
        WordpressPlugin::Usefulteam,
        WordpressPlugin::Wcpos,
    ] {
        let server = speaking(plugin).await;
        for path in [
            TOKEN,
            VALIDATE,
            ROTATE,
            ME,
            POS_REFRESH,
            SESSIONS,
            "/wp-json//x",
            "/?rest_route=%00",
            "/wcpos-auth?%",
        ] {
            for (at, body) in bodies.iter().enumerate() {
                for kind in [
                    "application/json",
                    "application/x-www-form-urlencoded",
                    "\u{e9}",
                ] {
                    let request = Request::post(path)
                        .header(header::CONTENT_TYPE, kind)
                        .header(header::AUTHORIZATION, headers[at % headers.len()])
                        .header(header::COOKIE, cookies[at % cookies.len()]);
                    let answer = server.send(request.body(Body::from((*body).to_owned())).unwrap());
                    let answer = answer.await;
                    assert!(
                        !answer.status.is_server_error(),
                        "{path} {body}: {}",
                        answer.text
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn neither_kind_of_token_is_accepted_as_the_other() {
    let server = speaking(WordpressPlugin::Usefulteam).await;
    let mine = login("ada", PASSWORD).issuer(&server).await.token();
    assert_eq!(
        server.userinfo(&mine).await.status,
        StatusCode::UNAUTHORIZED
    );
    let asked = server
        .post_as_job("/introspect", &[("token", mine.as_str())])
        .await;
    assert_eq!(asked.json()["active"], false);
    let oauth = server.login("orders").await.text_of("access_token");
    let heard = post(VALIDATE).bearer(&oauth).issuer(&server).await;
    assert_eq!(heard.body["message"], "Incorrect key for this algorithm");
    // The secret is in no key set, and a token of it without a session is nobody's.
    let jwks = server.get("/jwks.json").await;
    assert!(!jwks.text.contains("oct"), "{}", jwks.text);
    assert_eq!(jwks.json()["keys"].as_array().unwrap().len(), 1);
    for (name, value) in [("sid", json!("x")), ("data", json!({}))] {
        let forged = forge(&server, &changed(&mine, &[(name, value)]));
        let heard = post(VALIDATE).bearer(&forged).issuer(&server).await;
        assert_eq!((heard.status, heard.code()), (401, "jwt_auth_bad_request"));
    }
}

#[tokio::test]
async fn nobody_learns_who_has_an_account() {
    for (plugin, status, prefix) in [
        (WordpressPlugin::Tmeister, 403, "[jwt_auth] "),
        (WordpressPlugin::Usefulteam, 401, ""),
    ] {
        let server = speaking(plugin).await;
        let wrong = login("ada", "wrong").issuer(&server).await;
        let unknown = login("nobody", "wrong").issuer(&server).await;
        assert_eq!(wrong.said(), unknown.said());
        assert_eq!(wrong.status, status);
        // Whoever knows the password is told.
        server
            .issuer
            .admin("a test")
            .set_disabled("ada", true)
            .await
            .unwrap();
        let disabled = login("ada", PASSWORD).issuer(&server).await;
        assert_eq!(
            (disabled.status, disabled.code()),
            (status, format!("{prefix}account_disabled").as_str())
        );
        assert_eq!(login("ada", "x").issuer(&server).await.said(), wrong.said());
        // Guessing is slowed down.
        let mut last = None;
        for _ in 0..8 {
            last = Some(login("bob", "guess").issuer(&server).await);
        }
        let last = last.unwrap();
        assert_eq!(
            (last.status, last.code()),
            (429, format!("{prefix}too_many_retries").as_str())
        );
        assert!(last.headers.contains_key(header::RETRY_AFTER));
        assert!(!last.body.to_string().contains("bob"));
    }
}

#[tokio::test]
async fn administrators_end_sessions_of_every_dialect() {
    let server = speaking(WordpressPlugin::Usefulteam).await;
    let begun = login("ada", PASSWORD).issuer(&server).await;
    let (token, cookie) = (begun.token(), begun.cookie());
    let listed = server
        .issuer
        .sessions(tenure_issuer::SessionFilter::default(), 9)
        .await
        .unwrap();
    assert_eq!(
        (
            listed[0].info.user.as_str(),
            listed[0].info.client_id.as_str()
        ),
        ("ada", "wordpress-usefulteam")
    );
    server
        .issuer
        .admin("a test")
        .set_disabled("ada", true)
        .await
        .unwrap();
    let again = post(TOKEN).with("cookie", &cookie).issuer(&server).await;
    assert_eq!(again.code(), "jwt_auth_invalid_refresh_token");
    let heard = post(VALIDATE).bearer(&token).issuer(&server).await;
    assert_eq!(heard.code(), "jwt_auth_obsolete_token");
    server
        .issuer
        .admin("a test")
        .set_disabled("ada", false)
        .await
        .unwrap();
    server.wait(SECOND);
    let again = post(TOKEN).with("cookie", &cookie).issuer(&server).await;
    assert_eq!(again.status, 200, "it goes on: {again:?}");
    let fresh = again.token();
    assert_eq!(
        ask("GET", ME).bearer(&fresh).issuer(&server).await.status,
        200
    );
    let word = Secret::new("canary-another-word");
    assert_eq!(
        server
            .issuer
            .admin("a test")
            .set_password("ada", &word)
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        ask("GET", ME).bearer(&fresh).issuer(&server).await.status,
        401
    );
    let heard = post(ROTATE).with("cookie", &cookie).issuer(&server).await;
    assert_eq!(heard.code(), "jwt_auth_invalid_refresh_token");
}

#[tokio::test]
async fn a_revoked_token_is_refused_for_as_long_as_it_would_live() {
    let server = speaking(WordpressPlugin::Tmeister).await;
    let token = login("ada", PASSWORD).issuer(&server).await.token();
    server
        .issuer
        .admin("a test")
        .revoke_user("ada")
        .await
        .unwrap();
    for _ in 0..6 {
        server.wait(DAY);
        server.issuer.prune().await.unwrap();
        let heard = post(VALIDATE).bearer(&token).issuer(&server).await;
        assert_eq!(heard.body["message"], "The access token was revoked");
        let other = server.again(WordpressPlugin::Tmeister).await;
        let heard = post(VALIDATE).bearer(&token).issuer(&other).await;
        assert_eq!(heard.status, 403, "after a restart: {heard:?}");
    }
}

#[tokio::test]
async fn distinct_codes_say_why() {
    let server = distinct(WordpressPlugin::Tmeister).await;
    let token = login("ada", PASSWORD).issuer(&server).await.token();
    let code = async |token: &str| {
        let heard = post(VALIDATE).bearer(token).issuer(&server).await;
        assert_eq!(heard.status, 403, "{heard:?}");
        heard.code().to_owned()
    };
    let now_s = peek(&token).unwrap().iat().unwrap();
    let early = forge(&server, &changed(&token, &[("nbf", json!(now_s + 60))]));
    assert_eq!(code(&early).await, "jwt_auth_token_not_yet_valid");
    assert_eq!(code("junk").await, "jwt_auth_malformed_token");
    let (text, _) = token.rsplit_once('.').unwrap();
    assert_eq!(
        code(&format!("{text}.AAAA")).await,
        "jwt_auth_invalid_signature"
    );
    server.issuer.admin("a test").revoke_all().await.unwrap();
    assert_eq!(code(&token).await, "jwt_auth_token_revoked");
    server.wait(8 * DAY);
    assert_eq!(code(&token).await, "jwt_auth_expired_token");

    let server = distinct(WordpressPlugin::Usefulteam).await;
    let cookie = login("ada", PASSWORD).issuer(&server).await.cookie();
    let asked = post(ROTATE).with("cookie", &cookie);
    server
        .issuer
        .admin("a test")
        .set_disabled("ada", true)
        .await
        .unwrap();
    assert_eq!(asked.issuer(&server).await.code(), "account_disabled");
    server.issuer.admin("a test").revoke_all().await.unwrap();
    let heard = asked.issuer(&server).await;
    assert_eq!(
        (heard.status, heard.code()),
        (401, "jwt_auth_revoked_refresh_token")
    );
}

#[tokio::test]
async fn distinct_codes_are_told_on_every_route_that_wants_a_token() {
    for plugin in [WordpressPlugin::Usefulteam, WordpressPlugin::Wcpos] {
        let (plain, distinct) = (speaking(plugin).await, distinct(plugin).await);
        for (headers, silent, told) in [
            (None, "rest_not_logged_in", "rest_not_logged_in"),
            (
                Some("Basic eDp5"),
                "rest_not_logged_in",
                "rest_not_logged_in",
            ),
            (
                Some("Bearer a.b.c"),
                "rest_not_logged_in",
                match plugin {
                    WordpressPlugin::Wcpos => "woocommerce_pos_rest_unauthorized",
                    _ => "jwt_auth_malformed_token",
                },
            ),
        ] {
            let asked = ask("GET", ME);
            let asked = headers.map_or(asked.clone(), |sent| asked.with("authorization", sent));
            for (server, code) in [(&plain, silent), (&distinct, told)] {
                let heard = asked.issuer(server).await;
                assert_eq!((heard.status, heard.code()), (401, code), "{headers:?}");
            }
        }
    }
}

#[tokio::test]
async fn distinct_codes_of_wcpos_come_with_a_status_that_says_no() {
    let server = distinct(WordpressPlugin::Wcpos).await;
    let pair = pos_login(&server).await;
    let refused = async |token: &str, code: &str| {
        let heard = pos_refresh(token).issuer(&server).await;
        assert_eq!((heard.status, heard.code()), (401, code), "{heard:?}");
        assert_eq!(heard.body["error"], "invalid_grant");
    };
    refused("junk", "woocommmerce_pos_auth_invalid_token").await;
    let (access, refresh) = (text(&pair, "access_token"), text(&pair, "refresh_token"));
    refused(access, "woocommmerce_pos_auth_invalid_token").await;
    let reason = async |token: &str| {
        let heard = ask("GET", SESSIONS).bearer(token).issuer(&server).await;
        assert_eq!(heard.status, 401);
        heard.body["data"]["reason"].clone()
    };
    assert_eq!(reason(refresh).await, "woocommmerce_pos_auth_invalid_token");
    let typed = forge(&server, &changed(access, &[("type", json!("refresh"))]));
    assert_eq!(
        reason(&typed).await,
        "woocommmerce_pos_auth_invalid_token_type"
    );
    let gone = ask("DELETE", &format!("{SESSIONS}/nosuch"))
        .bearer(access)
        .issuer(&server)
        .await;
    assert_eq!(gone.status, 404);
    server
        .issuer
        .admin("a test")
        .set_disabled("ada", true)
        .await
        .unwrap();
    refused(refresh, "woocommerce_pos_auth_user_not_found").await;
    server.issuer.admin("a test").revoke_all().await.unwrap();
    assert_eq!(reason(access).await, "woocommerce_pos_auth_session_revoked");
    refused(refresh, "woocommerce_pos_auth_refresh_token_revoked").await;
    server.wait(31 * DAY);
    assert_eq!(reason(access).await, "woocommerce_pos_auth_token_expired");
    refused(refresh, "woocommerce_pos_auth_refresh_token_expired").await;
}

#[tokio::test]
async fn sessions_of_wcpos_are_seen_and_ended_one_by_one() {
    let server = speaking(WordpressPlugin::Wcpos).await;
    let (one, two) = (pos_login(&server).await, pos_login(&server).await);
    let access = text(&one, "access_token");
    let listed = async |token: &str| {
        let heard = ask("GET", SESSIONS).bearer(token).issuer(&server).await;
        heard.body["sessions"].as_array().cloned()
    };
    assert_eq!(listed(access).await.unwrap().len(), 2);
    let jti_of = |pair: &Value| {
        let refresh = peek(text(pair, "refresh_token")).unwrap();
        refresh.jti().unwrap().to_owned()
    };
    // As a client that knows GET and POST only.
    let path = format!("{SESSIONS}/{}?_method=DELETE", jti_of(&two));
    let ended = post(&path).bearer(access).issuer(&server).await;
    assert_eq!(ended.body["success"], true, "{ended:?}");
    assert_eq!(listed(text(&two, "access_token")).await, None);
    assert_eq!(listed(access).await.unwrap().len(), 1);
    let three = pos_login(&server).await;
    let others = format!("{SESSIONS}?except_current=true");
    let ended = ask("DELETE", &others).bearer(access).issuer(&server).await;
    assert_eq!(ended.body["success"], true, "{ended:?}");
    assert_eq!(listed(text(&three, "access_token")).await, None);
    assert_eq!(listed(access).await.unwrap().len(), 1);
    let others = "/wp-json/wcpos/v2/auth/users/sessions";
    let heard = ask("GET", others).bearer(access).issuer(&server).await;
    assert_eq!((heard.status, heard.code()), (403, "rest_forbidden"));
}

#[tokio::test]
async fn tokens_of_wcpos_travel_to_known_addresses_only() {
    let server = speaking(WordpressPlugin::Wcpos).await;
    let page = async |uri: &str| {
        let query = form(&[("redirect_uri", uri), ("state", "s")]);
        server.get(&format!("/wcpos-auth?{query}")).await.status
    };
    assert_eq!(page("http://localhost:8080/x").await, StatusCode::OK);
    assert_eq!(page("http://[::1]:8080/x").await, StatusCode::OK);
    let app = "https://till.example/back";
    for uri in [
        app,
        "https://evil.example/",
        "http://127.0.0.1.evil.example/",
        "http://a@127.0.0.1/",
        "javascript:alert(1)",
        "",
    ] {
        assert_eq!(page(uri).await, StatusCode::BAD_REQUEST, "{uri}");
    }
    let client = ClientRegistration {
        redirect_uris: vec![app.to_owned()],
        ..ClientRegistration::public("wcpos", "Till")
    };
    server.issuer.ensure_client(client).await.unwrap();
    assert_eq!(page(app).await, StatusCode::OK);
    // A form from elsewhere logs nobody in.
    let query = form(&[("redirect_uri", REDIRECT), ("state", "s")]);
    let forged = [
        ("asked", query.as_str()),
        ("token", "AAAA"),
        ("username", "ada"),
        ("password", PASSWORD),
    ];
    let answer = server.post("/wcpos-auth", &forged).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
}

#[tokio::test]
async fn another_secret_costs_no_login_where_there_is_a_refresh() {
    let server = speaking(WordpressPlugin::Usefulteam).await;
    let other = server.again(WordpressPlugin::Usefulteam).await;
    let begun = login("ada", PASSWORD).issuer(&server).await;
    let secret = server.issuer.wordpress_secret().unwrap();
    assert_eq!(secret, other.issuer.wordpress_secret().unwrap());
    assert_eq!(secret.len(), 64);
    server
        .issuer
        .admin("a test")
        .replace_wordpress_secret()
        .await
        .unwrap();
    other.issuer.catch_up().await.unwrap();
    let new = other.issuer.wordpress_secret().unwrap();
    assert_ne!(secret, new);
    assert_eq!(new, server.issuer.wordpress_secret().unwrap());
    let heard = post(VALIDATE).bearer(&begun.token()).issuer(&other).await;
    assert_eq!(heard.body["message"], "Signature verification failed");
    let again = post(TOKEN)
        .with("cookie", begun.cookie())
        .issuer(&other)
        .await;
    let heard = post(VALIDATE).bearer(&again.token()).issuer(&server).await;
    assert_eq!(heard.status, 200, "{heard:?}");
}

#[tokio::test]
async fn a_damaged_secret_is_replaced_and_a_wrong_seal_is_not() {
    let server = speaking(WordpressPlugin::Usefulteam).await;
    let begun = login("ada", PASSWORD).issuer(&server).await;
    let secret = server.issuer.wordpress_secret().unwrap();
    let damage = if env!("CARGO_CRATE_NAME") == "on_postgres" {
        "UPDATE secrets SET sealed = '\\x00' WHERE name = 'wordpress'"
    } else {
        "UPDATE secrets SET sealed = x'00' WHERE name = 'wordpress'"
    };
    sql(&server, damage);
    let other = server.again(WordpressPlugin::Usefulteam).await;
    let new = other.issuer.wordpress_secret().unwrap();
    assert_ne!(new, secret);
    // The one that runs learns of it, and whoever has a cookie goes on.
    server.issuer.catch_up().await.unwrap();
    assert_eq!(server.issuer.wordpress_secret().unwrap(), new);
    let again = post(TOKEN)
        .with("cookie", begun.cookie())
        .issuer(&server)
        .await;
    let heard = post(VALIDATE).bearer(&again.token()).issuer(&other).await;
    assert_eq!(heard.status, 200, "{heard:?}");
    let mut options = support::options(server.dir.path(), [8; 32]);
    options.wordpress = Some(WordPress::new(WordpressPlugin::Usefulteam));
    assert!(tenure_issuer::Issuer::open(options).await.is_err());
    let third = server.again(WordpressPlugin::Usefulteam).await;
    assert_eq!(third.issuer.wordpress_secret().unwrap(), new);
}

#[tokio::test]
async fn without_a_dialect_there_is_none() {
    let server = Server::start().await;
    for path in ["/wp-json/", "/wcpos-auth"] {
        assert_eq!(server.get(path).await.status, StatusCode::NOT_FOUND);
    }
    let front = server.get("/?rest_route=/").await;
    assert!(
        front.text.contains("This is a token server."),
        "{}",
        front.text
    );
    assert!(server.issuer.wordpress_secret().is_none());
    assert!(
        server
            .issuer
            .admin("a test")
            .replace_wordpress_secret()
            .await
            .is_err()
    );
    let discovery = server.get("/.well-known/openid-configuration").await.json();
    assert!(discovery.get("tenure_wordpress_rest_index").is_none());
    let speaking = speaking(WordpressPlugin::Tmeister).await;
    let front = speaking.get("/").await;
    assert!(
        front.text.contains("This is a token server."),
        "{}",
        front.text
    );
    assert_eq!(
        speaking.get("/wcpos-auth").await.status,
        StatusCode::NOT_FOUND
    );
    let bad = Request::post(TOKEN)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from("{"));
    let bad = speaking.send(bad.unwrap()).await;
    assert_eq!(bad.json()["code"], "rest_invalid_json");
}
