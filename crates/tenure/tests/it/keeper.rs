//! Opening, logging in, sharing a store.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use futures_util::future::join_all;
use tenure::{AfterRefusal, Code, Generation, Keeper, KeySource, OpenError, Secret, State};
use tenure_lab::{FaultyIssuer, IssuerConfig, Valkey, temp_dir, wait_until};

use crate::support::{Shop, open, session, shop};

#[tokio::test]
async fn a_token_is_handed_out_and_survives_a_restart() {
    let shop = Shop::logged_in().await;
    let token = shop.session().token(Duration::ZERO).await.unwrap();
    assert_eq!(token.generation, Generation(1));
    assert!(token.expires_in().is_some_and(|seconds| seconds > 60));
    shop.keeper.shutdown().await;
    let again = open(&shop.issuer, shop.dir.path()).await;
    let token = session(&again).token(Duration::ZERO).await.unwrap();
    assert_eq!(token.generation, Generation(1));
    assert_eq!(shop.exchanges(), 0);
}

#[tokio::test]
async fn a_name_and_a_password_log_in() {
    let shop = Shop::empty().await;
    let session = shop.session();
    let log_in = |password: &'static str| {
        let (keeper, session) = (shop.keeper.clone(), session.clone());
        async move {
            let password = Secret::new(password);
            keeper
                .login_with_password(&session, "admin", &password, false)
                .await
        }
    };
    let failure = log_in("wrong").await.unwrap_err();
    assert_eq!(failure.code, Code::InvalidCredentials);
    log_in("secret").await.unwrap();
    session.token(Duration::ZERO).await.unwrap();
    shop.keeper.logout("shop", false).await.unwrap();
    wait_until(|| session.status().state == State::Empty, "logged out").await;
}

#[tokio::test]
async fn two_keepers_on_one_store_make_one_exchange() {
    let shop = Shop::logged_in().await;
    let other = open(&shop.issuer, shop.dir.path()).await;
    let sessions = [shop.session(), session(&other)];
    shop.issuer.revoke_access_tokens();
    let refused = (0..20).map(|n| {
        let session = sessions[n % 2].clone();
        async move { session.refused(Generation(1)).await }
    });
    for after in join_all(refused).await {
        let AfterRefusal::Newer(token) = after else {
            panic!("{after:?}")
        };
        assert_eq!(token.generation, Generation(2));
    }
    assert_eq!(shop.exchanges(), 1);
}

#[tokio::test]
async fn keepers_of_two_hosts_share_a_store_on_a_server() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let address = Valkey::shared().database();
    let hosts = [temp_dir(), temp_dir()];
    let mut keepers = Vec::new();
    for host in &hosts {
        let key = host.path().join("key");
        std::fs::write(&key, "5a".repeat(32)).unwrap();
        std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
        let keeper = Keeper::builder()
            .data_dir(host.path().join("data"))
            .shared_store(address.clone())
            .require_durable()
            .store_key(KeySource::File(key))
            .session(shop(&issuer))
            .open()
            .await
            .unwrap();
        keepers.push(keeper);
    }
    let answer = issuer.issue().to_string();
    keepers[0]
        .import(&session(&keepers[0]), &answer)
        .await
        .unwrap();
    let there = session(&keepers[1]);
    wait_until(|| there.status().state == State::Fresh, "the login, there").await;
    let after = join_all(keepers.iter().map(|keeper| {
        let session = session(keeper);
        async move { session.refused(Generation(1)).await }
    }));
    issuer.revoke_access_tokens();
    for after in after.await {
        let AfterRefusal::Newer(token) = after else {
            panic!("{after:?}")
        };
        assert_eq!(token.generation, Generation(2));
    }
    assert_eq!(issuer.exchanges().len(), 1);
}

#[tokio::test]
async fn a_login_in_one_keeper_is_a_login_in_all() {
    let shop = Shop::empty().await;
    let other = open(&shop.issuer, shop.dir.path()).await;
    let failure = session(&other).token(Duration::ZERO).await.unwrap_err();
    assert_eq!(failure.code, Code::AuthRequired);
    let answer = shop.issuer.issue().to_string();
    shop.keeper.import(&shop.session(), &answer).await.unwrap();
    let session = session(&other);
    wait_until(|| session.current().is_some(), "taken up").await;
}

#[tokio::test]
async fn a_data_directory_holds_the_command_line_tools_store() {
    let shop_ = Shop::logged_in().await;
    let keeper = Keeper::builder()
        .data_dir(shop_.dir.path())
        .session(shop(&shop_.issuer))
        .only_when_wanted()
        .open()
        .await
        .unwrap();
    session(&keeper).token(Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_says_so() {
    let dir = tenure_lab::temp_dir();
    let error = Keeper::open(dir.path(), []).await.unwrap_err();
    assert!(matches!(error, OpenError::Store(_)), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&dir.path().display().to_string()), "{text}");
}
