//! Opens a keeper, logs in, asks for tokens: against a token server started here.
//!
//! `cargo run -p tenure --example token`

use std::error::Error;
use std::time::Duration;

use tenure::{Keeper, Secret, SessionBuilder, Token};
use tenure_lab::{FaultyIssuer, IssuerConfig, temp_dir};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Stands for a real server; its access tokens live five minutes.
    let server = FaultyIssuer::start(IssuerConfig::new());
    let dir = temp_dir();

    let shop = SessionBuilder::new("shop")
        .token_endpoint(server.token_endpoint())
        .client_id("till-7")
        .scopes(["orders"]);
    let keeper = Keeper::open(dir.path().join("tenure.db"), [shop]).await?;
    let session = keeper.session("shop").ok_or("it was given above")?;

    // Before anybody has logged in, there is a reason instead of a token.
    match session.token(Duration::ZERO).await {
        Ok(_) => println!("a token out of nowhere"),
        Err(failure) => println!("no token yet: {failure}: {}", failure.detail),
    }

    keeper
        .login_with_password(&session, "admin", &Secret::new("secret"), false)
        .await
        .map_err(|failure| failure.to_string())?;

    // A token that lives a minute at least; the keeper renews it when it is due, asked or not.
    let token = session.token(Duration::from_secs(60)).await;
    show(&token.map_err(|failure| failure.to_string())?);

    // Whoever knows better can have the next one now.
    let token = session.refresh().await;
    show(&token.map_err(|failure| failure.to_string())?);

    keeper.shutdown().await;
    println!("exchanges at the server: {}", server.exchanges().len());
    Ok(())
}

fn show(token: &Token) {
    let lives = token
        .expires_in()
        .map_or_else(|| "unknown".to_owned(), |seconds| format!("{seconds} s"));
    println!("token of generation {}, lives {lives}", token.generation.0);
}
