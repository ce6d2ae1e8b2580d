//! `tenure status`.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Read, Write};
use std::time::Duration;

use rustix::termios::{self, LocalModes, OptionalActions, SpecialCodeIndex, Termios};
use serde::Deserialize;
use serde_json::json;
use tenure_core::session::State;
use tenure_keeper::{Keeper, Status};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::up::lock::{self, Running};
use crate::app::{App, http_client};
use crate::args;
use crate::config::Spec;
use crate::error::Outcome;
use crate::output::table::Table;
use crate::output::time::{relative, span};
use crate::output::{Paint, failure};

/// How often the live view is drawn without a change.
const REDRAW: Duration = Duration::from_secs(1);

/// How long a running `tenure up` has to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Largest answer that is read, in bytes.
const ANSWER_MAX: usize = 64 * 1024 * 1024;
/// What is said where none runs.
const NOBODY: &str =
    "no `tenure up` runs with this data: tokens are renewed only when a command needs one";

/// Shows the sessions, once or live.
pub async fn run(app: &App, args: &args::Status) -> Outcome {
    if let Some(name) = &args.session {
        app.spec(name)?;
    }
    let mut view = View {
        app,
        specs: app
            .specs()
            .iter()
            .filter(|spec| args.session.as_ref().is_none_or(|name| *name == spec.name))
            .collect(),
        http: http_client()?,
        keeper: None,
    };
    let done = if args.watch {
        watch(&mut view).await
    } else {
        match view.look().await {
            Ok(seen) => show(app, &seen),
            Err(error) => Err(error),
        }
    };
    if let Some(keeper) = view.keeper {
        keeper.shutdown().await;
    }
    done
}

/// Where the sessions are looked at: at the `tenure up` that keeps them, which knows more than the store; for what
/// it does not tell, in the store.
struct View<'a> {
    app: &'a App,
    specs: Vec<&'a Spec>,
    http: tenure_http::Client,
    /// Over the store, once that was needed.
    keeper: Option<Keeper>,
}

/// What there was to see at one moment.
struct Seen {
    statuses: Vec<Status>,
    running: Option<Running>,
    /// Sessions that the `tenure up` that runs does not know: configured after it started.
    unknown: Vec<String>,
    /// Why it did not answer.
    silent: Option<String>,
}

#[derive(Deserialize)]
struct Sessions {
    sessions: Vec<Status>,
}

impl View<'_> {
    async fn look(&mut self) -> Outcome<Seen> {
        let running = lock::running(&self.app.data.value);
        let (told, silent) = match running.as_ref().and_then(Running::admin) {
            None => (None, None),
            Some(admin) => match self.ask(admin).await {
                Ok(told) => (Some(told), None),
                Err(why) => (None, Some(why)),
            },
        };
        let asked = told.is_some();
        let mut told: BTreeMap<String, Status> = told
            .unwrap_or_default()
            .into_iter()
            .map(|status| (status.name.clone(), status))
            .collect();
        let (mut statuses, mut unknown) = (Vec::new(), Vec::new());
        for spec in self.specs.clone() {
            let status = if let Some(status) = told.remove(&spec.name) {
                status
            } else {
                if asked {
                    unknown.push(spec.name.clone());
                }
                self.stored(spec).await?
            };
            statuses.push(status);
        }
        Ok(Seen {
            statuses,
            running,
            unknown,
            silent,
        })
    }

    async fn ask(&self, admin: &str) -> Result<Vec<Status>, String> {
        let request = http::Request::get(format!("{admin}/api/v1/sessions"))
            .body(bytes::Bytes::new())
            .map_err(|error| error.to_string())?;
        let answer = self
            .http
            .send(request, ANSWER, ANSWER_MAX)
            .await
            .map_err(|fault| fault.detail)?;
        if !answer.status().is_success() {
            return Err(format!("it answered {}", answer.status()));
        }
        serde_json::from_slice::<Sessions>(answer.body())
            .map(|answer| answer.sessions)
            .map_err(|error| format!("its answer cannot be read: {error}"))
    }

    /// What the store says. Looking makes nothing: where no store is, nobody has logged in.
    async fn stored(&mut self, spec: &Spec) -> Outcome<Status> {
        if self.keeper.is_none() {
            if self.app.store_file().is_some_and(|path| !path.exists()) {
                return Ok(Status::empty(&spec.config));
            }
            // Nothing is asked of a server here, so no secret of the configuration is needed.
            let configs = self.specs.iter().map(|spec| spec.config.clone()).collect();
            self.keeper = Some(self.app.open_keeper(configs, false).await?);
        }
        Ok(self
            .keeper
            .as_ref()
            .and_then(|keeper| keeper.session(&spec.name))
            .map_or_else(|| Status::empty(&spec.config), |session| session.status()))
    }
}

