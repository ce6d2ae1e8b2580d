//! What a token is, offline: taken apart, judged, and recognised when it is mangled or something else altogether.
//!
//! [`inspect`] takes any text, however damaged, and what is known (time, issuer, audience, keys). It says what the
//! text is, what is wrong with it as [`Failure`]s, and what will happen when. Neither the token nor its signature is
//! in anything it returns.

mod anatomy;
mod homoglyphs;
mod issuer;
mod judge;
mod kind;
mod prefixes;
mod repair;
mod shapes;
mod show;
mod signature;
mod times;

use serde::Serialize;
use serde_json::{Map, Value};
use tenure_core::{Failure, Heal, Secret, Who};
use tenure_jose::JwkSet;

use crate::Profile;

use anatomy::Anatomy;
pub use kind::Kind;
use repair::Peeled;
pub use signature::{Signature, SignatureState};
pub use times::{Moment, Time};

/// More than this is not looked at, in bytes.
pub const MAX_INPUT_BYTES: usize = 256 * 1024;

/// What a token is judged against. `None` leaves a check out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Given<'a> {
    /// Now, in epoch seconds.
    pub now_s: i64,
    /// Who should have issued it.
    pub issuer: Option<&'a str>,
    /// For whom it should be.
    pub audience: Option<&'a str>,
    /// The server's public keys.
    pub keys: Option<&'a JwkSet>,
    /// The kind of server: some name other issuers than their own in their tokens.
    pub profile: Option<&'a Profile>,
    /// Hide values that are no times and no names of machines, keys or the token.
    pub redact: bool,
}

/// Something wrong with the form of what was given.
#[derive(Clone, Debug, Serialize)]
pub struct Flaw {
    /// Short name, as in the failure.
    pub cause: &'static str,
    /// What it is, for a person.
    pub text: String,
    /// How it was undone, such as `removing the quotes`; `None` when that would be guessing.
    pub repair: Option<&'static str>,
}

impl Flaw {
    fn new(cause: &'static str, text: impl Into<String>) -> Self {
        Self {
            cause,
            text: text.into(),
            repair: None,
        }
    }

    fn repaired_by(mut self, repair: &'static str) -> Self {
        self.repair = Some(repair);
        self
    }

    fn failure(&self, after: &str) -> Failure {
        let mut detail = self.text.clone();
        if !after.is_empty() {
            detail = format!("{detail} {after}");
        }
        let mut failure = judge::invalid(self.cause, detail);
        if matches!(self.cause, "opaque_token" | "encrypted_token") {
            (failure.heal, failure.who) = (Heal::None, Who::ServerAdmin);
        }
        failure
    }
}

/// Everything that can be told about a text.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What it is.
    pub kind: Kind,
    /// What shows the kind.
    pub kind_because: String,
    /// How much was given, in bytes.
    pub bytes: usize,
    /// Parts between dots, of what is left after repairs.
    pub parts: usize,
    /// In half a sentence, such as `an access token that expired 3 min ago`.
    pub summary: String,
    /// What is wrong with its form, outermost first.
    pub flaws: Vec<Flaw>,
    /// Its header; texts cut, secrets hidden.
    pub header: Option<Map<String, Value>>,
    /// Its claims; texts cut, secrets hidden.
    pub claims: Option<Map<String, Value>>,
    /// Its times.
    pub times: Vec<Time>,
    /// From its issue to its end, in seconds.
    pub lifetime_s: Option<i64>,
    /// Its signature.
    pub signature: Option<Signature>,
    /// What happens when, in order.
    pub timeline: Vec<Moment>,
    /// What is odd and not wrong.
    pub remarks: Vec<String>,
    /// The failure that matters most; `None` when nothing is wrong.
    pub failure: Option<Failure>,
    /// Everything else that is wrong.
    pub other_failures: Vec<Failure>,
}

/// Takes a text for a token and says what it is. Never fails: whatever it is, that is the result.
pub fn inspect(input: &Secret, given: &Given<'_>) -> Report {
    if input.len() > MAX_INPUT_BYTES {
        let flaw = Flaw::new(
            "too_large",
            format!(
                "It has {} bytes; at most {MAX_INPUT_BYTES} are looked at, and no server accepts a tenth of that.",
                input.len()
            ),
        );
        return bare(input, 0, vec![flaw], Kind::NoToken, None);
    }
    let peeled = repair::peel(input);
    let parts = peeled.text.expose().split('.').count();
    match peeled.kind {
        Some(kind) => bare(input, parts, peeled.flaws, kind, peeled.name),
        None => readable(input, peeled, given),
    }
}

