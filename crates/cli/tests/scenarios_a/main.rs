//! Scenarios with the real binary on real sockets: what a person would see, seen by a test.
//!
//! Each module is one scenario: steady traffic, a storm, crashes, a token endpoint in trouble, a revoked
//! session. Servers are the embedded issuer of `tenure up` or a faulty issuer of the lab.
#![allow(clippy::unwrap_used)] // A test may panic; the text says why.

#[path = "../common/mod.rs"]
mod common;
mod support;

mod fleet;
mod kills;
mod outages;
mod revoked;
mod shared_trouble;
mod storms;
mod traffic;
