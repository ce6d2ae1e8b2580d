//! The dialects of WordPress plugins, each beside its stand-in: the same questions, the same answers.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use http::header;
use serde_json::{Value, json};
use support::wordpress::*;
use support::{ISSUER, PASSWORD, SECOND, Server};
use tenure_issuer::WordpressPlugin;
use tenure_jose::{Alg, SigningKey, peek};
use tenure_lab::wordpress::{Site, Tmeister, Usefulteam, Wcpos};

/// Both give the very same answer.
async fn agree(server: &Server, site: &Site, what: &str, asked: Ask<'_>) -> Heard {
    agree_each(server, site, what, asked.clone(), asked).await
}

/// The same, where each has a token of its own.
async fn agree_each(
    server: &Server,
    site: &Site,
    what: &str,
    here: Ask<'_>,
    there: Ask<'_>,
) -> Heard {
    let (mine, theirs) = (here.issuer(server).await, there.site(site).await);
    assert_eq!(mine.said(), theirs.said(), "{what}");
    mine
}

/// The names of all members, in depth.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), shape(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::String(_) => "text".into(),
        Value::Number(_) => "number".into(),
        other => other.clone(),
    }
}

/// Logs in on both sides: answers of one shape, claims of one shape but for what says which session it is.
async fn both_log_in(server: &Server, site: &Site) -> (Heard, Heard) {
    let mine = login("ada", PASSWORD).issuer(server).await;
    let theirs = login("cashier", "secret").site(site).await;
    assert_eq!((mine.status, theirs.status), (200, 200), "{mine:?}");
    assert_eq!(shape(&mine.body), shape(&theirs.body));
    assert_eq!(mine.code(), theirs.code());
    same_claims(&mine.token(), &theirs.token());
    (mine, theirs)
}

fn same_claims(mine: &str, theirs: &str) {
    let (mine, theirs) = (peek(mine).unwrap(), peek(theirs).unwrap());
    assert_eq!(mine.header.alg, "HS256");
    assert_eq!(
        (&mine.header.typ, &mine.header.kid),
        (&theirs.header.typ, &theirs.header.kid)
    );
    let mut known = Value::Object(mine.claims);
    for name in ["sid", "jti"] {
        if theirs.claims.get(name).is_none() {
            known.as_object_mut().unwrap().remove(name);
        }
    }
    assert_eq!(shape(&known), shape(&Value::Object(theirs.claims)));
}

/// What is wrong with tokens, told alike by both.
async fn both_refuse_alike(server: &Server, site: &Site, mine: &str, theirs: &str) {
    for header in ["", "Bearer", "Bearer ", "Basic eDp5"] {
        let asked = post(VALIDATE).with("authorization", header);
        agree(server, site, header, asked).await;
    }
    agree(server, site, "no header", post(VALIDATE)).await;
    for junk in ["junk", "a.b", "a.b.c.d"] {
        agree(server, site, junk, post(VALIDATE).bearer(junk)).await;
    }
    let other = SigningKey::generate(Alg::Hs256, "").unwrap();
    let foreign = other.sign(Some("JWT"), &changed(mine, &[])).unwrap();
    let wrong = agree(
        server,
        site,
        "another secret",
        post(VALIDATE).bearer(foreign.expose()),
    )
    .await;
    assert_eq!(wrong.body["message"], "Signature verification failed");
    // Not by its own claims: the site has another address and other users.
    let elsewhere = forge(
        server,
        &changed(mine, &[("iss", json!("https://x.example"))]),
    );
    site.move_to("https://elsewhere.example");
    let (here, there) = (
        post(VALIDATE).bearer(&elsewhere),
        post(VALIDATE).bearer(theirs),
    );
    let wrong = agree_each(server, site, "wrong issuer", here, there).await;
    assert_eq!(wrong.code(), "jwt_auth_bad_iss");
    site.move_to(&site.url());
    // The last second of its life, and its end.
    let exp = peek(mine).unwrap().exp().unwrap() * 1000;
    let now = server.clock.load(std::sync::atomic::Ordering::SeqCst);
    server.wait(exp - now - 1);
    assert_eq!(post(VALIDATE).bearer(mine).issuer(server).await.status, 200);
    server.wait(1);
    site.expire_access_now();
    let (here, there) = (post(VALIDATE).bearer(mine), post(VALIDATE).bearer(theirs));
    let expired = agree_each(server, site, "expired", here, there).await;
    assert_eq!(expired.body["message"], "Expired token");
}

