//! What the machine tells, as rows for people.

use tenure_core::session::Event;
use tenure_core::{Class, Failure, Generation, Wall};
use tenure_store::{EventRow, Once};

use crate::config::SessionConfig;
use crate::exchange::ENDPOINT;
use crate::failures;

/// The event as a row; the store gives it its number.
pub(crate) fn row(config: &SessionConfig, event: &Event, at: Wall, holder: &str) -> EventRow {
    let (kind, generation, text, failure) = describe(config, event);
    EventRow {
        id: 0,
        at,
        session: config.name.clone(),
        kind: kind.to_owned(),
        generation: generation.unwrap_or_default(),
        text,
        failure,
        holder: holder.to_owned(),
    }
}

/// What an event of this kind is stored once for, when it is no deed of one process but a moment all see.
pub(crate) fn once(kind: &str) -> Option<Once> {
    match kind {
        "expired" => Some(Once::AGeneration),
        "ending" => Some(Once::ALogin),
        _ => None,
    }
}

fn describe(
    config: &SessionConfig,
    event: &Event,
) -> (&'static str, Option<Generation>, String, Option<Failure>) {
    match event {
        Event::Refreshed(g) => (
            "refreshed",
            Some(*g),
            format!("refreshed: generation {g}"),
            None,
        ),
        Event::Adopted(g) => (
            "adopted",
            Some(*g),
            format!("took over generation {g} from the store"),
            None,
        ),
        Event::RefreshFailed(failure, wait_ms) => (
            "refresh_failed",
            None,
            format!(
                "refresh failed: {}{}; next attempt in {:.1} s",
                failure.detail.trim_end_matches('.'),
                answered(config, failure),
                *wait_ms as f64 / 1_000.0
            ),
            Some(failure.clone()),
        ),
        Event::UnknownOutcome(g) => (
            "unknown_outcome",
            Some(*g),
            format!(
                "how the exchange of generation {g} ended is not known; the same token is sent once more"
            ),
            None,
        ),
        Event::Ended(failure) => {
            let fix = failure
                .root()
                .command
                .clone()
                .map_or(String::new(), |command| format!("; type: {command}"));
            (
                "ended",
                None,
                format!("{failure}: {}{fix}", failure.root().detail),
                Some(failure.clone()),
            )
        }
        Event::Unsaved(failure) => (
            "unsaved",
            None,
            format!(
                "the new tokens are not saved yet and are kept in memory and the spare slot: {}",
                failure.detail
            ),
            Some(failure.clone()),
        ),
        Event::SavedLate(g) => (
            "saved_late",
            Some(*g),
            format!("generation {g} is saved after all"),
            None,
        ),
        Event::Refused(g, failure) => (
            "refused",
            Some(*g),
            match failure {
                Some(failure) => format!(
                    "the API refused the token of generation {g}: {failure}: {}",
                    failure.detail
                ),
                None => format!("the API refused the token of generation {g}"),
            },
            failure.clone(),
        ),
        Event::Observed(failure) => (
            "observed",
            None,
            format!("{}: {failure}: {}", heard(failure), failure.detail),
            Some(failure.clone()),
        ),
        Event::Expired(g, renewable) => (
            "expired",
            Some(*g),
            format!("the access token of generation {g} has ended"),
            (!renewable).then(|| failures::no_token(config, true)),
        ),
        Event::Ending(ms) => (
            "ending",
            None,
            format!(
                "the session ends in {} and cannot be extended; log in again before: tenure login {}",
                span(*ms),
                config.name
            ),
            None,
        ),
        Event::LoggedOut => ("logged_out", None, "logged out".to_owned(), None),
    }
}

/// Whether the API answered at all.
fn heard(failure: &Failure) -> &'static str {
    let silent = matches!(
        failure.class,
        Class::Timeout
            | Class::ConnectionRefused
            | Class::ConnectionReset
            | Class::DnsFailed
            | Class::TlsError
            | Class::NetworkUnreachable
    );
    if silent {
        "the API did not answer"
    } else {
        "the API answered"
    }
}

/// Who answered what, and whether that leaves the refresh token in doubt.
fn answered(config: &SessionConfig, failure: &Failure) -> String {
    let fact = |kind: &str| {
        let mut all = failure.evidence.iter();
        all.find(|fact| fact.kind == kind)
            .map(|fact| fact.value.as_str())
    };
    let Some(endpoint) = fact(ENDPOINT) else {
        return String::new();
    };
    match fact("status") {
        None => format!(" ({endpoint})"),
        Some(status) if status.starts_with('5') && config.profile.rotation.spends() => format!(
            " ({endpoint} answered {status}; whether it rotated the refresh token is unknown)"
        ),
        Some(status) => format!(" ({endpoint} answered {status})"),
    }
}

fn span(ms: u64) -> String {
    let minutes = ms / 60_000;
    if minutes >= 120 {
        format!("{} h", minutes / 60)
    } else {
        format!("{minutes} min")
    }
}
