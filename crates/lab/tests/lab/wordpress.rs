//! The WordPress stand-ins, one by one.

use serde_json::{Value, json};
use tenure_lab::wordpress::{SimpleJwtLogin, Site, Tmeister, Usefulteam, Wcpos};

use crate::client::{Answer, get, post_form, post_json, send};

const NONE: &[(&str, &str)] = &[];

fn wp(site: &Site, route: &str) -> String {
    format!("{}{route}", site.rest_url())
}

fn credentials(user: &str, password: &str) -> Value {
    json!({ "username": user, "password": password })
}

async fn orders(site: &Site, token: &str) -> (u16, String) {
    let answer = get(&wp(site, "/wc/v3/orders"), Some(token)).await;
    (answer.status, answer.at("/code"))
}

/// Status and the code at `/code`.
fn seen(answer: &Answer) -> (u16, String) {
    (answer.status, answer.at("/code"))
}

#[tokio::test]
async fn tmeister_judges_bad_tokens_on_every_route_with_403() {
    let site = Tmeister::start();
    let token_url = wp(&site, "/jwt-auth/v1/token");
    let wrong = post_json(&token_url, NONE, &credentials("admin", "no")).await;
    assert_eq!(seen(&wrong), (403, "[jwt_auth] incorrect_password".into()));
    assert!(wrong.at("/message").contains("<strong>"));
    let login = post_form(&token_url, &[("username", "admin"), ("password", "secret")])
        .await
        .expect("an answer");
    let token = login.at("/token");
    assert_eq!(
        (
            login.status,
            login.json().as_object().map(serde_json::Map::len)
        ),
        (200, Some(4)),
        "flat, no expiry"
    );
    assert_eq!(orders(&site, &token).await, (200, String::new()));
    let validate = format!("{token_url}/validate");
    let bearer = format!("Bearer {token}");
    let valid = send("POST", &validate, &[("authorization", &bearer)], "")
        .await
        .expect("an answer");
    assert_eq!(seen(&valid), (200, "jwt_auth_valid_token".into()));
    let bare = send("POST", &validate, NONE, "").await.expect("an answer");
    assert_eq!(seen(&bare), (403, "jwt_auth_no_auth_header".into()));
    let anonymous = get(&wp(&site, "/wc/v3/orders"), None).await;
    assert_eq!(
        seen(&anonymous),
        (401, "woocommerce_rest_cannot_view".into())
    );

    site.advance(7 * 86_400);
    let expired = get(&wp(&site, "/wp/v2/posts"), Some(&token)).await;
    assert_eq!(
        (seen(&expired), expired.at("/message").as_str()),
        ((403, "jwt_auth_invalid_token".into()), "Expired token")
    );
    assert_eq!(expired.json()["data"]["status"], 403);
    let stale = post_json(
        &token_url,
        &[("authorization", &bearer)],
        &credentials("admin", "secret"),
    )
    .await;
    assert_eq!(
        seen(&stale),
        (403, "jwt_auth_invalid_token".into()),
        "a stale header breaks the login"
    );
    let basic = send(
        "GET",
        &wp(&site, "/wp/v2/posts"),
        &[("authorization", "Basic eDp5")],
        "",
    )
    .await
    .expect("an answer");
    assert_eq!(basic.status, 200, "other schemes are ignored");

    let fresh = post_json(&token_url, NONE, &credentials("admin", "secret"))
        .await
        .at("/token");
    site.move_to("https://www.shop.example");
    assert_eq!(
        orders(&site, &fresh).await,
        (403, "jwt_auth_bad_iss".into())
    );
    site.change_secret();
    let signature = get(&wp(&site, "/wp/v2/posts"), Some(&fresh)).await;
    assert_eq!(signature.at("/message"), "Signature verification failed");
    assert_eq!(
        get(&wp(&site, "/wp/v2/posts"), Some("null"))
            .await
            .at("/message"),
        "Wrong number of segments"
    );
    let refresh = post_json(&wp(&site, "/jwt-auth/v1/token/refresh"), NONE, &json!({})).await;
    assert_eq!(seen(&refresh), (404, "rest_no_route".into()));
}

