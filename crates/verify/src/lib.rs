//! The resource server's side: verifies access tokens (RFC 9068, RFC 6750) as a tower layer.
//!
//! - [`Verifier`] checks a token against issuer, audience, times, algorithm and revocation.
//! - [`JwksCache`] holds the issuer's keys and follows their rotation; verifying takes no lock.
//! - [`VerifyLayer`] does it for HTTP services, puts [`Verified`] into the request's extensions and answers
//!   refusals in a [`Style`]: exactly per RFC 6750 §3, or as APIs do that clients must cope with.
//!
//! ```
//! use tenure_verify::{KeySource, Verified, Verifier};
//! use tenure_jose::{Alg, KeySet, SigningKey};
//!
//! let key = SigningKey::generate(Alg::Es256, "k1")?;
//! let verifier = Verifier::builder(KeySource::fixed(KeySet::from_signing_key(&key)))
//!     .issuer("https://id.example")
//!     .audience("orders")
//!     .build()?;
//! let app: axum::Router = axum::Router::new()
//!     .route("/orders", axum::routing::get(|who: axum::Extension<Verified>| async move {
//!         format!("orders of {}", who.subject.as_deref().unwrap_or("nobody"))
//!     }))
//!     .route_layer(verifier.layer().require_scopes(["orders:read"]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What was revoked is asked of a [`RevocationCheck`]. For an issuer in another process that is a [`RevocationFeed`]: it
//! follows the issuer's `/revocations`, goes on where it was after a break, and answers from memory. While it is
//! connected, a revoked token is refused within one second: issuer processes that share a database look every 250 ms
//! for what another one revoked and push it at once. When nothing was heard for 2 s
//! ([`silent_after`](feed::Options::silent_after)), tokens are judged by what is known, or refused with 503:
//! [`WhenUnknown`](feed::WhenUnknown) decides. Verifiers that cannot hold a stream fetch the signed list
//! ([`RevocationFeed::poll`]).
//!
//! ```no_run
//! use tenure_verify::feed::{Options, RevocationFeed, WhenUnknown};
//! use tenure_verify::{KeySource, Verifier};
//!
//! # async fn set_up() -> Result<Verifier, Box<dyn std::error::Error>> {
//! let options = Options { when_unknown: WhenUnknown::FailClosed, ..Options::default() };
//! let client = tenure_http::Client::new()?;
//! let feed = RevocationFeed::follow("https://id.example/revocations".parse()?, client, options)?;
//! feed.ready().await;
//! let verifier = Verifier::builder(KeySource::url("https://id.example/jwks.json".parse()?))
//!     .issuer("https://id.example")
//!     .audience("orders")
//!     .revocation(feed)
//!     .build()?;
//! # Ok(verifier)
//! # }
//! ```
#![forbid(unsafe_code)]

mod credentials;
mod dpop;
pub mod feed;
mod jwks;
mod layer;
mod refusal;
mod style;
mod uses;
mod verifier;
mod wordpress;

pub use feed::RevocationFeed;
pub use jwks::{FetchError, JwksCache, MAX_MAX_AGE_S, MIN_MAX_AGE_S};
pub use layer::{VerifyLayer, VerifyService};
pub use refusal::Refusal;
pub use style::Style;
pub use uses::FirstUses;
pub use verifier::{
    BuildError, Builder, Claims, Clock, DEFAULT_LEEWAY_S, KeySource, RevocationCheck, Verified,
    Verifier,
};
pub use wordpress::{WordpressPlugin, php_jwt};
