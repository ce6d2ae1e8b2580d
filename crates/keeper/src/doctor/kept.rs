//! What can be told at home: configuration, store, who else holds the session, what is remembered of it.

use std::time::Instant;

use tenure_core::{Class, Code, Failure, Heal, Who};
use tenure_diagnose::doctor::{Check, CheckId, Fix};
use tenure_store::check::CheckReport;
use tenure_store::{Record, StoreError, Suspect};

use super::{Exam, Patient};
use crate::rows::Renewer;

pub(super) fn examine(exam: &mut Exam<'_>, patient: &Patient<'_>) {
    let mut note = |check: Check| exam.done(Instant::now(), check);
    note(config(patient));
    note(store(patient.store, &patient.config.name));
    note(holders(patient));
    note(state(patient));
    note(pace(patient));
    if let Some(renewal) = &patient.renewal {
        note(renewal.clone());
    }
}

fn config(patient: &Patient<'_>) -> Check {
    let config = patient.config;
    let check = match &config.blocked {
        Some(failure) => Check::fail(CheckId::Config, (**failure).clone()).fix(Fix::new(
            Who::Operator,
            "Put the secret where the configuration says it is, readable for the user that tenure runs as",
        )),
        None if patient.keep_cookies && config.endpoints.known().dialect.is_wordpress() => {
            Check::warn(
                CheckId::Config,
                "cookies of callers are passed on: a WordPress login cookie swallows the token",
            )
            .fix(Fix::new(
                Who::Operator,
                format!("Remove `keep_cookies` from [sessions.{}]", config.name),
            ))
        }
        None => Check::ok(CheckId::Config, "read, and all its secrets"),
    };
    check.fact("provider", &config.profile.name, "configuration")
}

fn store(seen: Option<&Result<CheckReport, StoreError>>, session: &str) -> Check {
    let report = match seen {
        None => return Check::skipped(CheckId::Store, "there is none yet; a login makes it"),
        Some(Err(error)) => return broken(error.failure(), error.fix()),
        Some(Ok(report)) => report,
    };
    let failure = |says: &str| {
        Failure::new(
            Code::StoreUnavailable,
            Class::StoreUnavailable,
            "store_not_sound",
            Heal::FixConfig,
            Who::Operator,
            says,
        )
        .with_rule("doctor.store")
        .with_command("tenure store check")
    };
    let check = if let Some(error) = &report.key.error {
        let fix = report.problems.first().and_then(|found| found.fix.clone());
        broken(failure(error), fix)
    } else if let Some(found) = report
        .problems
        .iter()
        .find(|found| concerns(found, session))
    {
        broken(failure(&found.message), found.fix.clone())
    } else {
        match report.problems.first() {
            Some(found) => Check::warn(CheckId::Store, found.message.clone()),
            None => Check::ok(CheckId::Store, "sound, and its key fits"),
        }
    };
    let check = check.at(report.path.display());
    match (&report.key.id, &report.key.source) {
        (Some(id), Some(source)) => check.fact("key", format!("{id} from {source}"), "store"),
        _ => check,
    }
}

/// Problems of other sessions are no concern of this one.
fn concerns(found: &tenure_store::check::Finding, session: &str) -> bool {
    match found.message.strip_prefix("session ") {
        Some(rest) => rest.split(' ').next() == Some(session),
        None => true,
    }
}

fn broken(failure: Failure, fix: Option<String>) -> Check {
    let command = failure.command.clone();
    let check = Check::fail(CheckId::Store, failure);
    match fix {
        Some(fix) => check.fix(Fix {
            command,
            ..Fix::new(Who::Operator, sentence(&fix))
        }),
        None => check,
    }
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars).collect()
    })
}

fn holders(patient: &Patient<'_>) -> Check {
    let lease = patient.record.and_then(|record| record.lease.as_ref());
    let check = match (lease, patient.running) {
        (Some(lease), _) => Check::ok(
            CheckId::Holders,
            format!("being renewed now by {}", lease.holder),
        )
        .fact("lease_ms", lease.for_ms, "store"),
        (None, Some(_)) => Check::ok(CheckId::Holders, "a `tenure up` on this data keeps it"),
        (None, None) => Check::ok(
            CheckId::Holders,
            "nobody else; no `tenure up` runs on this data",
        ),
    };
    match patient.running {
        Some(url) => check.fact("up", url, "data directory"),
        None => check,
    }
}