fn show(app: &App, seen: &Seen) -> Outcome {
    if app.out.json {
        return app.out.json(&json(seen));
    }
    for line in text(app, seen) {
        app.out.line(line)?;
    }
    Ok(())
}

/// `up` is null where none runs.
fn json(seen: &Seen) -> serde_json::Value {
    json!({ "sessions": seen.statuses, "up": seen.running })
}

fn text(app: &App, seen: &Seen) -> Vec<String> {
    if seen.statuses.is_empty() {
        return vec![format!(
            "no sessions in {}; add one with `tenure init URL`",
            app.source()
        )];
    }
    let paint = app.out.out;
    let pages = seen.running.as_ref().and_then(Running::admin);
    let mut lines = lines(&seen.statuses, paint, pages);
    lines.push(String::new());
    lines.push(match &seen.running {
        None => paint.dim(NOBODY),
        Some(running) => paint.dim(format_args!("kept by tenure up: {running}")),
    });
    if let Some(why) = &seen.silent {
        lines.push(format!(
            "it did not answer ({why}); shown is what the store says"
        ));
    }
    for name in &seen.unknown {
        lines.push(format!(
            "{} is not known to it: the configuration changed since it started; stop it and start it again",
            paint.bold(name)
        ));
    }
    lines
}

/// Columns that a narrow terminal does without, first to go first: provider, end of the session, last refresh, next
/// refresh, generation.
const LEAST: [usize; 5] = [7, 6, 5, 4, 2];

/// Characters in a line of the terminal; `None` elsewhere.
fn room() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let size = termios::tcgetwinsize(io::stdout()).ok()?;
    // Terminals that do not know say 0.
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// The table, and below it what is wrong and what to type.
fn lines(statuses: &[Status], paint: Paint, pages: Option<&str>) -> Vec<String> {
    let mut table = Table::new(
        &[
            "SESSION",
            "STATE",
            "GEN",
            "ACCESS TOKEN",
            "NEXT REFRESH",
            "LAST REFRESH",
            "SESSION ENDS",
            "PROVIDER",
        ],
        paint,
    );
    for status in statuses {
        table.row(row(status, paint));
    }
    if let Some(room) = room() {
        table.fit(room, &LEAST);
    }
    let mut lines = table.lines();
    for status in statuses {
        if let Some(failure) = &status.failure {
            lines.push(String::new());
            lines.push(format!(
                "{} {}: {}",
                paint.bold(&status.name),
                failure::short(failure),
                failure.detail
            ));
            if let Some(command) = &failure.command {
                lines.push(format!("  {} run `{command}`", paint.dim("fix:")));
            }
            lines.push(format!("  {}", failure::page(failure, paint, pages)));
        }
    }
    lines.extend(empty(statuses, paint));
    lines
}

/// What to type where nobody has logged in yet.
fn empty(statuses: &[Status], paint: Paint) -> Vec<String> {
    let waits = |status: &&Status| status.state == State::Empty && status.failure.is_none();
    let mut lines: Vec<String> = statuses
        .iter()
        .filter(waits)
        .map(|status| {
            format!(
                "{}: nobody is logged in; log in with `tenure login {}`",
                paint.bold(&status.name),
                status.name
            )
        })
        .collect();
    if !lines.is_empty() {
        lines.insert(0, String::new());
    }
    lines
}

