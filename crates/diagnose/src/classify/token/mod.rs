//! Answers of token endpoints.
//!
//! The order: what cannot be final whatever it says (throttling, server errors, pages in place of answers),
//! then the dialect's own codes, then provider codes that are unmistakable, then RFC 6749 §5.2, then bare
//! statuses. Only the dialect, provider and RFC rules can prove a final refusal (I5).

mod provider;
mod rfc6749;
mod wordpress;

use tenure_core::{Class, Evidence, Failure, Heal, Who};
use tenure_wire::{Refusal, RetryAfter, Unusable};

use super::finding::{Finding, fact, unproven};
use super::text::throttled;
use super::{Grant, Local, Sent, TokenFailure, Verdict, transport};
use crate::profile::{DialectName, Profile};

/// What a rule looks at: the refusal, made easy to match.
struct Answer<'a> {
    status: u16,
    /// Machine code, lower case.
    error: String,
    /// Refinement of the code, lower case.
    sub: String,
    /// The text for people, lower case.
    text: String,
    profile: &'a Profile,
    local: &'a Local,
}

type Rule = fn(&Answer<'_>) -> Option<Finding>;

/// The rules for refusals, strongest first. The first that finds something names the failure.
const RULES: &[Rule] = &[
    passing_rate_limit,
    passing_server_error,
    wordpress::rule,
    credentials,
    provider::microsoft,
    provider::codes,
    rfc6749::rule,
    bare_status,
];

/// What the end of an exchange means: whether the session can go on, and what happened.
pub fn classify_token(profile: &Profile, answer: TokenFailure<'_>, local: &Local) -> Verdict {
    match answer {
        TokenFailure::Refused(refusal) => refused(profile, refusal, local),
        TokenFailure::Unusable(unusable) => self::unusable(profile, unusable, local),
        TokenFailure::Transport(fault) => transport::classify(fault, local),
    }
}

fn refused(profile: &Profile, refusal: &Refusal, local: &Local) -> Verdict {
    let lower = |text: &Option<String>| text.as_deref().unwrap_or_default().to_lowercase();
    let answer = Answer {
        status: refusal.status,
        error: lower(&refusal.error),
        sub: lower(&refusal.sub),
        text: told(profile, refusal),
        profile,
        local,
    };
    let finding = RULES
        .iter()
        .find_map(|rule| rule(&answer))
        .unwrap_or(Finding::passing(
            Class::Unknown,
            "refused_without_reason",
            "token.unknown",
        ));
    let finding = one_time_input(finding, local);
    let failure = finding.failure(
        facts(profile, refusal),
        refusal.description.as_deref(),
        local,
    );
    if finding.proven {
        return Verdict::Final {
            failure: with_lost_reply(failure, profile, local),
        };
    }
    Verdict::Passing {
        failure: passing_failure(failure, local),
        retry_after_s: seconds(refusal.retry_after, local),
        sent: sent(refusal.status),
    }
}

/// The description; where a plain `/refresh` API sends a code alone (`refresh_token_invalid`), its words.
fn told(profile: &Profile, refusal: &Refusal) -> String {
    let description = refusal.description.as_deref().unwrap_or_default();
    match &refusal.error {
        Some(error) if description.is_empty() && profile.dialect == DialectName::JsonRefresh => {
            error.to_lowercase().replace(['_', '-'], " ")
        }
        _ => description.to_lowercase(),
    }
}

/// Login endpoints without a standard say so in their own code.
fn credentials(answer: &Answer<'_>) -> Option<Finding> {
    const WRONG: [&str; 4] = [
        "invalid_credentials",
        "bad_credentials",
        "wrong_credentials",
        "invalid_login",
    ];
    (answer.local.grant == Grant::Password && WRONG.contains(&answer.error.as_str())).then(|| {
        Finding::proven(
            Class::LoginRejected,
            "user_credentials_wrong",
            "token.credentials",
        )
    })
}

/// At a code grant "invalid or expired" is about the code, which can be had anew only by logging in.
fn one_time_input(finding: Finding, local: &Local) -> Finding {
    let about_the_input = matches!(
        finding.class,
        Class::RefreshInvalid
            | Class::RefreshExpired
            | Class::RefreshRevoked
            | Class::RefreshReused
    );
    match local.grant {
        grant if grant.is_one_time() && about_the_input => Finding {
            class: Class::BadRequest,
            cause: "code_invalid_or_used",
            heal: Some((Heal::Relogin, Who::User)),
            ..finding
        },
        super::Grant::Password if about_the_input => Finding {
            class: Class::LoginRejected,
            cause: "user_credentials_wrong",
            heal: None,
            ..finding
        },
        _ => finding,
    }
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
    Finding::proven(
        Class::ReplyLost,
        "reply_of_rotation_lost",
        "token.reply_lost",
    )
    .failure(facts, None, local)
    .because(failure)
}

/// A passing failure of a refresh never tells a person to log in: that would be a final word without proof. A
/// login that failed is nobody's session yet, so its failure stands as it is.
fn passing_failure(failure: Failure, local: &Local) -> Failure {
    if local.grant != Grant::RefreshToken {
        failure
    } else if failure.heal == Heal::Relogin || failure.class == Class::Unknown {
        unproven(failure)
    } else {
        failure
    }
}

fn unusable(profile: &Profile, unusable: &Unusable, local: &Local) -> Verdict {
    let finding = unusable_finding(unusable);
    let facts = vec![
        fact("status", &unusable.status.to_string(), "token endpoint"),
        fact("body", unusable.why, "token endpoint"),
        fact("profile", &profile.name, "profile"),
    ];
    Verdict::Passing {
        failure: passing_failure(finding.failure(facts, None, local), local),
        retry_after_s: seconds(unusable.retry_after, local),
        sent: sent(unusable.status),
    }
}

fn unusable_finding(unusable: &Unusable) -> Finding {
    let text = unusable.body_start.to_lowercase();
    let page = unusable.why == "html" || text.starts_with('<');
    match unusable.status {
        429 => Finding::passing(Class::RateLimited, "throttled", "token.unusable.429"),
        407 => Finding::passing(
            Class::NetworkIntercepted,
            "proxy_auth_required",
            "token.unusable.407",
        )
        .heal(Heal::FixConfig, Who::Operator),
        511 => Finding::passing(
            Class::NetworkIntercepted,
            "captive_portal",
            "token.unusable.511",
        ),
        300..=399 => Finding::passing(
            Class::NetworkIntercepted,
            "redirected",
            "token.unusable.redirect",
        ),
        503 if proxy_page(&text) => Finding::passing(
            Class::NetworkIntercepted,
            "proxy_error_page",
            "token.unusable.proxy",
        ),
        502..=504 | 520..=530 => Finding::passing(
            Class::ServerUnavailable,
            "unavailable",
            "token.unusable.5xx",
        ),
        500.. => Finding::passing(Class::ServerError, "server_error", "token.unusable.5xx"),
        404 | 405 => Finding::passing(
            Class::WrongIssuer,
            "token_endpoint_wrong",
            "token.unusable.404",
        ),
        400 if page && text.contains("ssl certificate") => Finding::passing(
            Class::ClientInvalid,
            "client_certificate_missing",
            "token.unusable.mtls",
        ),
        200 if page && text.contains("maintenance") => Finding::passing(
            Class::ServerUnavailable,
            "maintenance_mode",
            "token.unusable.maintenance",
        ),
        _ if page => Finding::passing(
            Class::NetworkIntercepted,
            "page_in_place_of_answer",
            "token.unusable.html",
        ),
        _ => Finding::passing(Class::Unknown, unusable.why, "token.unusable"),
    }
}

fn proxy_page(text: &str) -> bool {
    super::text::has(
        text,
        &[
            "err_connect_fail",
            "err_dns_fail",
            "squid",
            "could not be retrieved",
        ],
    )
}

fn passing_rate_limit(answer: &Answer<'_>) -> Option<Finding> {
    if answer.status == 429 || throttled(&answer.error) || answer.error == "slow_down" {
        return Some(Finding::passing(
            Class::RateLimited,
            "throttled",
            "token.rate_limit",
        ));
    }
    (throttled(&answer.text) && answer.error != "invalid_client").then_some(Finding::passing(
        Class::RateLimited,
        "throttled",
        "token.rate_limit.text",
    ))
}

fn passing_server_error(answer: &Answer<'_>) -> Option<Finding> {
    match (answer.error.as_str(), answer.status) {
        ("temporarily_unavailable" | "service_unavailable", _) | (_, 502..=504 | 520..=530) => {
            Some(Finding::passing(
                Class::ServerUnavailable,
                "unavailable",
                "token.unavailable",
            ))
        }
        (_, 500..) if answer.text.contains("aadsts90012") => Some(Finding::passing(
            Class::ServerUnavailable,
            "idp_timeout",
            "token.entra.90012",
        )),
        (_, 500..) => Some(Finding::passing(
            Class::ServerError,
            "idp_internal_error",
            "token.5xx",
        )),
        // Seen from servers that hide the reason: it proves neither side wrong.
        ("server_error", _) => Some(Finding::passing(
            Class::ServerError,
            "idp_internal_error",
            "token.server_error",
        )),
        ("conflict", 409) => Some(Finding::passing(
            Class::ServerError,
            "concurrent_refresh",
            "token.conflict",
        )),
        _ => None,
    }
}

fn bare_status(answer: &Answer<'_>) -> Option<Finding> {
    match answer.status {
        404 => Some(Finding::passing(
            Class::WrongIssuer,
            "token_endpoint_wrong",
            "token.status.404",
        )),
        407 => Some(
            Finding::passing(
                Class::NetworkIntercepted,
                "proxy_auth_required",
                "token.status.407",
            )
            .heal(Heal::FixConfig, Who::Operator),
        ),
        408 | 425 => Some(Finding::passing(
            Class::ServerUnavailable,
            "server_busy",
            "token.status.408",
        )),
        _ => None,
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

fn facts(profile: &Profile, refusal: &Refusal) -> Vec<Evidence> {
    let mut facts = vec![fact(
        "status",
        &refusal.status.to_string(),
        "token endpoint",
    )];
    for (kind, value) in [
        ("error", &refusal.error),
        ("error_description", &refusal.description),
        ("sub", &refusal.sub),
    ] {
        if let Some(value) = value {
            facts.push(fact(kind, value, "token endpoint"));
        }
    }
    facts.push(fact("profile", &profile.name, "profile"));
    facts
}

impl Answer<'_> {
    fn dialect(&self) -> DialectName {
        self.profile.dialect
    }

    /// Statuses with which this kind of server refuses: RFC 6749 §5.2 has 400 and 401; some use 403, some 200.
    fn may_refuse(&self) -> bool {
        matches!(self.status, 200 | 400 | 401 | 403)
    }
}
