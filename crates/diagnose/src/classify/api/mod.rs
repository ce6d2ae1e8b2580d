//! Answers of resource servers: is this about the token, and may a refresh heal it?
//!
//! `refused` is the strong word: it starts a refresh and allows a replay (I12, I13). It is said only when the
//! server looked at the token and refused it, or answered a bare 401 to a request that carried one.

mod body;
mod rules;
mod wordpress;

use http::HeaderMap;
use tenure_core::{Class, Evidence, Failure};

use super::Local;
use super::challenge::{Challenge, challenges};
use super::finding::{Finding, fact};
use crate::profile::Profile;
use body::Body;

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

/// What a rule looks at.
struct Facts<'a> {
    status: u16,
    headers: &'a HeaderMap,
    challenges: Vec<Challenge>,
    body: Body,
    profile: &'a Profile,
    local: &'a Local,
}

/// What a rule says.
enum Said {
    /// The token was refused.
    Refused(Finding),
    /// A failure that a refresh cannot heal.
    Failed(Finding),
    /// Nothing about the token: no later rule is asked.
    NotToken,
}

type Rule = fn(&Facts<'_>) -> Option<Said>;

/// The rules, strongest first.
const RULES: &[Rule] = &[
    rules::rate_limit,
    rules::something_else,
    rules::intercepted,
    wordpress::rule,
    rules::server_error,
    rules::no_token_sent,
    rules::other_issuer,
    rules::challenge_error,
    rules::codes,
    rules::text,
    rules::redirect_to_login,
    rules::other_scheme,
    rules::page,
    rules::bare_401,
    rules::rights,
];

/// What an API's answer means. `None`: it is not about the token.
pub fn classify_api(profile: &Profile, seen: &Seen<'_>, local: &Local) -> Option<ApiVerdict> {
    let said_by_profile = profile.refused_statuses.contains(&seen.status);
    if !said_by_profile && matches!(seen.status, 100..=299) && !rules::interceptable(seen) {
        return None;
    }
    let facts = Facts {
        status: seen.status,
        headers: seen.headers,
        challenges: challenges(seen.headers),
        body: Body::read(seen.headers, seen.body_start),
        profile,
        local,
    };
    let (finding, refused) = match RULES.iter().find_map(|rule| rule(&facts))? {
        Said::NotToken => return None,
        Said::Refused(finding) => (finding, local.token_sent),
        Said::Failed(finding) => (finding, false),
    };
    let finding = by_the_clock(finding, local);
    let refused = refused && finding.class != Class::ClockSkew;
    let failure = finding.failure(facts.evidence(), facts.said(), local);
    Some(ApiVerdict { failure, refused })
}

/// "Not yet valid" is clock skew once an offset is proven.
fn by_the_clock(finding: Finding, local: &Local) -> Finding {
    match (finding.class, local.clock_is_off()) {
        (Class::NotYetValid, Some(_)) => Finding {
            class: Class::ClockSkew,
            cause: "clocks_differ",
            heal: None,
            ..finding
        },
        _ => finding,
    }
}

impl Facts<'_> {
    /// The challenge that speaks of tokens, the one with an error first.
    fn token_challenge(&self) -> Option<&Challenge> {
        let tokens = || {
            self.challenges
                .iter()
                .filter(|challenge| challenge.carries_tokens())
        };
        tokens()
            .find(|challenge| challenge.param("error").is_some())
            .or_else(|| tokens().next())
    }

    /// Everything the answer says in words, lower case.
    fn words(&self) -> String {
        let described = self
            .token_challenge()
            .and_then(|challenge| challenge.param("error_description"));
        let mut words = self.body.text.to_lowercase();
        if let Some(described) = described {
            words.push(' ');
            words.push_str(&described.to_lowercase());
        }
        words
    }

    fn said(&self) -> Option<&str> {
        let described = self
            .token_challenge()
            .and_then(|challenge| challenge.param("error_description"));
        described
            .or(Some(self.body.text.as_str()))
            .filter(|said| !said.is_empty() && !self.body.html)
    }

    fn evidence(&self) -> Vec<Evidence> {
        let mut facts = vec![fact("status", &self.status.to_string(), "response")];
        if let Some(challenge) = self.token_challenge() {
            let error = challenge.param("error").unwrap_or_default();
            facts.push(fact(
                "www_authenticate",
                &format!("{} {error}", challenge.scheme),
                "response",
            ));
        }
        if let Some(code) = self.body.codes.first() {
            facts.push(fact("code", code, "response"));
        }
        if let Some(expired) = self.local.token_expired {
            facts.push(fact(
                "token_expired",
                if expired { "yes" } else { "no" },
                "local clock",
            ));
        }
        if let Some(offset) = self.local.clock_is_off() {
            facts.push(fact("clock_offset_s", &offset.to_string(), "local clock"));
        }
        facts.push(fact("profile", &self.profile.name, "profile"));
        facts
    }
}