/// Nothing to take apart.
fn bare(
    input: &Secret,
    parts: usize,
    flaws: Vec<Flaw>,
    kind: Kind,
    name: Option<&'static str>,
) -> Report {
    let failures = flaw_failures(&flaws, None);
    let (failure, other_failures) = split(failures);
    Report {
        kind,
        kind_because: flaws
            .last()
            .map(|flaw| flaw.text.clone())
            .unwrap_or_default(),
        bytes: input.len(),
        parts,
        summary: name.unwrap_or(kind.words()).to_owned(),
        flaws,
        header: None,
        claims: None,
        times: Vec::new(),
        lifetime_s: None,
        signature: None,
        timeline: Vec::new(),
        remarks: Vec::new(),
        failure,
        other_failures,
    }
}

/// Something with at least one readable part, or that looks as if it had.
fn readable(input: &Secret, peeled: Peeled, given: &Given<'_>) -> Report {
    let text = peeled.text.expose();
    let anatomy = anatomy::take_apart(text);
    let mut flaws = peeled.flaws;
    let whole = anatomy.flaw.is_none();
    flaws.extend(anatomy.flaw.clone());
    let (kind, because) = kind_of(&anatomy);

    let now = given.now_s;
    let claims = anatomy.claims.clone().unwrap_or_default();
    let times = times::Times::read(&claims);
    let mut remarks = Vec::new();
    let mut failures = Vec::new();
    failures.extend(judge::kind(kind, because));
    if let Some(header) = anatomy.header.as_ref().filter(|_| anatomy.kind.is_none()) {
        failures.extend(judge::header(header, &mut remarks));
    }
    let (signature, key_failure) = signature::check(text, &anatomy, given.keys);
    failures.extend(key_failure);
    if anatomy.claims.is_some() {
        failures.extend(judge::issuer(&claims, given, &mut remarks));
        failures.extend(judge::audience(&claims, given));
        failures.extend(judge::times(&times, now));
        judge::odd_times(kind, &times, now, &mut remarks);
    }
    let summary = match anatomy.claims {
        Some(_) => judge::summary(kind, &times, &failures, now),
        None => kind.words().to_owned(),
    };
    let timeline = times::timeline(&times, failures.is_empty() && whole, now);
    let after = whole.then_some(summary.as_str());
    let all = flaw_failures(&flaws, after)
        .into_iter()
        .chain(failures)
        .collect();
    let (failure, other_failures) = split(all);
    let show = show::Show {
        redact: given.redact,
        signature: anatomy.signature,
    };
    Report {
        kind,
        kind_because: because.to_owned(),
        bytes: input.len(),
        parts: anatomy.parts,
        summary,
        flaws,
        header: anatomy.header.as_ref().map(|header| show.object(header)),
        claims: anatomy.claims.as_ref().map(|claims| show.object(claims)),
        times: times::list(&claims, now),
        lifetime_s: times.lifetime_s(),
        signature: anatomy.kind.is_none().then_some(signature),
        timeline,
        remarks,
        failure,
        other_failures,
    }
}

fn kind_of(anatomy: &Anatomy<'_>) -> (Kind, &'static str) {
    match (anatomy.kind, &anatomy.header, &anatomy.claims) {
        (Some(Kind::EncryptedToken), _, _) => (
            Kind::EncryptedToken,
            "its header names an encryption (`enc`)",
        ),
        (Some(kind), _, _) => (kind, "by its form"),
        (None, header, Some(claims)) => kind::of(header.as_ref().unwrap_or(&Map::new()), claims),
        (None, _, None) => (Kind::Jwt, "its payload cannot be read"),
    }
}

/// A failure per flaw; the first tells what is left when all are undone.
fn flaw_failures(flaws: &[Flaw], summary: Option<&str>) -> Vec<Failure> {
    let repairs: Vec<&str> = flaws.iter().filter_map(|flaw| flaw.repair).collect();
    let after = match summary {
        Some(summary) if !repairs.is_empty() => {
            format!("After {}, it is {summary}.", repairs.join(" and "))
        }
        _ => String::new(),
    };
    flaws
        .iter()
        .enumerate()
        .map(|(at, flaw)| flaw.failure(if at == 0 { &after } else { "" }))
        .collect()
}

fn split(failures: Vec<Failure>) -> (Option<Failure>, Vec<Failure>) {
    let mut failures = failures.into_iter();
    let first = failures.next();
    (first, failures.collect())
}
