//! How long after `revoke_session` returned a verifier elsewhere refuses the session's token.
//!
//! `cargo run -p tenure-issuer --example feed_bound`: one issuer on a loopback socket, one verifier that follows it; 500
//! sessions revoked by the issuer that is followed, and 500 by another one on the same database, which the first looks
//! at every 250 ms. The stated bound is one second.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tenure_http::Client;
use tenure_issuer::{ClientRegistration, Issuer, Options};
use tenure_jose::{KeySet, random};
use tenure_store::Seal;
use tenure_verify::feed::{self, RevocationFeed};
use tenure_verify::{KeySource, Refusal, Verifier};
use tokio::net::TcpListener;
use url::Url;

const ROUNDS: usize = 500;
const AUDIENCE: &str = "https://api.example";
const BOUND: Duration = Duration::from_secs(1);

type Outcome<T> = Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let dir = tempfile::tempdir()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url: Url = format!("http://{}/", listener.local_addr()?).parse()?;
    let data = dir.path().join("issuer.db");
    let seal = Arc::new(Seal::new(&[7; 32]));
    let mut options = Options::new(url.clone(), data, seal, AUDIENCE);
    options.scopes = vec!["orders".into()];

    let followed = Issuer::open(options.clone()).await?;
    followed.ensure_user("ada", None).await?;
    let app = ClientRegistration {
        scopes: vec!["orders".into()],
        ..ClientRegistration::public("app", "App")
    };
    followed.ensure_client(app).await?;
    let tending = followed.tend();
    let service = followed
        .router()
        .into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });

    let feed = RevocationFeed::follow(
        url.join("revocations")?,
        Client::new()?,
        feed::Options::default(),
    )?;
    feed.ready().await;
    let keys = KeySource::fixed(KeySet::from_jwks(&followed.keys()));
    let verifier = Verifier::builder(keys)
        .issuer(followed.id())
        .audience(AUDIENCE)
        .revocation(feed)
        .build()?;

    let other = Issuer::open(options).await?;
    measure("by the issuer followed", &followed, &followed, &verifier).await?;
    measure("by another on its database", &followed, &other, &verifier).await?;
    followed.close();
    tending.await?;
    Ok(())
}

async fn measure(
    title: &str,
    issuing: &Issuer,
    revoking: &Issuer,
    verifier: &Verifier,
) -> Outcome<()> {
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let tokens = issuing.issue("ada", "app", "orders").await?;
        let sid = tokens.sid.ok_or("a session has a name")?;
        verifier.verify(tokens.access.expose()).await?;
        // At any time between two looks of the issuer.
        let pause = u64::from(u16::from_le_bytes(random::<2>())) % 250;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        revoking.admin("a measurement").revoke_session(&sid).await?;
        times.push(refused_after(verifier, tokens.access.expose()).await?);
    }
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1000.0;
    println!(
        "{title}: {ROUNDS} revocations; min {:.2} ms, median {:.2} ms, p99 {:.2} ms, max {:.2} ms",
        at(0),
        at(50),
        at(99),
        at(100)
    );
    if times.last().is_some_and(|longest| *longest > BOUND) {
        return Err("the bound of 1 s was not kept".into());
    }
    Ok(())
}

async fn refused_after(verifier: &Verifier, access: &str) -> Outcome<Duration> {
    let revoked = Instant::now();
    loop {
        match verifier.verify(access).await {
            Err(Refusal::Revoked) => return Ok(revoked.elapsed()),
            Err(refusal) => return Err(refusal.into()),
            Ok(_) => tokio::task::yield_now().await,
        }
    }
}
