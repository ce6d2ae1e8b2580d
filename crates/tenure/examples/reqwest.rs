//! A reqwest client whose requests survive a revoked token: against a server started here.
//!
//! `cargo run -p tenure --example reqwest`

use std::error::Error;

use tenure::reqwest::{TenureMiddleware, no_token};
use tenure::{Keeper, Served, SessionBuilder};
use tenure_lab::{FaultyIssuer, IssuerConfig, temp_dir};

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

    // Redirects are not followed: a middleware cannot see them.
    let plain = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let client = reqwest_middleware::ClientBuilder::new(plain)
        .with(TenureMiddleware::new(session)?)
        .build();

    let orders = server.url_of("/api/orders");
    let post = |number: u32| client.post(&orders).body(format!("{{\"order\":{number}}}"));

    show("with a good token", &post(1).send().await?);
    server.revoke_access_tokens();
    show("after it was revoked", &post(2).send().await?);
    println!("orders that arrived: {}", server.orders_posted().len());

    // When only a person can help, the error says which and how.
    server.revoke_all_families();
    show("after the session was ended", &post(3).send().await?);
    if let Err(error) = post(4).send().await {
        let healed_by = no_token(&error).map(|error| error.failure.root().heal);
        println!("no more requests: {error} (heal: {healed_by:?})");
    }
    keeper.shutdown().await;
    Ok(())
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
