//! `tenure store check|rekey|export|import`.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::json;
use tenure_core::Secret;
use tenure_store::check::CheckReport;
use tenure_store::export::ImportReport;
use tenure_store::keys::Surroundings;
use tenure_store::{StoreError, Suspect};

use super::input;
use crate::app::{App, OpenStore};
use crate::args;
use crate::error::{CommandError, Exit, Outcome, Problem};
use crate::output::spinner;
use crate::output::table::Table;

/// The shortest passphrase for an export, in characters.
const PASSPHRASE_MIN: usize = 12;

/// Runs one of the four.
pub async fn run(app: &App, command: &args::Store) -> Outcome {
    match command {
        args::Store::Check => check(app).await,
        args::Store::Rekey => rekey(app).await,
        args::Store::Export(args) => export(app, args).await,
        args::Store::Import(args) => import(app, args).await,
    }
}

async fn check(app: &App) -> Outcome {
    if let Some(path) = app.store_file().filter(|path| !path.exists()) {
        let problem = Problem::new("there is no store yet")
            .at(path.display())
            .fix("`tenure up` or `tenure login SESSION` makes it");
        return Err(CommandError::new(Exit::NeedsOperator, problem));
    }
    let report = looked_over(app).await??;
    if app.out.json {
        app.out.json(&report)?;
    } else {
        print_report(app, &report)?;
    }
    if report.ok {
        return Ok(());
    }
    // The findings have been shown; the exit code is what is left to say.
    Err(CommandError {
        silent: true,
        ..CommandError::new(Exit::NeedsOperator, Problem::new("the store has problems"))
    })
}

/// Looks the store over. A file is only read; a database is opened as ever, for nobody but its key opens it.
pub(super) async fn looked_over(app: &App) -> Outcome<Result<CheckReport, StoreError>> {
    let Some(path) = app.store_file() else {
        let OpenStore::Shared(store) = app.open_store().await? else {
            return Err(CommandError::failed(
                "the store is neither in a file nor in a database",
            ));
        };
        return Ok(store.check().await);
    };
    let (path, key) = (path.to_owned(), app.store_key().clone());
    blocking(move || tenure_store::check::check(&path, &key, &Surroundings::from_env())).await
}

fn print_report(app: &App, report: &CheckReport) -> Outcome {
    let paint = app.out.out;
    app.out.line(format_args!(
        "store    {} (schema {})",
        report.path.display(),
        report.schema_version
    ))?;
    let key = match (&report.key.source, &report.key.error) {
        (_, Some(error)) => paint.color(anstyle::AnsiColor::Red, error),
        (Some(source), None) => {
            format!("{} from {source}", report.key.id.as_deref().unwrap_or("-"))
        }
        (None, None) => "none yet".to_owned(),
    };
    app.out.line(format_args!("key      {key}"))?;
    app.out.line(format_args!("events   {}", report.events))?;
    if !report.sessions.is_empty() {
        let mut table = Table::new(&["SESSION", "GEN", "TOKENS", "NOTES"], paint);
        for session in &report.sessions {
            let tokens = match (&session.unreadable, session.not_opened) {
                (Some(_), _) => "unreadable".to_owned(),
                (None, _) if !session.has_pair => "none".to_owned(),
                (None, Some(why)) => format!("not opened ({why})"),
                (None, None) => "readable".to_owned(),
            };
            table.row(vec![
                session.name.clone(),
                session.generation.to_string(),
                tokens,
                notes(session),
            ]);
        }
        for line in table.lines() {
            app.out.line(line)?;
        }
    }
    for problem in &report.problems {
        app.out.line(format_args!(
            "{} {}",
            paint.color(anstyle::AnsiColor::Red, "problem:"),
            problem.message
        ))?;
        if let Some(fix) = &problem.fix {
            app.out
                .line(format_args!("  {} {fix}", paint.dim("fix:")))?;
        }
    }
    app.out.line(if report.ok {
        paint.color(anstyle::AnsiColor::Green, "sound")
    } else {
        paint.color(anstyle::AnsiColor::Red, "not sound")
    })
}

fn notes(session: &tenure_store::check::SessionCheck) -> String {
    let mut notes = Vec::new();
    if let Some(lease) = &session.lease {
        notes.push(format!(
            "refreshing now ({}{})",
            lease.holder,
            if lease.alive { "" } else { ", dead" }
        ));
    }
    if session.intent {
        notes.push("a refresh of unknown outcome".to_owned());
    }
    if session.latched {
        notes.push("refused for good".to_owned());
    }
    let suspect = session.suspect.map(|why| match why {
        Suspect::Restored => "the store was restored: a newer token may have existed",
        Suspect::Imported => "imported: a newer token may exist where it came from",
    });
    notes.extend(suspect.map(str::to_owned));
    notes.extend(session.unreadable.clone());
    notes.join("; ")
}

async fn rekey(app: &App) -> Outcome {
    let Some(path) = app.store_file() else {
        let problem = Problem::new("a store on a server cannot be sealed anew by this version")
            .fix("export the sessions, empty the tables keeper_* (Valkey: the keys {tenure}:*), put the new key in place, and import them again");
        return Err(CommandError::new(Exit::NeedsOperator, problem));
    };
    let (options, target) = (app.store_options(path)?, app.store_key().clone());
    let report = spinner::during(
        "sealing everything anew",
        blocking(move || tenure_store::rekey::rekey(options, &target)),
    )
    .await??;
    if app.out.json {
        return app.out.json(&report);
    }
    app.out.line(format_args!(
        "{} sealed with key {} in {}; it replaces key {}",
        sessions(report.resealed.len()),
        report.new_key,
        report.source,
        report.old_key
    ))?;
    for (name, why) in &report.left {
        app.out.warn(format_args!(
            "{name} could not be opened and was left as it is: {why}"
        ));
    }
    Ok(())
}

