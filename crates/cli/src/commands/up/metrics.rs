//! `GET /metrics`: the sessions in the Prometheus text format 0.0.4. Names, numbers and states, no secrets.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use tenure_core::session::State as SessionState;
use tenure_keeper::{Keeper, Session, Status};
use tokio::sync::broadcast::error::RecvError;

use super::admin::Admin;

const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
const STATES: [SessionState; 7] = [
    SessionState::Empty,
    SessionState::Fresh,
    SessionState::Due,
    SessionState::Degraded,
    SessionState::Expired,
    SessionState::NeedsLogin,
    SessionState::NeedsOperator,
];

/// How an exchange ended, or what became of its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// New tokens, exchanged by this process.
    Refreshed,
    /// A failure that passes; it is tried again.
    Failed,
    /// The end of the session: a person or an operator must act.
    Ended,
    /// No reply: it is not known whether the server acted.
    Unknown,
}

const OUTCOMES: [Outcome; 4] = [
    Outcome::Refreshed,
    Outcome::Failed,
    Outcome::Ended,
    Outcome::Unknown,
];

impl Outcome {
    fn of(event: &str) -> Option<Self> {
        match event {
            "refreshed" => Some(Self::Refreshed),
            "refresh_failed" => Some(Self::Failed),
            "ended" => Some(Self::Ended),
            "unknown_outcome" => Some(Self::Unknown),
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Refreshed => "refreshed",
            Self::Failed => "failed",
            Self::Ended => "ended",
            Self::Unknown => "unknown",
        }
    }
}

/// What is counted from the start of the process on.
#[derive(Clone)]
pub struct Metrics {
    started: SystemTime,
    refreshes: Arc<Mutex<BTreeMap<(String, Outcome), u64>>>,
}

impl Metrics {
    /// Counts this keeper's events until the keeper is gone.
    pub fn start(keeper: &Keeper) -> Self {
        let metrics = Self {
            started: SystemTime::now(),
            refreshes: Arc::default(),
        };
        let mut events = keeper.events();
        let counting = metrics.clone();
        tokio::spawn(async move {
            loop {
                match events.recv().await {
                    Ok(event) => counting.count(&event.session, &event.kind),
                    Err(RecvError::Lagged(missed)) => {
                        tracing::warn!("{missed} events are missing in tenure_refreshes_total");
                    }
                    Err(RecvError::Closed) => return,
                }
            }
        });
        metrics
    }

    fn count(&self, session: &str, event: &str) {
        if let Some(outcome) = Outcome::of(event) {
            // A count is whole at every moment, also after a panic elsewhere.
            let mut refreshes = self
                .refreshes
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *refreshes.entry((session.to_owned(), outcome)).or_default() += 1;
        }
    }

    fn counted(&self, session: &str, outcome: Outcome) -> u64 {
        let refreshes = self
            .refreshes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        refreshes
            .get(&(session.to_owned(), outcome))
            .copied()
            .unwrap_or_default()
    }
}

/// `GET /metrics`.
pub async fn show(State(admin): State<Admin>) -> Response {
    let statuses: Vec<Status> = admin
        .keeper
        .sessions()
        .iter()
        .map(Session::status)
        .collect();
    let text = render(&statuses, &admin.metrics);
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response()
}

fn render(statuses: &[Status], metrics: &Metrics) -> String {
    let mut text = String::new();
    let mut family = Family::new(
        &mut text,
        "tenure_session_state",
        "gauge",
        "1 for the state the session is in, 0 for every other.",
    );
    for status in statuses {
        for state in STATES {
            let labels = [("session", status.name.as_str()), ("state", state.as_str())];
            family.sample(&labels, u8::from(state == status.state));
        }
    }
    let mut family = Family::new(
        &mut text,
        "tenure_session_generation",
        "gauge",
        "Generation of the token pair: how many pairs the session has had.",
    );
    for status in statuses {
        family.sample(&[("session", &status.name)], status.generation.0);
    }
    let mut family = Family::new(
        &mut text,
        "tenure_session_access_expires_seconds",
        "gauge",
        "Seconds until the access token ends, negative once it has; absent while unknown.",
    );
    for status in statuses {
        if let Some(left) = status.access_expires_in {
            family.sample(&[("session", &status.name)], left);
        }
    }
    let mut family = Family::new(
        &mut text,
        "tenure_session_unsaved",
        "gauge",
        "1 while the newest token pair is not saved yet.",
    );
    for status in statuses {
        family.sample(&[("session", &status.name)], u8::from(status.unsaved));
    }
    counters(&mut text, statuses, metrics);
    text
}

