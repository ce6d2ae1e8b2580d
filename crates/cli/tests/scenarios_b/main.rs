//! Scenarios with the real binary and real sockets: several processes on one store, clocks that disagree,
//! answers no refresh can heal, where a token may travel, the WordPress dialects, broken surroundings, and
//! what must never be written anywhere.
#![allow(clippy::unwrap_used)] // A test may panic.

#[path = "../common/mod.rs"]
mod common;
mod support;

mod canary;
mod clocks;
mod json_refresh;
mod origins;
mod own_rules;
mod own_wordpress;
mod processes;
mod surroundings;
mod unhealable;
mod wcpos;
mod wordpress;
