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
    keeper.logout("shop", false).await.expect("logged out");
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