/// Latch, doubt, and whether there is anything to keep at all.
fn state(patient: &Patient<'_>) -> Check {
    let config = patient.config;
    let login = format!("tenure login {}", config.name);
    let Some(record) = patient.record else {
        if patient.store.is_some() && !patient.opened {
            return Check::skipped(CheckId::State, "the store could not be opened");
        }
        return nothing(patient, &login);
    };
    if let Some(why) = &record.unreadable {
        let failure = Failure::new(
            Code::StoreUnavailable,
            Class::StoreUnavailable,
            "session_unreadable",
            Heal::FixConfig,
            Who::Operator,
            format!("the stored tokens cannot be opened: {why}"),
        )
        .with_rule("store.unreadable");
        return Check::fail(CheckId::State, failure).fix(
            Fix::new(Who::Operator, "Bring back the store's key, or log in again").command(login),
        );
    }
    if let Some(latch) = &record.latch {
        return latched(patient, record, latch);
    }
    if record.pair.is_none() {
        return nothing(patient, &login);
    }
    let doubt = [
        (
            record.unsaved,
            "the newest tokens are in the spare slot and not in the store yet",
        ),
        (
            record.suspect == Some(Suspect::Restored),
            "the store was restored: a newer refresh token may have existed",
        ),
        (
            record.suspect == Some(Suspect::Imported),
            "the tokens were imported: a newer refresh token may exist where they came from",
        ),
        (
            record.intent.is_some() && record.lease.is_none(),
            "a refresh was begun whose end is not known; the next one settles it",
        ),
    ];
    let check = match doubt.iter().find(|(there, _)| *there) {
        Some((_, says)) => Check::warn(CheckId::State, *says),
        None => Check::ok(CheckId::State, "logged in, and nothing refused"),
    };
    check.fact("generation", record.generation, "store")
}

fn latched(patient: &Patient<'_>, record: &Record, latch: &tenure_store::Latch) -> Check {
    let config = patient.config;
    let renewer = Renewer::of(config, record.pair.as_ref(), record.secret.as_ref());
    if renewer.fingerprint(config) != Some(latch.fingerprint) && config.blocked.is_none() {
        return Check::warn(
            CheckId::State,
            "an earlier refusal is remembered for other credentials; the next refresh tries anew",
        )
        .because(latch.failure.clone());
    }
    Check::fail(CheckId::State, latch.failure.clone())
        .fact("refused_at_ms", latch.at.0, "store")
        .fact("generation", record.generation, "store")
}

fn nothing(patient: &Patient<'_>, login: &str) -> Check {
    if patient.config.client_credentials {
        return Check::ok(
            CheckId::State,
            "the client logs itself in when a token is wanted",
        );
    }
    let failure = Failure::new(
        Code::AuthRequired,
        Class::AccessMissing,
        "not_logged_in",
        Heal::Relogin,
        Who::User,
        format!("session {} is not logged in", patient.config.name),
    )
    .with_rule("doctor.state")
    .with_command(login);
    Check::fail(CheckId::State, failure)
}

/// What was met lately: failures of this session, pauses of its token endpoint.
fn pace(patient: &Patient<'_>) -> Check {
    let trouble = patient.record.and_then(|record| record.trouble.as_ref());
    let noted = trouble
        .map(|trouble| (trouble.failures, trouble.wait_ms, Some(&trouble.failure)))
        .or_else(|| {
            let pace = patient.pace?;
            Some((pace.failures, pace.wait_ms, pace.failure.as_ref()))
        });
    let Some((failures, wait_ms, failure)) = noted else {
        return Check::ok(CheckId::Pace, "none noted");
    };
    let said = failure.map_or_else(
        || "the token endpoint asked for a pause".to_owned(),
        |failure| {
            format!(
                "{failures} failed in a row, last {} {}",
                failure.code, failure.title
            )
        },
    );
    let check = Check::warn(CheckId::Pace, said).fact("pause_ms", wait_ms, "store");
    let check = check.fact("failures", failures, "store");
    match failure {
        Some(failure) => check.because(failure.clone()).fix(Fix::of(failure)),
        None => check,
    }
}