fn counters(text: &mut String, statuses: &[Status], metrics: &Metrics) {
    let mut family = Family::new(
        text,
        "tenure_refreshes_total",
        "counter",
        "Refreshes by this process: refreshed, failed for now, ended the session, or without a reply (unknown).",
    );
    for status in statuses {
        for outcome in OUTCOMES {
            let labels = [
                ("session", status.name.as_str()),
                ("outcome", outcome.as_str()),
            ];
            family.sample(&labels, metrics.counted(&status.name, outcome));
        }
    }
    let mut family = Family::new(
        text,
        "process_start_time_seconds",
        "gauge",
        "Start of the process, in seconds since the epoch.",
    );
    let started = metrics.started.duration_since(SystemTime::UNIX_EPOCH);
    // A clock before 1970 is wrong by so much that zero says no less.
    family.sample(&[], started.unwrap_or_default().as_secs());
}

/// One metric: its description, then its samples.
struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl<'a> Family<'a> {
    fn new(text: &'a mut String, name: &'static str, kind: &str, help: &str) -> Self {
        // Writing to a string cannot fail.
        let _written = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        Self { text, name }
    }

    fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
            .collect();
        let labels = match labels.as_slice() {
            [] => String::new(),
            labels => format!("{{{}}}", labels.join(",")),
        };
        // Writing to a string cannot fail.
        let _written = writeln!(self.text, "{}{labels} {value}", self.name);
    }
}

/// A label's value as the format wants it.
fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenure_core::Generation;

    fn status(name: &str) -> Status {
        Status {
            name: name.to_owned(),
            provider: "oauth2".to_owned(),
            state: SessionState::Degraded,
            unsaved: true,
            generation: Generation(7),
            access_expires_in: Some(-3),
            refresh_expires_in: None,
            session_ends_in: None,
            last_refresh: None,
            next_refresh_in: None,
            failure: None,
        }
    }

    fn metrics() -> Metrics {
        Metrics {
            started: SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1_500_900),
            refreshes: Arc::default(),
        }
    }

    #[test]
    fn every_state_has_a_sample_and_one_is_1() {
        let text = render(&[status("shop")], &metrics());
        let states: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("tenure_session_state{"))
            .collect();
        assert_eq!(states.len(), STATES.len(), "{text}");
        assert_eq!(
            states
                .iter()
                .filter(|line| line.ends_with(" 1"))
                .collect::<Vec<_>>(),
            [&"tenure_session_state{session=\"shop\",state=\"degraded\"} 1"]
        );
        for line in [
            "tenure_session_generation{session=\"shop\"} 7",
            "tenure_session_access_expires_seconds{session=\"shop\"} -3",
            "tenure_session_unsaved{session=\"shop\"} 1",
            "process_start_time_seconds 1500",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }

    #[test]
    fn an_unknown_expiry_has_no_sample() {
        let mut status = status("shop");
        status.access_expires_in = None;
        let text = render(&[status], &metrics());
        assert!(
            !text.contains("tenure_session_access_expires_seconds{"),
            "{text}"
        );
    }

    #[test]
    fn only_refreshes_are_counted() {
        let metrics = metrics();
        for event in [
            "refreshed",
            "refreshed",
            "refresh_failed",
            "logged_in",
            "adopted",
        ] {
            metrics.count("shop", event);
        }
        let text = render(&[status("shop")], &metrics);
        for (outcome, count) in [
            ("refreshed", 2),
            ("failed", 1),
            ("ended", 0),
            ("unknown", 0),
        ] {
            let line =
                format!("tenure_refreshes_total{{session=\"shop\",outcome=\"{outcome}\"}} {count}");
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }

    #[test]
    fn label_values_are_escaped() {
        let text = render(&[status("a\"b\\c\nd")], &metrics());
        assert!(
            text.contains(r#"tenure_session_generation{session="a\"b\\c\nd"} 7"#),
            "{text}"
        );
    }
}