async fn export(app: &App, args: &args::Export) -> Outcome {
    if args.file.exists() {
        // Before anybody is asked for a passphrase.
        return Err(unwritten(
            &args.file,
            &std::io::ErrorKind::AlreadyExists.into(),
        ));
    }
    let passphrase = passphrase(args.passphrase_file.as_deref(), true)?;
    long_enough(&passphrase)?;
    let store = app.open_store().await?;
    let export = spinner::during("sealing the export", store.export(&passphrase)).await?;
    write_new(&args.file, &export.bytes)?;
    if app.out.json {
        return app.out.json(
            &json!({ "file": args.file, "sessions": export.sessions, "left_out": export.left_out }),
        );
    }
    app.out.line(format_args!(
        "{} written to {}",
        sessions(export.sessions.len()),
        args.file.display()
    ))?;
    for (name, why) in &export.left_out {
        app.out.warn(format_args!(
            "{name} cannot be opened and is not in it: {why}"
        ));
    }
    Ok(())
}

async fn import(app: &App, args: &args::Import) -> Outcome {
    let bytes = input::file(&args.file)?;
    let passphrase = passphrase(args.passphrase_file.as_deref(), false)?;
    let store = app.open_store().await?;
    let report = spinner::during(
        "opening the export",
        store.import(&bytes, &passphrase, args.replace),
    )
    .await
    .map_err(|error| placed(error.into(), &args.file))?;
    if app.out.json {
        return app.out.json(&report);
    }
    if report == ImportReport::default() {
        app.out.line("the export holds no session")?;
    }
    for (names, what) in [
        (&report.imported, "imported"),
        (&report.replaced, "replaced"),
        (
            &report.skipped,
            "left as it was here (--replace takes the export's)",
        ),
    ] {
        for name in names {
            app.out.line(format_args!("{name}: {what}"))?;
        }
    }
    Ok(())
}

fn sessions(count: usize) -> String {
    match count {
        1 => "1 session".to_owned(),
        count => format!("{count} sessions"),
    }
}

/// Which file it is that cannot be taken in.
fn placed(mut error: CommandError, file: &Path) -> CommandError {
    if error.exit == Exit::Usage
        && let Some(problem) = error.problems.first_mut()
    {
        problem.place = Some(file.display().to_string());
    }
    error
}

/// An export leaves the machine: whoever has the file may try passphrases as long as he likes.
fn long_enough(passphrase: &Secret) -> Outcome {
    let length = passphrase.expose().chars().count();
    if length >= PASSPHRASE_MIN {
        return Ok(());
    }
    Err(CommandError::usage(
        format!(
            "the passphrase has {length} characters, and an export needs at least {PASSPHRASE_MIN}"
        ),
        "take a longer one, for example four words that nobody would guess together",
    ))
}

/// From the file, or from a prompt (twice, when it will be needed again), or from stdin.
fn passphrase(file: Option<&Path>, twice: bool) -> Outcome<Secret> {
    if let Some(path) = file {
        let text = Secret::new(input::text(path)?);
        let first = text.expose().lines().next().unwrap_or_default();
        if first.is_empty() {
            return Err(CommandError::new(
                Exit::Usage,
                Problem::new("the first line is empty")
                    .at(path.display())
                    .fix("put the passphrase there"),
            ));
        }
        return Ok(Secret::new(first));
    }
    let once = input::secret("Passphrase")?;
    if twice
        && std::io::IsTerminal::is_terminal(&std::io::stdin())
        && input::secret("The same again")? != once
    {
        return Err(CommandError::usage(
            "the two passphrases differ",
            "type the same one twice",
        ));
    }
    Ok(once)
}

/// Writes a file for this user alone; one that is there already is not touched.
fn write_new(path: &Path, bytes: &[u8]) -> Outcome {
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(|error| {
        if error.kind() != std::io::ErrorKind::AlreadyExists {
            // Half an export is none, and what was never made cannot be removed.
            let _none = std::fs::remove_file(path);
        }
        unwritten(path, &error)
    })
}

/// A wrong file name is a wrong argument; a disk or a directory that takes no file is the operator's.
fn unwritten(path: &Path, error: &std::io::Error) -> CommandError {
    let (exit, what, fix) = match error.kind() {
        std::io::ErrorKind::AlreadyExists => (
            Exit::Usage,
            "there is such a file already, and an export never overwrites one".to_owned(),
            "name a file that does not exist yet, or remove this one first",
        ),
        std::io::ErrorKind::NotFound => (
            Exit::Usage,
            "cannot write: its directory does not exist".to_owned(),
            "make the directory first, or name a file in another",
        ),
        _ => (
            Exit::NeedsOperator,
            format!("cannot write: {error}"),
            "name a file this user can write",
        ),
    };
    CommandError::new(exit, Problem::new(what).at(path.display()).fix(fix))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Outcome<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| CommandError::failed(error.to_string()))
}
