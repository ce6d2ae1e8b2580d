//! Measures the classifier against labelled answers (`tests/data/failures.jsonl`).

use std::collections::BTreeMap;

use serde_json::Value;
use tenure_core::{Class, Heal};

use crate::classify::{Finding, Grant, Place};
use crate::lines::{Line, LineError, class_name};

/// How many of how many were right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Cases.
    pub all: usize,
    /// Right classes.
    pub class: usize,
    /// Right first steps.
    pub heal: usize,
    /// Verdicts that do harm.
    pub harmful: usize,
}

impl Tally {
    /// Right classes in a hundred.
    pub fn class_percent(&self) -> f64 {
        percent(self.class, self.all)
    }

    /// Right first steps in a hundred.
    pub fn heal_percent(&self) -> f64 {
        percent(self.heal, self.all)
    }

    fn add(&mut self, case: &Measured) {
        self.all += 1;
        self.class += usize::from(case.class_right);
        self.heal += usize::from(case.heal_right);
        self.harmful += usize::from(case.harm.is_some());
    }
}

fn percent(part: usize, all: usize) -> f64 {
    if all == 0 {
        100.0
    } else {
        part as f64 * 100.0 / all as f64
    }
}

/// One case, measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Its name.
    pub id: String,
    /// The system that answered.
    pub system: String,
    /// The class it is labelled with.
    pub class: String,
    /// Class and first step found, with the rule: `class/heal by rule`.
    pub got: String,
    /// Class and first step wanted.
    pub wanted: String,
    /// The answer in short.
    pub answer: String,
    /// Whether the class is right.
    pub class_right: bool,
    /// Whether the first step is right.
    pub heal_right: bool,
    /// What harm the verdict would do.
    pub harm: Option<&'static str>,
    /// Which half of the systems it belongs to.
    pub second_half: bool,
}

/// All cases, measured.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Every case, in order.
    pub cases: Vec<Measured>,
}

/// Measures every line of a corpus.
pub fn measure(corpus: &str) -> Result<Report, (usize, LineError)> {
    let mut cases = Vec::new();
    for (index, text) in corpus
        .lines()
        .enumerate()
        .filter(|(_, text)| !text.trim().is_empty())
    {
        cases.push(case(text).map_err(|error| (index + 1, error))?);
    }
    Ok(Report { cases })
}

impl Report {
    /// Everything together.
    pub fn total(&self) -> Tally {
        tally(self.cases.iter())
    }

    /// One half of the systems, parted by a hash of their names.
    pub fn half(&self, second: bool) -> Tally {
        tally(self.cases.iter().filter(|case| case.second_half == second))
    }

    /// A tally for each value of `key`.
    pub fn by(&self, key: impl Fn(&Measured) -> &str) -> BTreeMap<String, Tally> {
        let mut groups: BTreeMap<String, Tally> = BTreeMap::new();
        for case in &self.cases {
            groups.entry(key(case).to_owned()).or_default().add(case);
        }
        groups
    }

    /// The cases that are not wholly right.
    pub fn misses(&self) -> impl Iterator<Item = &Measured> {
        self.cases
            .iter()
            .filter(|case| !case.class_right || !case.heal_right || case.harm.is_some())
    }
}

fn tally<'c>(cases: impl Iterator<Item = &'c Measured>) -> Tally {
    let mut tally = Tally::default();
    cases.for_each(|case| tally.add(case));
    tally
}

fn case(text: &str) -> Result<Measured, LineError> {
    let line = Line::parse(text)?;
    let json: Value =
        serde_json::from_str(text).map_err(|error| LineError::NotJson(error.to_string()))?;
    let words = |pointer: &str| {
        json.pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (class, heal, system) = (
        words("/truth/class"),
        words("/truth/heal"),
        words("/system"),
    );
    let finding = line.judge();
    let found = &finding.failure;
    let class_right = class_name(found.class) == class;
    // The README lets a refresh count where a revoked token's session may still be renewed.
    let refresh_too =
        class == "access_revoked" && line.local.has_refresh && found.heal == Heal::Refresh;
    Ok(Measured {
        id: words("/id"),
        class_right,
        heal_right: found.heal.as_str() == heal || refresh_too,
        harm: harm(&line, &finding, &class, &heal),
        got: format!(
            "{}/{} by {}",
            class_name(found.class),
            found.heal,
            found.rule
        ),
        wanted: format!("{class}/{heal} ({})", words("/truth/cause")),
        answer: format!(
            "{} {} {:?} {}",
            line.status,
            words("/request/grant"),
            json.get("local").map(Value::to_string).unwrap_or_default(),
            line.body.chars().take(220).collect::<String>()
        ),
        second_half: hash(&system) & 1 == 1,
        class,
        system,
    })
}

/// What harm a verdict would do: end what could live, refresh for what is not about the token, retry what is final.
fn harm(line: &Line, finding: &Finding, class: &str, heal: &str) -> Option<&'static str> {
    let passes = matches!(heal, "retry_later" | "none" | "fix_clock")
        || matches!(
            class,
            "rate_limited"
                | "server_error"
                | "server_unavailable"
                | "network_intercepted"
                | "not_auth"
                | "unknown"
        );
    let renews = line.place == Place::Token && line.local.grant == Grant::RefreshToken;
    let found = &finding.failure;
    if passes && (finding.proven && renews || found.heal == Heal::Relogin && heal != "relogin") {
        return Some("ends a session that could live");
    }
    let about_the_token =
        class.starts_with("access_") || matches!(class, "key_mismatch" | "unknown");
    if found.heal == Heal::Refresh && !about_the_token && heal != "refresh" {
        return Some("refreshes for an answer that is not about the token");
    }
    let last = matches!(
        class,
        "refresh_expired"
            | "refresh_invalid"
            | "refresh_revoked"
            | "refresh_reused"
            | "session_ended"
            | "consent_required"
            | "account_disabled"
            | "client_invalid"
            | "client_unauthorized"
            | "wrong_issuer"
            | "step_up_required"
            | "insufficient_scope"
    );
    (found.heal == Heal::RetryLater
        && found.class != Class::NotAuth
        && last
        && heal != "retry_later")
        .then_some("retries what is final")
}

/// FNV-1a: the same on every machine.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
