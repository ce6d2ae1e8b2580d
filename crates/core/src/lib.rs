//! Pure heart of Tenure: the session machine, the family (rotation) machine, expiry, clock skew, secret types.
//!
//! Nothing here does I/O, reads a clock, draws a random number or knows an async runtime: time is an
//! argument ([`Now`]), jitter is a hash, and effects are returned as actions for the keeper to carry out.
#![forbid(unsafe_code)]

pub mod expiry;
pub mod failure;
pub mod family;
pub mod jitter;
pub mod pair;
pub mod secret;
pub mod session;
pub mod skew;
pub mod time;

pub use failure::{Class, Code, Evidence, Failure, Heal, Who};
pub use pair::{Anchor, BootId, Fingerprint, Generation, TokenPair};
pub use secret::Secret;
pub use time::{Mono, Now, Wall};
