//! Answers of resource servers: is this about the token, and may a refresh heal it?
//!
//! `refused` is the strong word: it starts a refresh and allows a replay (I12, I13). It is said only when the
//! server looked at the token and refused it, or answered a bare 401 to a request that carried one.

use http::HeaderMap;
use tenure_core::{Class, Failure};

use super::answer::{Answer, Place};
use super::judge::judge;
use super::local::Local;
use crate::profile::Profile;

/// What of an answer is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// HTTP status.
    pub status: u16,
    /// Response headers.
    pub headers: &'a HeaderMap,
    /// The start of the body, decoded; 8 KiB are plenty.
    pub body_start: &'a [u8],
}

/// What an API's answer means for the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiVerdict {
    /// What happened.
    pub failure: Failure,
    /// The token itself was refused: a refresh may heal it, and the request may be sent again.
    pub refused: bool,
}

/// The rule for a 401 to a request with a token whose challenge names no error.
const SILENT_CHALLENGE: &str = "rfc6750.no_error.lost";

/// A success may be somebody else's page.
fn is_page(seen: &Seen<'_>) -> bool {
    seen.status == 200 && seen.body_start.trim_ascii_start().starts_with(b"<")
}

/// What an API's answer means. `None`: it is not about the token.
pub fn classify_api(profile: &Profile, seen: &Seen<'_>, local: &Local) -> Option<ApiVerdict> {
    let said_by_profile = profile.refused_statuses.contains(&seen.status);
    if seen.status < 300 && !said_by_profile && !is_page(seen) {
        return None;
    }
    let answer = Answer {
        place: Place::Resource,
        status: seen.status,
        headers: seen.headers,
        body: seen.body_start,
    };
    let finding = judge(&answer, local, Some(profile));
    let nothing = finding.failure.class == Class::NotAuth
        || finding.failure.class == Class::Unknown && seen.status != 401;
    // RFC 6750 §3.1 asks servers to name an error where they saw a token; not all do (Quarkus says no more of an
    // invalid one). One refresh tells which it was, and refusals of its fruit are bounded (I13).
    let silent = finding.failure.rule == SILENT_CHALLENGE;
    // A server whose clock is ahead finds tokens old before their time; one of this moment may do.
    let aged = finding.failure.class == Class::ClockSkew && local.clock_offset_ms > 0;
    let worth_a_try = (silent || aged) && local.token_sent && local.can_refresh();
    (!nothing).then_some(ApiVerdict {
        refused: finding.refused || worth_a_try,
        failure: finding.failure,
    })
}