/// The pair `refresh_token=…` of a Set-Cookie header.
fn cookie(answer: &Answer) -> String {
    let header = answer.header("set-cookie");
    assert!(
        header.contains("; path=/; HttpOnly")
            && !header.contains("Secure")
            && !header.contains("SameSite"),
        "{header}"
    );
    header.split(';').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn usefulteam_rotates_a_cookie_and_gives_access_at_the_login_route() {
    let site = Usefulteam::start();
    let token_url = wp(&site, "/jwt-auth/v1/token");
    let refresh_url = wp(&site, "/jwt-auth/v1/token/refresh");
    let post = |url: String, cookie: String| async move {
        send("POST", &url, &[("cookie", &cookie)], "")
            .await
            .expect("an answer")
    };
    let login = post_json(&token_url, NONE, &credentials("admin", "secret")).await;
    assert_eq!(seen(&login), (200, "jwt_auth_valid_credential".into()));
    let first = cookie(&login);
    assert!(first.starts_with("refresh_token=1.") && first.len() == "refresh_token=1.".len() + 64);
    assert_eq!(orders(&site, &login.at("/data/token")).await.0, 200);

    let access = post(token_url.clone(), first.clone()).await;
    assert!(!access.at("/data/token").is_empty() && access.headers.get("set-cookie").is_none());
    let rotated = post(refresh_url.clone(), first.clone()).await;
    assert_eq!(seen(&rotated), (200, "jwt_auth_valid_token".into()));
    assert!(rotated.json().get("data").is_none());
    let second = cookie(&rotated);
    assert_ne!(first, second);
    let obsolete = post(token_url.clone(), first).await;
    assert_eq!(
        seen(&obsolete),
        (401, "jwt_auth_obsolete_refresh_token".into())
    );
    assert_eq!(obsolete.json()["statusCode"], 401);
    assert_eq!(
        post(refresh_url.clone(), "refresh_token=9.ab".into())
            .await
            .at("/code"),
        "jwt_auth_invalid_refresh_token"
    );
    assert_eq!(
        post(refresh_url, String::from("x=y")).await.at("/code"),
        "jwt_auth_no_auth_cookie"
    );
    assert_eq!(
        post(token_url.clone(), String::from("x=y"))
            .await
            .at("/code"),
        "jwt_auth_missing_credentials"
    );

    // The access token ends: silently anonymous, except where validation is asked for.
    site.advance(600);
    let old = login.at("/data/token");
    assert_eq!(
        orders(&site, &old).await,
        (401, "woocommerce_rest_cannot_view".into())
    );
    assert_eq!(
        get(&wp(&site, "/wp/v2/posts"), Some(&old)).await.status,
        200
    );
    let bearer = format!("Bearer {old}");
    let validate = send(
        "POST",
        &format!("{token_url}/validate"),
        &[("authorization", &bearer)],
        "",
    )
    .await
    .expect("an answer");
    assert_eq!(
        (seen(&validate), validate.at("/message").as_str()),
        ((401, "jwt_auth_invalid_token".into()), "Expired token")
    );

    // Another login without a device takes the one place there is.
    post_json(&token_url, NONE, &credentials("admin", "secret")).await;
    assert_eq!(
        post(token_url.clone(), second).await.at("/code"),
        "jwt_auth_obsolete_refresh_token"
    );
    // A password change makes access tokens obsolete, but the cookie buys a new one all the same.
    let login = post_json(&token_url, NONE, &credentials("admin", "secret")).await;
    site.change_password("admin", "other");
    assert_eq!(orders(&site, &login.at("/data/token")).await.0, 401);
    let renewed = post(token_url.clone(), cookie(&login)).await;
    assert_eq!(orders(&site, &renewed.at("/data/token")).await.0, 200);
    site.advance(31 * 86_400);
    assert_eq!(
        post(token_url, cookie(&login)).await.at("/code"),
        "jwt_auth_expired_refresh_token"
    );
    assert_eq!(site.rotations(), 1);
}

#[tokio::test]
async fn usefulteam_keeps_one_refresh_token_per_device() {
    let site = Usefulteam::start();
    let token_url = wp(&site, "/jwt-auth/v1/token");
    let login = |device: &'static str| {
        let url = token_url.clone();
        async move {
            post_form(
                &url,
                &[
                    ("username", "admin"),
                    ("password", "secret"),
                    ("device", device),
                ],
            )
            .await
            .expect("an answer")
        }
    };
    let (till, office) = (login("till").await, login("office").await);
    let renew = |login: &Answer, device: &str| {
        let (url, cookie) = (format!("{token_url}?device={device}"), cookie(login));
        async move {
            send("POST", &url, &[("cookie", &cookie)], "")
                .await
                .expect("an answer")
        }
    };
    assert_eq!(renew(&till, "till").await.status, 200);
    assert_eq!(renew(&office, "office").await.status, 200);
    assert_eq!(
        renew(&till, "office").await.at("/code"),
        "jwt_auth_obsolete_refresh_token"
    );
    site.remove_device(1, "till");
    assert_eq!(
        renew(&till, "till").await.at("/code"),
        "jwt_auth_invalid_refresh_token"
    );
    assert_eq!(orders(&site, &till.at("/data/token")).await.0, 401);
    assert_eq!(orders(&site, &office.at("/data/token")).await.0, 200);
}

