//! Answers of token endpoints: what a finding means for the session.
//!
//! Only a refusal in the server's own error shape is ever final (I5); what the wire crate found unusable never is.

use http::{HeaderMap, HeaderValue, header};
use tenure_core::{Class, Failure, Heal};
use tenure_wire::{Refusal, RetryAfter, Unusable};

use super::answer::{Answer, Place};
use super::finding::{Found, fact, masked_fact, unproven};
use super::judge::{Finding, of_reading};
use super::local::{Grant, Local};
use super::read::Reading;
use super::{Sent, TokenFailure, Verdict, transport};
use crate::profile::Profile;

/// What the end of an exchange means: whether the session can go on, and what happened.
pub fn classify_token(profile: &Profile, answer: TokenFailure<'_>, local: &Local) -> Verdict {
    match answer {
        TokenFailure::Refused(refusal) => refused(profile, refusal, local),
        TokenFailure::Unusable(unusable) => self::unusable(profile, unusable, local),
        TokenFailure::Transport(fault) => transport::classify(fault, local),
    }
}

fn refused(profile: &Profile, refusal: &Refusal, local: &Local) -> Verdict {
    let headers = json_header();
    let answer = Answer {
        place: Place::Token,
        status: refusal.status,
        headers: &headers,
        body: refusal.body.as_bytes(),
    };
    let mut reading = Reading::of(&answer);
    let parts = [&refusal.error, &refusal.sub, &refusal.description].map(Option::as_deref);
    reading.add_parts(parts[0], parts[1], parts[2]);
    let finding = of_reading(&answer, &reading, local, Some(profile));
    verdict(finding, profile, local, refusal.retry_after, refusal.status)
}

fn unusable(profile: &Profile, unusable: &Unusable, local: &Local) -> Verdict {
    let mut headers = HeaderMap::new();
    if unusable.why == "html" {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    }
    let location = unusable.location.as_deref().map(HeaderValue::from_str);
    if let Some(Ok(location)) = location {
        headers.insert(header::LOCATION, location);
    }
    let answer = Answer {
        place: Place::Token,
        status: unusable.status,
        headers: &headers,
        body: unusable.body_start.as_bytes(),
    };
    let mut finding = of_reading(&answer, &Reading::of(&answer), local, Some(profile));
    finding.proven = false;
    finding
        .failure
        .evidence
        .push(fact("body", unusable.why, "token endpoint"));
    if let Some(location) = &unusable.location {
        let led = masked_fact("location", location, "token endpoint");
        finding.failure.evidence.push(led);
    }
    verdict(
        finding,
        profile,
        local,
        unusable.retry_after,
        unusable.status,
    )
}

fn verdict(
    finding: Finding,
    profile: &Profile,
    local: &Local,
    retry_after: Option<RetryAfter>,
    status: u16,
) -> Verdict {
    if finding.proven {
        let failure = with_import(finding.failure, profile, local);
        return Verdict::Final {
            failure: with_lost_reply(failure, profile, local),
        };
    }
    Verdict::Passing {
        failure: passing_failure(finding.failure, local),
        retry_after_s: seconds(retry_after, local),
        sent: sent(status),
    }
}

fn json_header() -> HeaderMap {
    let json = HeaderValue::from_static("application/json");
    HeaderMap::from_iter([(header::CONTENT_TYPE, json)])
}

/// After a lost reply the refusal of the old token is its consequence, and the cause must say so (I10).
fn with_lost_reply(failure: Failure, profile: &Profile, local: &Local) -> Failure {
    let about_the_token = matches!(
        failure.class,
        Class::RefreshInvalid
            | Class::RefreshRevoked
            | Class::RefreshReused
            | Class::RefreshExpired
            | Class::SessionEnded
    );
    if !local.unknown_outcome
        || !about_the_token
        || !profile.rotation.spends()
        || local.refresh_expired
    {
        return failure;
    }
    let facts = vec![fact(
        "unknown_outcome",
        "an earlier exchange with this refresh token got no answer",
        "store",
    )];
    Found::passing(
        Class::ReplyLost,
        "reply_of_rotation_lost",
        "token.reply_lost",
    )
    .failure(facts, None, local)
    .because(failure)
}

/// An imported refresh token that rotates and is refused was most likely used where it came from.
fn with_import(mut failure: Failure, profile: &Profile, local: &Local) -> Failure {
    let superseded = matches!(
        failure.class,
        Class::RefreshInvalid | Class::RefreshRevoked | Class::RefreshReused
    );
    if local.imported && superseded && profile.rotation.spends() && !local.refresh_expired {
        failure.detail.push_str(
            " It came with an import: where it came from it was most likely used since, and replaced by a newer one that is not here.",
        );
        failure.evidence.push(fact(
            "imported",
            "the tokens came with an import and were not renewed here since",
            "store",
        ));
    }
    failure
}

/// A passing failure of a refresh never tells a person to log in: that would be a final word without proof. A
/// login that failed is nobody's session yet, so its failure stands as it is.
fn passing_failure(failure: Failure, local: &Local) -> Failure {
    let waits = failure.heal != Heal::Relogin && failure.class != Class::Unknown;
    if local.grant != Grant::RefreshToken || waits {
        failure
    } else {
        unproven(failure)
    }
}

/// Whether the server may have rotated before it failed to answer properly.
fn sent(status: u16) -> Sent {
    match status {
        200..=299 | 500.. => Sent::Maybe,
        _ => Sent::Answered,
    }
}

fn seconds(after: Option<RetryAfter>, local: &Local) -> Option<u64> {
    match after? {
        RetryAfter::Seconds(seconds) => Some(seconds),
        RetryAfter::At(at) => u64::try_from(at.saturating_sub(local.now_s?)).ok(),
    }
}
