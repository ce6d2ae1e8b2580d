//! Logins and logouts.

use tenure_core::Secret;
use tenure_keeper::login;
use tenure_lab::{Rotation, temp_dir, wait_until};

use crate::support::{STRICT, config, issuer, keeper, log_in, session, store, until_state};

#[tokio::test]
async fn password_and_client_credentials() {
    let (dir, issuer) = (temp_dir(), issuer(Rotation::Strict, 300_000));
    let http = tenure_http::Client::new().expect("TLS");
    let keeper = keeper(&store(dir.path()), config(&issuer, STRICT)).await;
    let config = session(&keeper).config().clone();
    let wrong = login::password(&http, &config, "admin", &Secret::new("no"), false)
        .await
        .expect_err("wrong password");
    assert_eq!(wrong.code.as_str(), "API02001", "{wrong:?}");
    let login = login::password(&http, &config, "admin", &Secret::new("secret"), false)
        .await
        .expect("logged in");
    keeper.login("shop", login).await.expect("stored");
    until_state(&session(&keeper), "fresh").await;
    let login = login::client_credentials(&http, &config)
        .await
        .expect("granted");
    assert!(!login.renewable());
}

#[tokio::test]
async fn the_device_flow_waits_for_the_person() {
    let (dir, issuer) = (temp_dir(), issuer(Rotation::Strict, 300_000));
    issuer.reconfigure(|config| config.device_interval_s = 1);
    let http = tenure_http::Client::new().expect("TLS");
    let keeper = keeper(&store(dir.path()), config(&issuer, STRICT)).await;
    let config = session(&keeper).config().clone();
    let login = login::device(&http, &config, |code| {
        issuer.approve_device(&code.user_code);
    })
    .await
    .expect("approved");
    keeper.login("shop", login).await.expect("stored");
    until_state(&session(&keeper), "fresh").await;
}

#[tokio::test]
async fn a_logout_forgets_and_a_login_begins_anew() {
    let (dir, issuer) = (temp_dir(), issuer(Rotation::Strict, 300_000));
    let store = store(dir.path());
    let keeper = keeper(&store, config(&issuer, STRICT)).await;
    log_in(&keeper, &issuer).await;
    let mut told = keeper.events();
    keeper.logout("shop", false).await.expect("logged out");
    let mut kinds = Vec::new();
    while let Ok(event) = told.try_recv() {
        kinds.push(event.kind);
    }
    assert_eq!(kinds, ["logged_out"], "once");
    let session = session(&keeper);
    until_state(&session, "empty").await;
    assert!(session.current().is_none());
    assert!(
        store
            .load("shop")
            .await
            .expect("readable")
            .expect("a row")
            .pair
            .is_none()
    );
    log_in(&keeper, &issuer).await;
    wait_until(|| session.snapshot().generation.0 == 2, "generations go on").await;
}

#[test]
fn an_import_never_repeats_a_value_in_its_error() {
    let issuer = issuer(Rotation::Strict, 300_000);
    let config = config(&issuer, STRICT);
    for text in [
        "{\"access_token\": canary-1}",
        "{\"refresh_tokn\":\"canary-1\"}",
        "{\"expires_in\":\"canary-1\"}",
        "canary-1",
        "{}",
    ] {
        let failure = login::import(&config, text).expect_err(text);
        assert!(!format!("{failure:?}").contains("canary"), "{failure:?}");
    }
}

#[test]
fn an_import_takes_what_servers_add_but_no_slip_of_the_pen() {
    let issuer = issuer(Rotation::Strict, 300_000);
    let config = config(&issuer, STRICT);
    for text in [
        r#"{"access_token":"a","expires_at":1900000000,"id":7,"uuid":"u","display_name":"Till"}"#,
        r#"{"access_token":"a","expires_in":300,"expires_on":1,"ext_expires_in":300,"resource":"r"}"#,
        r#"{"access_token":"a","refresh_token":"r","refresh_token_expires_in":9,"session_state":"s","not-before-policy":0}"#,
    ] {
        let import = login::import(&config, text);
        assert!(
            matches!(import, Ok(login::Import::Login(_))),
            "{text}: {import:?}"
        );
    }
    for text in [
        r#"{"acess_token":"a"}"#,
        r#"{"access_token":"a","refresh_tokn":"canary-1"}"#,
        r#"{"access_token":"a","expire_in":300}"#,
        r#"{"access_token":"a","obtained-at":300}"#,
    ] {
        let failure = login::import(&config, text).expect_err(text);
        assert!(failure.detail.contains("named almost like"), "{failure:?}");
    }
}

#[test]
fn an_import_counts_from_when_it_was_obtained() {
    let issuer = issuer(Rotation::Strict, 300_000);
    let config = config(&issuer, STRICT);
    let long_ago = tenure_keeper::clock::wall().0 / 1_000 - 200_000_000;
    let text = format!("{{\"access_token\":\"a\",\"expires_in\":300,\"obtained_at\":{long_ago}}}");
    assert!(matches!(
        login::import(&config, &text),
        Ok(login::Import::Login(_))
    ));
}