#[tokio::test]
async fn simple_jwt_login_4_renews_once_per_refresh_token() {
    let site = SimpleJwtLogin::start(4);
    let base = wp(&site, "/simple-jwt-login/v1/auth");
    let wrong = post_json(&base, NONE, &credentials("admin", "no")).await;
    assert_eq!(
        (wrong.status, &wrong.json()["data"]["error_code"]),
        (401, &json!(48))
    );
    let login = post_json(
        &base,
        NONE,
        &json!({ "email": "admin@shop.example", "password": "secret" }),
    )
    .await;
    assert_eq!(
        (login.status, &login.json()["success"]),
        (200, &json!(true))
    );
    let (jwt, refresh) = (login.at("/data/jwt"), login.at("/data/refresh_token"));
    assert_eq!(orders(&site, &jwt).await.0, 200);
    site.advance(3659);
    assert_eq!(
        orders(&site, &jwt).await.0,
        200,
        "within the leeway of 60 s"
    );
    site.advance(1);
    let expired = get(&wp(&site, "/wc/v3/orders"), Some(&jwt)).await;
    assert_eq!(
        (expired.status, &expired.json()["data"]["error_code"]),
        (401, &json!(75)),
        "protected: always the same code"
    );
    let renew = |token: String| {
        let url = format!("{base}/refresh");
        async move { post_json(&url, NONE, &json!({ "refresh_token": token })).await }
    };
    let renewed = renew(refresh.clone()).await;
    assert_eq!(orders(&site, &renewed.at("/data/jwt")).await.0, 200);
    let again = renew(refresh).await;
    assert_eq!(
        (again.status, &again.json()["data"]["error_code"]),
        (401, &json!(51))
    );
    let still = renew(renewed.at("/data/refresh_token")).await;
    assert_eq!(still.status, 200, "the reuse kills nothing else");
    let revoke = post_json(
        &format!("{base}/revoke"),
        NONE,
        &json!({ "JWT": still.at("/data/jwt") }),
    )
    .await;
    assert_eq!((revoke.status, site.refresh_tokens()), (200, 0));
    let revoked = get(&wp(&site, "/wc/v3/orders"), Some(&still.at("/data/jwt"))).await;
    assert_eq!(
        (revoked.status, &revoked.json()["data"]["error_code"]),
        (401, &json!(55))
    );
    let login = post_json(&base, NONE, &credentials("admin", "secret")).await;
    site.change_secret();
    assert_eq!(
        renew(login.at("/data/refresh_token")).await.json()["data"]["error_code"],
        51,
        "the key guards both"
    );
    site.set_refresh_enabled(false);
    assert_eq!(renew(String::new()).await.status, 403);
}

#[tokio::test]
async fn simple_jwt_login_3_renews_with_the_jwt_itself() {
    let site = SimpleJwtLogin::start(3);
    let base = wp(&site, "/simple-jwt-login/v1/auth");
    let login = post_json(&base, NONE, &credentials("admin", "secret")).await;
    assert!(login.json()["data"].get("refresh_token").is_none());
    site.advance(86_400);
    let jwt = login.at("/data/jwt");
    let validate = get(&format!("{base}/validate"), Some(&jwt)).await;
    assert_eq!(
        (validate.status, &validate.json()["data"]["errorCode"]),
        (401, &json!(14))
    );
    site.set_old_statuses(true);
    assert_eq!(
        get(&format!("{base}/validate"), Some(&jwt)).await.status,
        400
    );
    let renewed = post_json(&format!("{base}/refresh"), NONE, &json!({ "JWT": jwt })).await;
    assert_eq!(orders(&site, &renewed.at("/data/jwt")).await.0, 200);
    site.advance(15 * 86_400);
    let old = post_json(&format!("{base}/refresh"), NONE, &json!({ "JWT": jwt })).await;
    assert_eq!(
        (old.status, &old.json()["data"]["errorCode"]),
        (401, &json!(50))
    );
}

async fn wcpos_refresh(site: &Wcpos, token: &str) -> Answer {
    let form = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("x-wcpos", "1"),
    ];
    let body = serde_urlencoded::to_string([("refresh_token", token)]).expect("a form");
    send("POST", &wp(site, "/wcpos/v1/auth/refresh"), &form, &body)
        .await
        .expect("an answer")
}