/// What everybody learns of the API: both have the namespace, the routes of the plugin and the same kind of answer.
async fn both_have_the_same_routes(server: &Server, site: &Site, wanted: &[&str]) {
    for path in ["/wp-json/", "/wp-json", "/?rest_route=/"] {
        let (mine, theirs) = (
            ask("GET", path).issuer(server).await,
            ask("GET", path).site(site).await,
        );
        assert_eq!((mine.status, theirs.status), (200, 200), "{path}");
        for route in wanted {
            let about = |heard: &Heard| heard.body["routes"][*route]["endpoints"].clone();
            assert_eq!(about(&mine), about(&theirs), "{route}");
        }
        assert_eq!(mine.body["url"], ISSUER);
        let listed = mine.body["namespaces"].as_array().unwrap();
        assert!(listed.contains(&json!("jwt-auth/v1")), "{listed:?}");
        assert!(
            mine.headers[header::LINK]
                .to_str()
                .unwrap()
                .contains("api.w.org")
        );
    }
    for asked in [
        ask("GET", TOKEN),
        post("/wp-json/jwt-auth/v1/nothing"),
        ask("GET", "/wp-json/nothing/v1"),
        ask("DELETE", VALIDATE),
    ] {
        let heard = agree(server, site, "no route", asked).await;
        assert_eq!((heard.status, heard.code()), (404, "rest_no_route"));
    }
}

#[tokio::test]
async fn tmeister_and_its_stand_in_agree() {
    let (server, site) = (speaking(WordpressPlugin::Tmeister).await, Tmeister::start());
    both_have_the_same_routes(
        &server,
        &site,
        &["/jwt-auth/v1/token", "/jwt-auth/v1/token/validate"],
    )
    .await;
    agree(&server, &site, "no refresh", post(ROTATE)).await;
    agree(&server, &site, "nothing sent", post(TOKEN)).await;
    agree(&server, &site, "no name", login("", "x")).await;
    agree(&server, &site, "no password", login("cashier", "")).await;
    let (mine, theirs) = (
        login("ada", "wrong").issuer(&server).await,
        login("cashier", "wrong").site(&site).await,
    );
    assert_eq!(
        (mine.status, mine.code()),
        (403, "[jwt_auth] incorrect_password")
    );
    assert_eq!(mine.code(), theirs.code());
    assert_eq!(shape(&mine.body), shape(&theirs.body));

    let (mine, theirs) = both_log_in(&server, &site).await;
    let (mine, theirs) = (mine.token(), theirs.token());
    let life =
        |token: &str| peek(token).unwrap().exp().unwrap() - peek(token).unwrap().iat().unwrap();
    assert_eq!(life(&theirs), 7 * 86_400);
    assert!((7 * 86_400 * 94 / 100..=7 * 86_400).contains(&life(&mine)));
    let good = agree_each(
        &server,
        &site,
        "valid",
        post(VALIDATE).bearer(&mine),
        post(VALIDATE).bearer(&theirs),
    )
    .await;
    assert_eq!(good.code(), "jwt_auth_valid_token");
    let who = ask("GET", ME).bearer(&mine).issuer(&server).await;
    assert_eq!((who.status, &who.body["name"]), (200, &json!("ada")));
    // A bad token is judged on every route, the login and the public ones among them; another scheme is nobody's.
    for asked in [
        ask("GET", "/wp-json/"),
        login("cashier", "secret"),
        ask("GET", ME),
        ask("GET", "/wp-json/nothing"),
    ] {
        let heard = agree(&server, &site, "stale", asked.clone().bearer("junk")).await;
        assert_eq!(
            (heard.status, heard.code()),
            (403, "jwt_auth_invalid_token")
        );
    }
    let other = ask("GET", ME).with("authorization", "Basic eDp5");
    let heard = agree(&server, &site, "another scheme", other).await;
    assert_eq!(heard.code(), "rest_not_logged_in");
    both_refuse_alike(&server, &site, &mine, &theirs).await;
}

