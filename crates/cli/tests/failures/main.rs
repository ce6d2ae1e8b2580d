//! Every failure of a token that people ask about, made for real: the real binary, real sockets, and a server
//! that really refuses. Each is told apart by the command line, in the gateway's answer, on the status page and
//! in an event, and the first step that is named heals it.
#![allow(clippy::unwrap_used)] // A test may panic.

#[path = "../common/mod.rs"]
mod common;
#[path = "../scenarios_b/support.rs"]
#[allow(dead_code)] // It serves the scenarios, too.
mod support;

mod access;
mod accounts;
mod case;
mod client;
mod clocks;
mod network;
mod refresh;
mod stage;