async fn wcpos_orders(site: &Wcpos, token: &str) -> Answer {
    get(&wp(site, "/wcpos/v2/orders?wcpos=1"), Some(token)).await
}

#[tokio::test]
async fn wcpos_refuses_refreshes_with_status_200_and_never_rotates() {
    let site = Wcpos::start();
    let pair = site.issue("cashier");
    let refresh = pair["refresh_token"].as_str().expect("a token");
    let renewed = wcpos_refresh(&site, refresh).await;
    let fields: Vec<String> = renewed
        .json()
        .as_object()
        .expect("an object")
        .keys()
        .cloned()
        .collect();
    assert_eq!(
        fields,
        ["access_token", "token_type", "expires_in", "expires_at"]
    );
    assert_eq!(renewed.json()["expires_in"], 1800);
    assert_eq!(wcpos_refresh(&site, refresh).await.status, 200, "reusable");
    assert_eq!(
        (
            site.refreshes(),
            site.hits("/wp-json/wcpos/v1/auth/refresh")
        ),
        (2, 2)
    );
    assert_eq!(
        wcpos_orders(&site, &renewed.at("/access_token"))
            .await
            .status,
        200
    );

    let refused = |answer: Answer| {
        (
            answer.status,
            answer.at("/error"),
            answer.at("/error_description"),
        )
    };
    let access = wcpos_refresh(&site, &renewed.at("/access_token")).await;
    assert_eq!(
        refused(access),
        (
            200,
            "invalid_grant".into(),
            "Signature verification failed".into()
        )
    );
    assert_eq!(
        wcpos_refresh(&site, "").await.at("/error"),
        "invalid_request"
    );
    let absent = post_json(
        &wp(&site, "/wcpos/v1/auth/refresh"),
        &[("x-wcpos", "1")],
        &json!({}),
    )
    .await;
    assert_eq!(seen(&absent), (400, "rest_missing_callback_param".into()));
    site.forget_sessions();
    assert_eq!(
        wcpos_orders(&site, &renewed.at("/access_token"))
            .await
            .status,
        200,
        "access lives on"
    );
    assert_eq!(
        refused(wcpos_refresh(&site, refresh).await).2,
        "Refresh token has been revoked"
    );
    site.advance(30 * 86_400);
    assert_eq!(
        refused(wcpos_refresh(&site, refresh).await),
        (200, "invalid_grant".into(), "Expired token".into())
    );
}

#[tokio::test]
async fn wcpos_answers_the_same_401_for_every_reason() {
    let site = Wcpos::start();
    let unauthorized = (401, "woocommerce_pos_rest_unauthorized".to_owned());
    let token = |pair: &Value| pair["access_token"].as_str().expect("a token").to_owned();
    let (cashier, customer) = (
        token(&site.issue("cashier")),
        token(&site.issue("customer")),
    );
    let forbidden = wcpos_orders(&site, &customer).await;
    assert_eq!(
        seen(&forbidden),
        (403, "woocommerce_pos_rest_forbidden".into())
    );
    let bare = get(&wp(&site, "/wcpos/v1/orders?wcpos=1"), None).await;
    assert_eq!(
        (seen(&bare), bare.at("/message").as_str()),
        (unauthorized.clone(), "Authentication required.")
    );
    assert_eq!(seen(&wcpos_orders(&site, "junk").await), unauthorized);
    let unmarked = get(&wp(&site, "/wcpos/v1/orders"), Some(&cashier)).await;
    assert_eq!(seen(&unmarked), (404, "rest_no_route".into()));
    site.set_marker_required(false);
    assert_eq!(
        get(&wp(&site, "/wcpos/v1/orders"), Some(&cashier))
            .await
            .status,
        200
    );
    let by_query = format!(
        "{}?authorization=Bearer+{cashier}",
        wp(&site, "/wcpos/v1/orders")
    );
    assert_eq!(get(&by_query, None).await.status, 200);
    let lower = send(
        "GET",
        &wp(&site, "/wcpos/v1/orders"),
        &[("authorization", &format!("bearer {cashier}"))],
        "",
    )
    .await;
    assert_eq!(
        lower.expect("an answer").status,
        401,
        "the scheme is case-sensitive"
    );
    site.expire_access_now();
    let expired = wcpos_orders(&site, &cashier).await;
    assert_eq!(seen(&expired), unauthorized);
    assert!(expired.json()["data"].get("reason").is_none());
    site.set_reasons(true);
    assert_eq!(
        wcpos_orders(&site, &cashier).await.at("/data/reason"),
        "woocommerce_pos_auth_token_expired"
    );
    let test = get(&wp(&site, "/wcpos/v1/auth/test"), Some("junk")).await;
    assert_eq!(
        (
            test.at("/status").as_str(),
            test.at("/auth_method").as_str()
        ),
        ("success", "header")
    );
    assert_eq!(
        get(&wp(&site, "/wcpos/v1/auth/test"), None)
            .await
            .at("/status"),
        "error"
    );
}

