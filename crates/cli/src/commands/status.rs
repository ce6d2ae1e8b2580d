//! `tenure status`.

use std::io::{self, IsTerminal, Read, Write};
use std::time::Duration;

use rustix::termios::{self, LocalModes, OptionalActions, SpecialCodeIndex, Termios};
use serde_json::json;
use tenure_keeper::{Keeper, Status};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::up::lock;
use crate::app::App;
use crate::args;
use crate::error::Outcome;
use crate::output::table::Table;
use crate::output::time::{relative, span};
use crate::output::{Paint, failure};

/// How often the live view is drawn without a change.
const REDRAW: Duration = Duration::from_secs(1);

/// Shows the sessions, once or live.
pub async fn run(app: &App, args: &args::Status) -> Outcome {
    if let Some(name) = &args.session {
        app.spec(name)?;
    }
    // Nothing is asked of a server here, so no secret of the configuration is needed.
    let sessions = app
        .specs()
        .iter()
        .filter(|spec| args.session.as_ref().is_none_or(|name| *name == spec.name));
    let keeper = app
        .open_keeper(sessions.map(|spec| spec.config.clone()).collect(), false)
        .await?;
    let done = if args.watch {
        watch(app, &keeper).await
    } else {
        show(app, &keeper)
    };
    keeper.shutdown().await;
    done
}

fn statuses(keeper: &Keeper) -> Vec<Status> {
    keeper
        .sessions()
        .iter()
        .map(tenure_keeper::Session::status)
        .collect()
}

fn show(app: &App, keeper: &Keeper) -> Outcome {
    let statuses = statuses(keeper);
    if app.out.json {
        return app.out.json(&json!({ "sessions": statuses }));
    }
    if statuses.is_empty() {
        return app.out.line(format_args!(
            "no sessions in {}; add one with `tenure init URL`",
            app.source()
        ));
    }
    let pages = lock::running_admin(&app.data.value);
    for line in lines(&statuses, app.out.out, pages.as_deref()) {
        app.out.line(line)?;
    }
    Ok(())
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
    lines
}

fn row(status: &Status, paint: Paint) -> Vec<String> {
    let none = || "-".to_owned();
    let state = paint.state(status.state) + if status.unsaved { " unsaved" } else { "" };
    let access = match status.access_expires_in {
        Some(left) if left > 0 => format!("ends in {}", span(left.unsigned_abs())),
        Some(left) => format!("ended {}", relative(left)),
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
async fn watch(app: &App, keeper: &Keeper) -> Outcome {
    let mut changes = keeper.store().changes();
    let keys = RawKeys::start();
    let (quit_tx, mut quit) = mpsc::channel(1);
    if keys.is_some() {
        std::thread::spawn(move || wait_for_q(&quit_tx));
    }
    let mut ticks = tokio::time::interval(REDRAW);
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    // The terminal is put back whoever ends this.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        draw(app, keeper)?;
        tokio::select! {
            _ = ticks.tick() => {}
            Ok(()) = changes.changed() => {}
            Some(()) = quit.recv() => return Ok(()),
            _ = &mut interrupt => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
        }
    }
}

/// A fresh screen on a terminal; elsewhere one table or JSON line after the other.
fn draw(app: &App, keeper: &Keeper) -> Outcome {
    let out = app.out;
    let statuses = statuses(keeper);
    if out.json {
        return out.json(&json!({ "sessions": statuses }));
    }
    let pages = lock::running_admin(&app.data.value);
    let mut text = lines(&statuses, out.out, pages.as_deref()).join("\n");
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
