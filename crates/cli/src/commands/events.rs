//! `tenure events`.

use tenure_store::{EventRow, Store, StoreError};

use crate::app::App;
use crate::args;
use crate::error::Outcome;
use crate::output::time;

/// How many events are read at once.
const PAGE: usize = 500;

/// Prints the latest events, and with `--follow` those to come.
pub async fn run(app: &App, args: &args::Events) -> Outcome {
    if let Some(name) = &args.session {
        app.spec(name)?;
    }
    let store = app.open_store().await?.store();
    let mut changes = store.changes();
    let mut last = 0;
    for event in latest(&*store, args.session.as_deref(), args.lines, &mut last).await? {
        print(app, &event)?;
    }
    if !args.follow {
        return Ok(());
    }
    loop {
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return Ok(()) },
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
        for event in store.events(last, args.session.as_deref(), PAGE).await? {
            last = event.id;
            print(app, &event)?;
        }
    }
}

/// The latest `count` events, oldest first; `last` becomes the id of the newest there is.
pub async fn latest(
    store: &dyn Store,
    session: Option<&str>,
    count: usize,
    last: &mut u64,
) -> Result<Vec<EventRow>, StoreError> {
    let mut kept = std::collections::VecDeque::new();
    loop {
        let page = store.events(*last, session, PAGE).await?;
        let Some(newest) = page.last() else {
            return Ok(kept.into());
        };
        *last = newest.id;
        kept.extend(page);
        while kept.len() > count {
            kept.pop_front();
        }
    }
}

fn print(app: &App, event: &EventRow) -> Outcome {
    if app.out.json {
        return app.out.json(event);
    }
    let paint = app.out.out;
    let kind = if event.failure.is_some() {
        paint.color(anstyle::AnsiColor::Yellow, &event.kind)
    } else {
        event.kind.clone()
    };
    let session = if event.session.is_empty() {
        "-"
    } else {
        &event.session
    };
    app.out.line(format_args!(
        "{}  {}  {kind}  {}",
        paint.dim(time::clock(event.at)),
        paint.bold(session),
        event.text
    ))
}