#[tokio::test]
async fn usefulteam_and_its_stand_in_agree() {
    let (server, site) = (
        speaking(WordpressPlugin::Usefulteam).await,
        Usefulteam::start(),
    );
    both_have_the_same_routes(
        &server,
        &site,
        &[
            "/jwt-auth/v1/token",
            "/jwt-auth/v1/token/validate",
            "/jwt-auth/v1/token/refresh",
        ],
    )
    .await;
    agree(&server, &site, "nothing sent", post(TOKEN)).await;
    agree(&server, &site, "no name", login("", "x")).await;
    agree(&server, &site, "no password", login("cashier", "")).await;
    let wrong = (
        login("ada", "wrong").issuer(&server).await,
        login("cashier", "wrong").site(&site).await,
    );
    assert_eq!(shape(&wrong.0.body), shape(&wrong.1.body));
    assert_eq!(
        (wrong.0.status, wrong.0.code()),
        (401, "incorrect_password")
    );
    agree(&server, &site, "no cookie", post(ROTATE)).await;
    for cookie in ["junk", "2.junk", "x.00", ".", "999.00"] {
        for path in [TOKEN, ROTATE] {
            let asked = post(path).with("cookie", format!("refresh_token={cookie}"));
            let heard = agree(&server, &site, cookie, asked).await;
            assert_eq!(heard.code(), "jwt_auth_invalid_refresh_token");
        }
    }

    let (mine, theirs) = both_log_in(&server, &site).await;
    let form = |cookie: &str| {
        let (number, random) = cookie.split_once('=').unwrap().1.split_once('.').unwrap();
        number.bytes().all(|b| b.is_ascii_digit())
            && random.len() == 64
            && random.bytes().all(|b| b.is_ascii_hexdigit())
    };
    assert!(form(&mine.cookie()) && form(&theirs.cookie()));
    let (here, there) = (mine.cookie(), theirs.cookie());
    // A new access token for the cookie, which stays.
    let with = |path: &'static str, cookie: &str| post(path).with("cookie", cookie);
    let (a, b) = (
        with(TOKEN, &here).issuer(&server).await,
        with(TOKEN, &there).site(&site).await,
    );
    assert_eq!((a.status, shape(&a.body)), (b.status, shape(&b.body)));
    assert!(a.headers.get(header::SET_COOKIE).is_none());
    assert!(b.headers.get(header::SET_COOKIE).is_none());
    same_claims(&a.token(), &b.token());
    // Another cookie, and no token.
    let (a, b) = (
        with(ROTATE, &here).issuer(&server).await,
        with(ROTATE, &there).site(&site).await,
    );
    assert_eq!(a.said(), b.said());
    assert!(a.cookie() != here && b.cookie() != there);
    assert!(form(&a.cookie()));
    both_refuse_alike(&server, &site, &mine.token(), &theirs.token()).await;
    // Elsewhere a bad token makes the request anonymous.
    let heard = agree(&server, &site, "anonymous", ask("GET", ME).bearer("junk")).await;
    assert_eq!((heard.status, heard.code()), (401, "rest_not_logged_in"));
    let login = login("ada", PASSWORD).bearer("junk").issuer(&server).await;
    assert_eq!(login.status, 200);
    // The end of the cookie.
    server.wait(31 * DAY);
    site.advance(31 * 86_400);
    let (a, b) = (
        with(ROTATE, &a.cookie()).issuer(&server).await,
        with(ROTATE, &b.cookie()).site(&site).await,
    );
    assert_eq!(a.said(), b.said());
    assert_eq!(a.code(), "jwt_auth_expired_refresh_token");
}