async fn get(http: &tenure_http::Client, url: &str) -> http::Response<bytes::Bytes> {
    let request = http::Request::get(url)
        .body(bytes::Bytes::new())
        .expect("a request");
    http.send(request, std::time::Duration::from_secs(10), 65_536)
        .await
        .expect("an answer")
}

fn location(response: &http::Response<bytes::Bytes>) -> String {
    response.headers()["location"]
        .to_str()
        .expect("text")
        .to_owned()
}

#[tokio::test]
async fn the_browser_flow_ends_at_the_loopback_and_ignores_strangers() {
    let (dir, issuer) = (temp_dir(), issuer(Rotation::Strict, 300_000));
    let http = tenure_http::Client::new().expect("TLS");
    let mut config = config(&issuer, STRICT);
    if let tenure_keeper::Endpoints::Known(server) = &mut config.endpoints {
        server.authorization_endpoint = issuer.url_of("/authorize").parse().ok();
    }
    let keeper = keeper(&store(dir.path()), config.clone()).await;
    let browser = login::browser::Browser::start(&http, &config)
        .await
        .expect("started");
    let (url, redirect_uri) = (browser.url().to_string(), browser.redirect_uri().to_owned());
    let person = async {
        for query in [
            "code=stolen&state=guessed",
            "code=stolen",
            "code=stolen&code=another&state=guessed",
            "code=stolen&state=guessed&state=guessed",
            "error=access_denied&state=guessed",
            "error=a&error=b",
            "iss=http://127.0.0.1&iss=x&code=stolen&state=guessed",
        ] {
            let stranger = get(&http, &format!("{redirect_uri}?{query}")).await;
            assert_eq!(stranger.status(), 400, "{query}");
        }
        assert_eq!(
            get(&http, &redirect_uri.replace("/callback", "/favicon.ico"))
                .await
                .status(),
            404
        );
        let back = location(&get(&http, &url).await);
        let page = get(&http, &back).await;
        assert_eq!(page.status(), 200, "{page:?}");
    };
    let (login, ()) = tokio::join!(browser.finish(std::future::pending()), person);
    keeper
        .login("shop", login.expect("logged in"))
        .await
        .expect("stored");
    until_state(&session(&keeper), "fresh").await;
}

#[tokio::test]
async fn a_pasted_address_does_as_well() {
    let issuer = issuer(Rotation::Strict, 300_000);
    let http = tenure_http::Client::new().expect("TLS");
    let mut config = config(&issuer, STRICT);
    if let tenure_keeper::Endpoints::Known(server) = &mut config.endpoints {
        server.authorization_endpoint = issuer.url_of("/authorize").parse().ok();
    }
    let browser = login::browser::Browser::start(&http, &config)
        .await
        .expect("started");
    let back = location(&get(&http, browser.url().as_str()).await);
    let login = browser
        .finish(async move { Some(back) })
        .await
        .expect("logged in");
    assert!(login.renewable());
    let browser = login::browser::Browser::start(&http, &config)
        .await
        .expect("started");
    let failure = browser
        .finish(async { Some("?code=x&state=other".to_owned()) })
        .await
        .expect_err("another login's");
    assert_eq!(failure.heal, tenure_core::Heal::Relogin);
}

#[tokio::test]
async fn a_refresh_token_alone_is_enough_to_begin() {
    let (dir, issuer) = (temp_dir(), issuer(Rotation::Strict, 300_000));
    let keeper = keeper(&store(dir.path()), config(&issuer, STRICT)).await;
    let response = issuer.issue();
    let text = serde_json::json!({ "refresh_token": response["refresh_token"] }).to_string();
    let session = session(&keeper);
    let Ok(login::Import::Login(login)) = login::import(session.config(), &text) else {
        panic!("an import")
    };
    let mut told = keeper.events();
    keeper.login("shop", login).await.expect("stored");
    assert!(session.current().is_none(), "nothing to serve yet");
    assert_eq!(session.status().access_expires_in, None, "nor to end");
    while let Ok(event) = told.try_recv() {
        assert_ne!(event.kind, "expired", "{event:?}");
    }
    let token = session
        .token(std::time::Duration::ZERO)
        .await
        .expect("renewed");
    assert_eq!(token.generation.0, 2);
}

#[tokio::test]
async fn an_imported_token_of_unknown_age_has_no_invented_end() {
    let (dir, issuer) = (temp_dir(), issuer(Rotation::Strict, 300_000));
    let profile = format!("{STRICT}\n[lifetimes]\naccess_s = 300\n");
    let keeper = keeper(&store(dir.path()), config(&issuer, &profile)).await;
    let session = session(&keeper);
    let now = tenure_keeper::clock::wall().0 / 1_000;
    let dated = format!(r#"{{"access_token":"a","refresh_token":"r","obtained_at":{now}}}"#);
    for (text, known) in [
        (r#"{"access_token":"a","refresh_token":"r"}"#, false),
        (dated.as_str(), true),
    ] {
        let Ok(login::Import::Login(login)) = login::import(session.config(), text) else {
            panic!("an import")
        };
        keeper.login("shop", login).await.expect("stored");
        let left = session.status().access_expires_in;
        assert_eq!(left.is_some(), known, "{text}: {left:?}");
        assert!(session.current().is_some(), "used until it is refused");
    }
}
