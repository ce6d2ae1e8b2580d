//! The one classifier: a raw answer and what is known locally become a finding.

use tenure_core::{Class, Evidence, Failure, Heal, Who};

use super::answer::{Answer, Place};
use super::finding::{Found, fact, masked_fact, shown, usual_heal};
use super::local::{self, Local};
use super::read::{Reading, Shape};
use super::rules::{self, Rank, Rule};
use super::scene;
use crate::profile::{DialectName, Profile};

/// What an answer means.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The failure with its evidence.
    pub failure: Failure,
    /// Whether it is proven that this cannot work again (I5).
    pub proven: bool,
    /// The token itself was refused: a refresh may heal it.
    pub refused: bool,
}

/// What an answer means, by the strongest evidence there is: what is known locally, then codes that mean one
/// thing, then words, then protocol codes, then shape and status.
pub fn judge(answer: &Answer<'_>, local: &Local, profile: Option<&Profile>) -> Finding {
    let reading = Reading::of(answer);
    of_reading(answer, &reading, local, profile)
}

/// The same for an answer that was read before.
pub(super) fn of_reading(
    answer: &Answer<'_>,
    reading: &Reading,
    local: &Local,
    profile: Option<&Profile>,
) -> Finding {
    let found = find(answer, reading, local, profile);
    let at_api = answer.place == Place::Resource;
    let (heal, who) = found
        .heal
        .unwrap_or_else(|| usual_heal(found.class, found.cause, local));
    // Also where nothing can renew the token: it is refused all the same, and somebody must know.
    let last_one = heal == Heal::Relogin && !local.can_refresh() && is_about_token(found.class);
    let refused = at_api && local.token_sent && (heal == Heal::Refresh || last_one);
    let found = Found {
        heal: Some((heal, who)),
        ..found
    };
    let said = match reading.shape {
        Shape::Html => String::new(),
        _ => shown(&reading.said),
    };
    Finding {
        failure: found.failure(
            evidence(answer, reading, &said, local, profile),
            Some(&said),
            local,
        ),
        proven: found.proven && !at_api && may_refuse(answer.status),
        refused,
    }
}

fn find(answer: &Answer<'_>, reading: &Reading, local: &Local, profile: Option<&Profile>) -> Found {
    let matcher = rules::active();
    let success = is_success(answer, reading);
    if success && !matcher.has_own() {
        return Found::passing(Class::NotAuth, "success", "shape.success");
    }
    let scan = matcher.scan(reading);
    let scene = scene::of(answer, reading, local);
    let rule = matcher.first(&scan, answer, &scene, profile);
    // Whoever wrote a rule of their own knows what a success of their server is worth.
    if success && rule.is_none_or(|rule| rule.rank != Rank::Own) {
        return Found::passing(Class::NotAuth, "success", "shape.success");
    }
    let mut found = rule.map_or(
        Found::passing(Class::Unknown, "cannot_be_told", "none"),
        of_rule,
    );
    // Words alone prove nothing: they must stand beside a protocol's code, or come from a server that is known to
    // speak in words.
    if rule.is_some_and(|rule| rule.rank == Rank::Text) && !matcher.speaks_protocol(&scan) {
        found.proven &= speaks_in_words(profile) && answer.status != 200;
    }
    let at_api = answer.place == Place::Resource;
    let weighed = local::weigh(found, local, at_api, answer.status);
    // A page or a redirect to a login form is the word of whatever guards the API, which knows no refresh; a code that
    // names the login session leaves nothing to try.
    let in_words = rule.is_some_and(|rule| {
        rule.rank == Rank::Text || rule.rank != Rank::Own && rule.codes.is_empty()
    }) && reading.shape != Shape::Html
        && !(300..400).contains(&answer.status);
    if at_api && in_words {
        return local::one_refresh_first(weighed, local);
    }
    weighed
}

fn of_rule(rule: &'static Rule) -> Found {
    Found {
        class: rule.class,
        cause: &rule.cause,
        rule: &rule.id,
        heal: rule.heal,
        proven: rule.proven,
    }
}

fn speaks_in_words(profile: Option<&Profile>) -> bool {
    profile.is_some_and(|profile| profile.dialect == DialectName::JsonRefresh)
}

/// A success of an API that does not say of itself that it is none. A web page may be somebody else's.
fn is_success(answer: &Answer<'_>, reading: &Reading) -> bool {
    answer.place == Place::Resource
        && answer.status < 300
        && !reading.denies
        && reading.shape != Shape::Html
        && !reading.codes.iter().any(|code| code.key == "grpc-status")
}

/// Whether an answer of this class says that the server looked at the token and refused it.
fn is_about_token(class: Class) -> bool {
    matches!(
        class,
        Class::AccessExpired | Class::AccessInvalid | Class::AccessRevoked | Class::KeyMismatch
    )
}

/// Statuses with which token endpoints refuse: RFC 6749 §5.2 has 400 and 401; some use 403, some 200.
pub(super) fn may_refuse(status: u16) -> bool {
    matches!(status, 200 | 400 | 401 | 403)
}

fn evidence(
    answer: &Answer<'_>,
    reading: &Reading,
    said: &str,
    local: &Local,
    profile: Option<&Profile>,
) -> Vec<Evidence> {
    let source = match answer.place {
        Place::Token => "token endpoint",
        Place::Resource => "response",
    };
    let mut facts = vec![fact("status", &answer.status.to_string(), source)];
    for challenge in reading.challenges.iter().take(2) {
        let error = challenge.param("error").unwrap_or_default();
        facts.push(fact(
            "www_authenticate",
            &format!("{} {error}", challenge.scheme),
            source,
        ));
    }
    for code in reading.codes.iter().take(4) {
        facts.push(fact(&code.key, &code.shown, source));
    }
    if !said.is_empty() {
        facts.push(masked_fact("message", said, source));
    }
    let yes = |holds: bool| if holds { "yes" } else { "no" };
    if let Some(expired) = local.token_expired {
        facts.push(fact("token_expired", yes(expired), "local clock"));
    }
    if local.refresh_expired {
        facts.push(fact("refresh_token_expired", "yes", "local clock"));
    }
    if let Some(offset) = local.clock_is_off() {
        facts.push(fact("clock_offset_s", &offset.to_string(), "local clock"));
    }
    if local.other_issuer() {
        facts.push(fact(
            "token_issuer",
            local.token_issuer.as_deref().unwrap_or_default(),
            "access token",
        ));
        facts.push(fact(
            "issuer",
            local.issuer.as_deref().unwrap_or_default(),
            "configuration",
        ));
    }
    if local.key_is_gone() {
        facts.push(fact("token_kid", "no longer published", "access token"));
    }
    if local.led_elsewhere() {
        facts.push(fact(
            "final_host",
            local.final_host.as_deref().unwrap_or_default(),
            "redirect",
        ));
    }
    if let Some(profile) = profile {
        facts.push(fact("profile", &profile.name, "profile"));
    }
    facts
}

/// Who and what for a refusal that tells nothing: a refresh is worth one try where a token was sent.
pub(super) fn blind(local: &Local) -> (Heal, Who) {
    if !local.token_sent {
        (Heal::None, Who::Tenure)
    } else if local.can_refresh() {
        (Heal::Refresh, Who::Tenure)
    } else {
        (Heal::Relogin, Who::User)
    }
}
