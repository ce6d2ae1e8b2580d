//! The token server: login, grants, rotation by the family machine, keys, revocation, discovery.
//!
//! [`Issuer::open`] opens (or makes) one SQLite file; [`Issuer::router`] answers the protocol. Refresh tokens
//! are never stored: a token is family ‖ generation ‖ MAC, the MAC keys come from a sealed master key, and the
//! family's row is all the memory there is ([`tenure_core::family`]).
#![forbid(unsafe_code)]

mod access;
mod admin;
mod admin_api;
mod administrators;
mod audit;
mod backchannel;
mod changes;
mod client;
mod clients;
mod codes;
mod db;
mod device;
mod dpop;
mod endpoints;
mod error;
mod families;
mod issuer;
pub mod json;
mod keys;
mod lang;
mod lifetimes;
mod logouts;
mod master;
mod options;
mod params;
mod password;
mod peer;
mod prune;
mod refresh_token;
mod refusals;
mod registration;
mod revocations;
mod schema;
mod scope;
mod seen;
mod sessions;
mod stats;
mod tend;
mod throttle;
mod users;
mod wordpress;

pub use admin::Admin;
pub use administrators::AdministratorInfo;
pub use audit::{AuditEntry, AuditFilter, Broken, Head, NotAHead, Who};
pub use client::{ClientRegistration, Grant, fresh_secret};
pub use clients::ClientInfo;
pub use error::{IssuerError, OAuthError};
pub use families::{SessionInfo, SessionsSince};
pub use issuer::{Issuer, Tokens};
pub use keys::{KeyInfo, KeyState};
pub use lifetimes::{Decided, Ends, Lifetimes};
pub use options::{Clock, Database, Options, system_clock};
pub use password::generate as generate_password;
pub use peer::{Network, NotANetwork};
pub use registration::RegistrationToken;
pub use revocations::Revocations;
pub use sessions::{Session, SessionFilter, SessionState};
pub use stats::{Exchange, Stats};
pub use tenure_verify::WordpressPlugin;
pub use users::UserInfo;
pub use wordpress::WordPress;