fn row(status: &Status, paint: Paint) -> Vec<String> {
    let none = || "-".to_owned();
    let state = paint.state(status.state) + if status.unsaved { " unsaved" } else { "" };
    let access = match status.access_expires_in {
        Some(left) if left > 0 => format!("ends in {}", span(left.unsigned_abs())),
        Some(left) => format!("ended {}", relative(left)),
        None if status.is_unused() => "not fetched yet".to_owned(),
        None => none(),
    };
    vec![
        status.name.clone(),
        state,
        status.generation.to_string(),
        access,
        status.next_refresh_in.map_or_else(none, relative),
        status.last_refresh.map_or_else(none, |ago| relative(-ago)),
        status.session_ends_in.map_or_else(none, relative),
        status.provider.clone(),
    ]
}

/// Draws every second and at every change, until q, Ctrl-C or the end of stdin.
async fn watch(view: &mut View<'_>) -> Outcome {
    // Caught before the terminal is changed, so that it is put back whoever ends this, and whenever.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let keys = RawKeys::start();
    let (quit_tx, mut quit) = mpsc::channel(1);
    if keys.is_some() {
        std::thread::spawn(move || wait_for_q(&quit_tx));
    }
    let mut ticks = tokio::time::interval(REDRAW);
    loop {
        draw(view.app, &view.look().await?)?;
        let mut changes = view.keeper.as_ref().map(|keeper| keeper.store().changes());
        tokio::select! {
            _ = ticks.tick() => {}
            Some(()) = changed(&mut changes) => {}
            Some(()) = quit.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
        }
    }
}

/// The next change of the store, where one is open.
async fn changed(changes: &mut Option<tokio::sync::watch::Receiver<u64>>) -> Option<()> {
    changes.as_mut()?.changed().await.ok()
}

/// A fresh screen on a terminal; elsewhere one table or JSON line after the other.
fn draw(app: &App, seen: &Seen) -> Outcome {
    let out = app.out;
    if out.json {
        return out.json(&json(seen));
    }
    let mut text = text(app, seen).join("\n");
    if io::stdout().is_terminal() {
        // Home, then each line cleared to its end, then everything below: no flicker.
        text = format!(
            "\u{1b}[H{}\u{1b}[K\n\n{}\u{1b}[K\u{1b}[J",
            text.replace('\n', "\u{1b}[K\n"),
            out.out.dim("q or Ctrl-C ends this")
        );
    }
    out.line(text)
}

/// Sends once q was pressed. Ends with the process otherwise.
fn wait_for_q(quit: &mpsc::Sender<()>) {
    let mut key = [0];
    while let Ok(1) = io::stdin().lock().read(&mut key) {
        if key[0] == b'q' {
            // Nobody may be waiting any more.
            let _ended = quit.blocking_send(());
            return;
        }
    }
}

/// A terminal that gives keys without a line end and does not echo them; put back when dropped.
struct RawKeys(Termios);

impl RawKeys {
    fn start() -> Option<Self> {
        let stdin = io::stdin();
        if !stdin.is_terminal() || !io::stdout().is_terminal() {
            return None;
        }
        let before = termios::tcgetattr(&stdin).ok()?;
        let mut raw = before.clone();
        raw.local_modes
            .remove(LocalModes::ICANON | LocalModes::ECHO);
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        termios::tcsetattr(&stdin, OptionalActions::Now, &raw).ok()?;
        // An own screen, so that what was there comes back.
        let _ = io::stdout().write_all(b"\x1b[?1049h\x1b[2J");
        Some(Self(before))
    }
}

impl Drop for RawKeys {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
        let _ = io::stdout().write_all(b"\x1b[?1049l");
        let _ = io::stdout().flush();
    }
}
