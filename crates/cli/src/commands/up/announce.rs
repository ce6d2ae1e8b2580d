//! What `up` tells on its terminal.

use tenure_core::session::State;
use tenure_core::{Failure, Heal};
use tenure_keeper::{Session, Status};
use tenure_store::EventRow;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::{Up, bare, ready_json};
use crate::app::{App, Setup};
use crate::builtin::{SESSION, USER};
use crate::error::Outcome;
use crate::output::time;
use crate::output::{Output, Paint};

/// Addresses, sessions, and what to try.
pub fn ready(app: &App, up: &Up) -> Outcome {
    if app.out.json {
        return app.out.json(&ready_json(up));
    }
    let (out, paint) = (&app.out, app.out.out);
    match &app.setup {
        Setup::File(config) => out.line(format_args!("configuration {}", config.path.display()))?,
        Setup::BuiltIn(_) => out.line("no configuration found: running the built-in example (`tenure init URL` writes a configuration)")?,
    }
    out.line(format_args!("data          {}", app.data.value.display()))?;
    out.line("")?;
    out.line(format_args!(
        "gateway       {}",
        paint.bold(bare(&up.urls.gateway))
    ))?;
    out.line(format_args!(
        "status page   {}",
        paint.bold(bare(&up.urls.admin))
    ))?;
    if let Some(issuer) = &up.urls.issuer {
        out.line(format_args!("issuer        {}", paint.bold(bare(issuer))))?;
    }
    if let Some(password) = up
        .example
        .as_ref()
        .and_then(|example| example.password.as_ref())
    {
        out.line("")?;
        out.line(format_args!(
            "login         user {USER}, password {} (shown this once)",
            password.expose()
        ))?;
    } else if up.example.is_some() {
        out.line("")?;
        out.line(format_args!(
            "login         user {USER}; the password was shown at the first start (`tenure issuer users password {USER}` sets another)"
        ))?;
    }
    out.line("")?;
    let statuses: Vec<_> = up.keeper.sessions().iter().map(Session::status).collect();
    for line in rows(&statuses, paint) {
        out.line(line)?;
    }
    if up.keeper.sessions().is_empty() {
        out.line("no sessions yet: add one with `tenure init URL`")?;
    }
    if let Setup::BuiltIn(_) = &app.setup {
        out.line("")?;
        out.line(format_args!(
            "try           curl {}{SESSION}/orders",
            up.urls.gateway
        ))?;
    }
    Ok(())
}

/// A line for each session, aligned.
fn rows(statuses: &[Status], paint: Paint) -> Vec<String> {
    let width = |text: fn(&Status) -> &str| statuses.iter().map(|s| text(s).len()).max();
    let (name, state) = (
        width(|status| &status.name).unwrap_or(0),
        width(|status| status.state.as_str()).unwrap_or(0),
    );
    let gap = |wide: usize, text: &str| " ".repeat(wide - text.len() + 2);
    let row = |status: &Status| {
        let line = format!(
            "session       {}{}{}{}{}",
            paint.bold(&status.name),
            gap(name, &status.name),
            paint.state(status.state),
            gap(state, status.state.as_str()),
            detail(status)
        );
        line.trim_end().to_owned()
    };
    statuses.iter().map(row).collect()
}

/// What there is to say about a session at the start.
fn detail(status: &Status) -> String {
    match (&status.failure, status.access_expires_in) {
        // The store remembers it of the last attempt; whether it still is so, the next one shows.
        (Some(failure), _) if is_tried_again(status.state, failure) => format!(
            "at the last attempt: {} {}; it is tried again by itself",
            failure.code,
            failure.detail.trim_end_matches('.')
        ),
        (Some(failure), _) => format!("{} {}", failure.code, failure.detail),
        (None, Some(left)) if left > 0 => {
            format!("access token ends in {}", time::span(left.unsigned_abs()))
        }
        (None, _) if status.state == State::Empty => {
            format!("log in with `tenure login {}`", status.name)
        }
        (None, _) if status.is_unused() => "no token fetched yet".to_owned(),
        (None, _) => String::new(),
    }
}

/// Whether the keeper goes on trying in this state.
fn is_tried_again(state: State, failure: &Failure) -> bool {
    let passing = matches!(failure.heal, Heal::Refresh | Heal::RetryLater);
    passing
        && match state {
            State::Fresh | State::Due | State::Degraded | State::Expired => true,
            State::Empty | State::NeedsLogin | State::NeedsOperator => false,
        }
}

/// Tells what goes wrong, and when it is well again. Plain refreshes are not worth a line. Ends once it is told to
/// and everything that happened before is told.
pub async fn events(
    out: Output,
    mut events: broadcast::Receiver<EventRow>,
    ended: CancellationToken,
) {
    let mut troubled = std::collections::BTreeSet::new();
    loop {
        let event = tokio::select! {
            biased;
            event = events.recv() => event,
            () = ended.cancelled() => return,
        };
        let event = match event {
            Ok(event) => event,
            // The store has the ones that were missed.
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return,
        };
        let well = matches!(event.kind.as_str(), "refreshed" | "adopted" | "saved_late")
            && troubled.remove(&event.session);
        let trouble = event.failure.is_some();
        if trouble {
            troubled.insert(event.session.clone());
        }
        if tracing::enabled!(target: tenure_keeper::EVENT_LOG, tracing::Level::INFO) {
            // The log tells it already.
            continue;
        }
        if well
            || trouble
            || matches!(
                event.kind.as_str(),
                "ending" | "logged_out" | "unknown_outcome"
            )
        {
            out.note(told(&event));
        }
    }
}

/// The line for one event; the code once, where the text does not name it already.
fn told(event: &EventRow) -> String {
    let code = event
        .failure
        .as_ref()
        .map(|failure| format!("{} ", failure.code))
        .filter(|code| !event.text.contains(code.trim_end()))
        .unwrap_or_default();
    format!(
        "{}  {}: {code}{}",
        time::clock(event.at),
        event.session,
        event.text
    )
}

#[cfg(test)]
mod tests {
    use tenure_core::{Class, Code, Wall, Who};

    use super::*;

    #[test]
    fn a_code_is_told_once() {
        let event = |text: &str| EventRow {
            id: 1,
            at: Wall(0),
            session: "shop".to_owned(),
            generation: tenure_core::Generation(1),
            holder: String::new(),
            kind: "failed".to_owned(),
            text: text.to_owned(),
            failure: Some(Failure::new(
                Code::RefreshFailed,
                Class::RefreshFailed,
                "server_error",
                Heal::RetryLater,
                Who::Operator,
                "it answered 500",
            )),
        };
        for text in ["the refresh failed", "API02007: the refresh failed"] {
            let line = told(&event(text));
            assert_eq!(line.matches("API02007").count(), 1, "{line}");
        }
    }
}
