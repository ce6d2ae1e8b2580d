//! A tower service whose requests survive a revoked token: against a server started here.
//!
//! `cargo run -p tenure --example tower`

use std::error::Error;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tenure::tower::TenureLayer;
use tenure::{Keeper, Served, SessionBuilder};
use tenure_lab::{FaultyIssuer, IssuerConfig, temp_dir};
use tower::{ServiceBuilder, ServiceExt};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Stands for a real server with a protected API.
    let server = FaultyIssuer::start(IssuerConfig::new());
    let dir = temp_dir();

    let shop = SessionBuilder::new("shop")
        .token_endpoint(server.token_endpoint())
        .client_id("till-7")
        .upstream(server.url());
    let keeper = Keeper::open(dir.path().join("tenure.db"), [shop]).await?;
    let session = keeper.session("shop").ok_or("it was given above")?;
    keeper
        .import(&session, &server.issue().to_string())
        .await
        .map_err(|failure| failure.to_string())?;

    let http = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let api = ServiceBuilder::new()
        .layer(TenureLayer::new(session)?)
        .service(http);

    for when in ["with a good token", "after it was revoked"] {
        let request =
            Request::post(server.url_of("/api/orders")).body(Full::from("{\"order\":1}"))?;
        let response = api.clone().oneshot(request).await?;
        let status = response.status();
        let served = response.extensions().get::<Served>().cloned();
        let replayed = served.is_some_and(|served| served.replayed);
        let body = response.into_body().collect().await?.to_bytes();
        let body = String::from_utf8_lossy(&body);
        println!("{when}: {status}, sent twice: {replayed}, {body}");
        server.revoke_access_tokens();
    }
    println!("orders that arrived: {}", server.orders_posted().len());
    keeper.shutdown().await;
    Ok(())
}
