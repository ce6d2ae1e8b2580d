//! A reqwest client whose requests survive a revoked token: against a server started here.
//!
//! `cargo run -p tenure --example reqwest`

use std::error::Error;

use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use tenure::reqwest::{TenureMiddleware, no_token};
use tenure::{Keeper, Served, Session, SessionBuilder};
use tenure_lab::{FaultyIssuer, IssuerConfig, temp_dir};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Stands for a real server with a protected API.
    let server = FaultyIssuer::start(IssuerConfig::new());
    let dir = temp_dir();

    let at_server = |name| {
        SessionBuilder::new(name)
            .token_endpoint(server.token_endpoint())
            .client_id("till-7")
            .upstream(server.url())
    };
    let sessions = [at_server("shop"), at_server("stall")];
    let keeper = Keeper::open(dir.path().join("tenure.db"), sessions).await?;
    let session = keeper.session("shop").ok_or("it was given above")?;
    keeper
        .import(&session, &server.issue().to_string())
        .await
        .map_err(|failure| failure.to_string())?;

    let client = client(session)?;
    let orders = server.url_of("/api/orders");
    let post = |order: u32| client.post(&orders).body(format!("{{\"order\":{order}}}"));

    show("with a good token", &post(1).send().await?);
    server.revoke_access_tokens();
    show("after it was revoked", &post(2).send().await?);
    println!("orders that arrived: {}", server.orders_posted().len());

    // When only a person can help, nothing is sent, and the error says why and how. Nobody is logged in here:
    let stall = keeper.session("stall").ok_or("it was given above")?;
    if let Err(error) = self::client(stall)?.get(&orders).send().await {
        let heal = no_token(&error).map(|error| error.failure.root().heal.as_str());
        println!("not sent: {error} (heal: {heal:?})");
    }
    keeper.shutdown().await;
    Ok(())
}

fn client(session: Session) -> Result<ClientWithMiddleware, Box<dyn Error>> {
    // Redirects are not followed: a middleware cannot see them.
    let plain = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let middleware = TenureMiddleware::new(session)?;
    Ok(ClientBuilder::new(plain).with(middleware).build())
}

fn show(when: &str, response: &reqwest::Response) {
    match response.extensions().get::<Served>() {
        Some(served) => println!(
            "{when}: {}, generation {}, sent twice: {}, failure: {:?}",
            response.status(),
            served.generation.0,
            served.replayed,
            served.code().map(tenure::Code::as_str)
        ),
        None => println!("{when}: {}, without a token", response.status()),
    }
}