#[tokio::test]
async fn wcpos_sessions_are_listed_and_revoked() {
    let site = Wcpos::start();
    let (mine, other) = (site.issue("cashier"), site.issue("cashier"));
    let token = |pair: &Value| pair["access_token"].as_str().expect("a token").to_owned();
    let list = get(
        &wp(&site, "/wcpos/v1/auth/sessions?wcpos=1"),
        Some(&token(&mine)),
    )
    .await;
    let sessions = list.json()["sessions"].as_array().expect("a list").clone();
    assert_eq!(sessions.len(), 2);
    let jti = sessions
        .iter()
        .find(|session| session["is_current"] == false)
        .expect("the other")["jti"]
        .as_str()
        .expect("a jti")
        .to_owned();
    let headers = [
        ("authorization", format!("Bearer {}", token(&mine))),
        ("x-wcpos", "1".to_owned()),
    ];
    let headers: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let delete = |jti: &str| {
        send_delete(
            wp(&site, &format!("/wcpos/v1/auth/sessions/{jti}")),
            headers.clone(),
        )
    };
    assert_eq!(delete(&jti).await.json()["success"], true);
    let unknown = delete(&jti).await;
    assert_eq!(
        (unknown.status, &unknown.json()["success"]),
        (200, &json!(false))
    );
    assert_eq!(
        wcpos_orders(&site, &token(&other)).await.status,
        401,
        "blacklisted"
    );
    assert_eq!(wcpos_orders(&site, &token(&mine)).await.status, 200);
    let others = get(
        &wp(&site, "/wcpos/v1/auth/sessions?wcpos=1&user_id=1"),
        Some(&token(&mine)),
    )
    .await;
    assert_eq!(seen(&others), (403, "rest_forbidden".into()));
    site.revoke_all_sessions();
    assert_eq!(wcpos_orders(&site, &token(&mine)).await.status, 401);
}

async fn send_delete(url: String, headers: Vec<(&str, &str)>) -> Answer {
    send("DELETE", &url, &headers, "").await.expect("an answer")
}

#[tokio::test]
async fn wcpos_announces_its_login_page_which_redirects_with_tokens() {
    let site = Wcpos::start();
    let index = get(&format!("{}/", site.rest_url()), None).await;
    let page = index.at("/authentication/wcpos/endpoints/authorization");
    assert_eq!(page, site.url_of("/wcpos-auth"));
    let namespaces = index.json()["namespaces"]
        .as_array()
        .expect("a list")
        .clone();
    assert!(namespaces.contains(&json!("wcpos/v1")) && namespaces.contains(&json!("wc/v3")));
    let plain = get(&site.url_of("/?rest_route=/"), None).await;
    assert_eq!(plain.json(), index.json());
    assert!(
        get(&site.url(), None)
            .await
            .header("content-type")
            .starts_with("text/html")
    );

    let page = format!("{page}?redirect_uri=http://127.0.0.1:1/cb&state=s1");
    assert!(
        get(&page, None)
            .await
            .header("content-type")
            .starts_with("text/html")
    );
    let login = |password| {
        let page = page.clone();
        async move {
            post_form(&page, &[("wcpos-log", "cashier"), ("wcpos-pwd", password)])
                .await
                .expect("an answer")
        }
    };
    let answer = login("secret").await;
    let location = url::Url::parse(answer.header("location")).expect("a URL");
    let field = |name: &str| {
        location
            .query_pairs()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default()
    };
    assert_eq!(
        (
            answer.status,
            field("state").as_str(),
            field("display_name").as_str()
        ),
        (302, "s1", "cashier")
    );
    assert_eq!(
        wcpos_orders(&site, &field("access_token")).await.status,
        200
    );
    assert_eq!(
        wcpos_refresh(&site, &field("refresh_token")).await.status,
        200
    );
    for _ in 0..5 {
        assert_eq!(login("wrong").await.status, 200);
    }
    assert_eq!(
        login("secret").await.status,
        200,
        "locked after five failures"
    );
    site.advance(900);
    assert_eq!(login("secret").await.status, 302);
}
