//! Logins as a person makes them: with a browser, on a second device, with a password, over the local API.
//! And what shows them: the live view and the metrics. The real binary, an issuer's real pages.
#![allow(clippy::unwrap_used)] // A test may panic; the text says why.

#[path = "../common/mod.rs"]
mod common;
mod support;

mod api;
mod browser;
mod device;
mod metrics;
mod password;
#[cfg(target_os = "linux")] // `script` takes other arguments elsewhere.
mod watch;