#[tokio::test]
async fn wcpos_and_its_stand_in_agree() {
    let (server, site) = (speaking(WordpressPlugin::Wcpos).await, Wcpos::start());
    site.set_marker_required(false);
    let (mine, theirs) = (pos_login(&server).await, site.issue("cashier"));
    let names = |pair: &Value| {
        let mut names: Vec<_> = pair.as_object().unwrap().keys().cloned().collect();
        names.retain(|name| name != "state");
        names.sort();
        names
    };
    assert_eq!(names(&mine), names(&theirs));
    same_claims(text(&mine, "access_token"), text(&theirs, "access_token"));
    let refresh = [text(&mine, "refresh_token"), text(&theirs, "refresh_token")].map(|token| {
        let token = peek(token).unwrap();
        assert_eq!(token.exp().unwrap() - token.iat().unwrap(), 30 * 86_400);
        shape(&Value::Object(token.claims))
    });
    assert_eq!(refresh[0], refresh[1]);

    let (a, b) = (
        ask("GET", "/wp-json/").issuer(&server).await,
        ask("GET", "/wp-json/").site(&site).await,
    );
    for name in ["routes", "use_jwt_as_param"] {
        assert_eq!(a.body[name], b.body[name], "{name}");
    }
    assert_eq!(
        shape(&a.body["authentication"]),
        shape(&b.body["authentication"])
    );

    for namespace in ["v1", "v2"] {
        let path = format!("/wp-json/wcpos/{namespace}/auth/test");
        agree(&server, &site, "test", ask("GET", &path)).await;
        agree(&server, &site, "header", ask("GET", &path).bearer("abc")).await;
        let param = format!("{path}?authorization=abcd");
        agree(&server, &site, "param", ask("GET", &param)).await;
        agree(&server, &site, "both", ask("GET", &param).bearer("abc")).await;
        let echo = format!("/wp-json/wcpos/{namespace}/echo?wcpos=1&authorization=ab");
        agree(&server, &site, "echo", ask("GET", &echo).bearer("x")).await;
    }
    agree(&server, &site, "nothing sent", post(POS_REFRESH)).await;
    for junk in ["", "junk", "a.b", text(&mine, "access_token")] {
        let heard = agree(&server, &site, junk, pos_refresh(junk)).await;
        assert_eq!(heard.status, 200, "a no with 200: {heard:?}");
        assert!(heard.body["error"].is_string());
    }
    let (a, b) = (
        pos_refresh(text(&mine, "refresh_token"))
            .issuer(&server)
            .await,
        pos_refresh(text(&theirs, "refresh_token"))
            .site(&site)
            .await,
    );
    assert_eq!((a.status, shape(&a.body)), (b.status, shape(&b.body)));
    same_claims(&a.token(), &b.token());

    for (what, token) in [("missing", None), ("junk", Some("junk"))] {
        let asked = ask("GET", SESSIONS);
        let asked = token.map_or(asked.clone(), |token| asked.bearer(token));
        let heard = agree(&server, &site, what, asked).await;
        assert_eq!(heard.code(), "woocommerce_pos_rest_unauthorized");
    }
    // A refresh token is no access token, a bare one is read, and so is the parameter.
    let access = text(&mine, "access_token");
    let wrong = ask("GET", SESSIONS).bearer(text(&mine, "refresh_token"));
    assert_eq!(wrong.issuer(&server).await.status, 401);
    let bare = ask("GET", SESSIONS).with("authorization", access);
    assert_eq!(bare.issuer(&server).await.status, 200);
    let param = format!("{SESSIONS}?authorization={access}");
    assert_eq!(ask("GET", &param).issuer(&server).await.status, 200);
    let (a, b) = (
        ask("GET", SESSIONS).bearer(access).issuer(&server).await,
        ask("GET", SESSIONS)
            .bearer(text(&theirs, "access_token"))
            .site(&site)
            .await,
    );
    assert_eq!((a.status, shape(&a.body)), (b.status, shape(&b.body)));
    assert_eq!(a.body["sessions"][0]["is_current"], true);
    let (nothing, others) = (
        format!("{SESSIONS}/nosuch"),
        format!("{SESSIONS}?user_id=1"),
    );
    for asked in [ask("DELETE", &nothing), ask("GET", &others)] {
        let (here, there) = (
            asked.clone().bearer(access),
            asked.bearer(text(&theirs, "access_token")),
        );
        agree_each(&server, &site, "not mine", here, there).await;
    }

    // Ended: neither token is good any more, and the refusals are the same.
    let all = ask("DELETE", SESSIONS);
    let (here, there) = (
        all.clone().bearer(access),
        all.bearer(text(&theirs, "access_token")),
    );
    agree_each(&server, &site, "all ended", here, there).await;
    let (here, there) = (
        pos_refresh(text(&mine, "refresh_token")),
        pos_refresh(text(&theirs, "refresh_token")),
    );
    let heard = agree_each(&server, &site, "refresh of an ended one", here, there).await;
    assert_eq!(heard.body["error"], "invalid_grant");
    let heard = ask("GET", SESSIONS).bearer(access).issuer(&server).await;
    assert_eq!(heard.status, 401);
}

#[tokio::test]
async fn a_refresh_token_of_wcpos_ends_after_thirty_days_whatever_its_use() {
    let (server, site) = (speaking(WordpressPlugin::Wcpos).await, Wcpos::start());
    let (mine, theirs) = (pos_login(&server).await, site.issue("cashier"));
    let (here, there) = (
        pos_refresh(text(&mine, "refresh_token")),
        pos_refresh(text(&theirs, "refresh_token")).with("x-wcpos", "1"),
    );
    for _ in 0..29 {
        server.wait(DAY);
        let heard = here.issuer(&server).await;
        assert_eq!(heard.status, 200);
        heard.token();
    }
    server.wait(DAY - SECOND);
    let last = peek(&here.issuer(&server).await.token()).unwrap();
    assert_eq!(
        last.exp().unwrap() - last.iat().unwrap(),
        1,
        "no longer than the session"
    );
    server.wait(SECOND);
    site.advance(30 * 86_400);
    let heard = agree_each(&server, &site, "expired", here, there).await;
    assert_eq!(heard.body["error_description"], "Expired token");
}
