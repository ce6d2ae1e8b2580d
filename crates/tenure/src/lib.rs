//! Tenure for Rust programs: open a keeper, ask for tokens, reqwest and tower layers.
//!
//! ```no_run
//! // Not run: it would ask a server that does not exist. `cargo run -p tenure --example token` runs by itself.
//! use std::time::Duration;
//! use tenure::{Keeper, SessionBuilder};
//!
//! # async fn program() -> Result<(), Box<dyn std::error::Error>> {
//! let shop = SessionBuilder::new("shop")
//!     .issuer("https://login.example")
//!     .client_id("till-7")
//!     .upstream("https://api.example");
//! let keeper = Keeper::open_default([shop]).await?;
//! let session = keeper.session("shop").ok_or("no such session")?;
//! match session.token(Duration::from_secs(60)).await {
//!     Ok(token) => println!("a token that lives {:?} s", token.expires_in()),
//!     Err(failure) => println!("{failure}: {} ({:?})", failure.detail, failure.root().command),
//! }
//! keeper.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! [`Session::token`] hands out the token. What sends requests itself is better served by a layer, which also
//! heals a refused token and sends the request once more:
//!
//! | for | use | feature |
//! |---|---|---|
//! | `reqwest` | [`reqwest::TenureMiddleware`] | `reqwest` (default) |
//! | any `tower` service of HTTP requests | [`tower::TenureLayer`] | |
//!
//! Both follow the contract of the gateway: the token goes to the session's upstream and nowhere else; a
//! request is sent again at most once, only after an answer that proves the token was refused, only with a
//! newer token, and only when its body can be sent again whole. What happened is told by [`Served`], an
//! extension of the response.
//!
//! # Beside a running `tenure up`
//! Processes that open the same store share its sessions: one of them refreshes, the others take over what it
//! saved, and a login in one is a login in all. [`Keeper::open_default`] opens the store of the command line
//! tool. The session must have the same name and the same client in both.
#![forbid(unsafe_code)]

mod builder;
mod carrier;
mod endpoints;
mod error;
mod keeper;
#[cfg(feature = "reqwest")]
pub mod reqwest;
mod served;
pub mod tower;

pub use builder::SessionBuilder;
pub use error::{ConfigError, NoToken, NoUpstream, OpenError};
pub use keeper::{Builder, Keeper};
pub use served::Served;
pub use tenure_http::peek::Resumed;
pub use tenure_http::{Trust, TrustError};

pub use tenure_core::session::{Keep, RefreshAt, State};
pub use tenure_core::{Class, Code, Failure, Generation, Heal, Secret, Who};
pub use tenure_diagnose::{Profile, parse_profile, profile_names};
pub use tenure_jose::{Alg, SigningKey};
pub use tenure_keeper::{
    AfterRefusal, Session, SessionConfig, Snapshot, Status, Timing, Token, login,
};
pub use tenure_store::{EventRow, KeySource, StoreError};
pub use tenure_wire::ClientAuth;
