//! What the lab promises to the tests of others, seen from the other end of real sockets.

mod api;
mod client;
mod faults;
mod issuer;
mod proxy;
mod wordpress;
