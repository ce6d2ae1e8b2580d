//! `tenure doctor` against servers that misbehave: the cause is named, the first step is the right one, and nothing
//! is spent.

#[path = "../common/mod.rs"]
mod common;
mod long_answers;
mod network;
mod refusals;
mod safety;
mod server;
mod support;
mod unseen;
mod wordpress;
