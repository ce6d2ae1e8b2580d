//! What a failure is: provider profiles as data, and the classifier that turns an answer into a named failure.
//!
//! Pure: no I/O, no clock, no environment. An answer, the profile of the server that gave it and what is known
//! locally go in; a [`Verdict`] (token endpoint) or an [`ApiVerdict`] (resource server) comes out, each with a
//! [`tenure_core::Failure`] that says what happened, on which evidence, who heals it and how (DESIGN §7).
//!
//! The rule that matters most is I5: nothing but an answer in the server's own error shape is ever final.
#![forbid(unsafe_code)]

pub mod catalogue;
pub mod classify;
pub mod corpus;
pub mod doctor;
pub mod http_text;
pub mod inspect;
pub mod lines;
pub mod name;
pub mod profile;
pub mod words;

pub use classify::{
    Answer, ApiVerdict, Finding, Grant, Local, Place, Seen, Sent, TokenFailure, TransportFault,
    TransportKind, Verdict, classify_api, classify_token, judge, refresh_failed_because,
};
pub use profile::{
    Profile, ProfileError, ProfileErrors, Rotation, parse_profile, profile, profile_names,
};
