//! Everything the issuer promises, on PostgreSQL: the suites that run on SQLite elsewhere, unchanged.
#![expect(
    clippy::duplicate_mod,
    reason = "every suite has the same support, as it has alone"
)]

#[path = "admin.rs"]
mod admin;
#[path = "admin_api.rs"]
mod admin_api;
#[path = "audit.rs"]
mod audit;
#[path = "backchannel.rs"]
mod backchannel;
#[path = "devices_and_clients.rs"]
mod devices_and_clients;
#[path = "dpop.rs"]
mod dpop;
#[path = "first_uses.rs"]
mod first_uses;
#[path = "flows.rs"]
mod flows;
#[path = "keys.rs"]
mod keys;
#[path = "lifetimes.rs"]
mod lifetimes;
#[path = "pages.rs"]
mod pages;
#[path = "par_and_logout.rs"]
mod par_and_logout;
#[path = "registration.rs"]
mod registration;
#[path = "revocations.rs"]
mod revocations;
#[path = "rotation.rs"]
mod rotation;
#[path = "wordpress.rs"]
mod wordpress;
#[path = "wordpress_sessions.rs"]
mod wordpress_sessions;
