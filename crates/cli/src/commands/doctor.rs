//! `tenure doctor`.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anstyle::AnsiColor;
use serde_json::{Value, json};
use tenure_diagnose::doctor::{Check, CheckId, Outcome as Found, Verdict, verdict};
use tenure_keeper::SessionConfig;
use tenure_keeper::doctor::{self, Options, Patient};
use tenure_store::check::CheckReport;
use tenure_store::{Pace, Record, StoreError};
use tenure_wire::mask;
use url::Url;

use super::up::lock;
use crate::app::{App, http_client};
use crate::args::{self, Global};
use crate::config::{Spec, discover};
use crate::error::{CommandError, Exit, Outcome, Problem, exit_of};
use crate::output::{Output, Paint, failure};

/// Who is asked for the time where nobody is named.
const THIRD_CLOCK: &str = "pool.ntp.org";
/// Variables by which other programs are sent through a proxy.
const PROXIES: [&str; 3] = ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"];

/// Finds out what is wrong with a session or at an address.
pub async fn run(global: &Global, args: &args::Doctor, out: Output) -> Outcome {
    check_path(args.path.as_deref())?;
    let report = args.report.as_deref().map(open_report).transpose()?;
    let examined = match examine(global, args, out).await {
        Ok(examined) => examined,
        Err(error) => {
            if let Some(path) = &args.report {
                // Nothing was found out: an empty report would only be in the way of the next.
                let _in_the_way = std::fs::remove_file(path);
            }
            return Err(error);
        }
    };
    if let (Some(file), Some(path)) = (report, &args.report) {
        write_report(file, path, &examined, args.path.as_deref())?;
    }
    show(global, &examined, out)
}

async fn examine(global: &Global, args: &args::Doctor, out: Output) -> Outcome<Examined> {
    if let Some(url) = address(args) {
        return examine_address(&url?, args, out).await;
    }
    let app = App::load(global, out)?;
    match target(&app, args)? {
        Target::Session(spec) => examine_session(&app, spec, args).await,
        Target::Address(url) => examine_address(&url, args, out).await,
    }
}

/// What was examined, and what was found.
struct Examined {
    /// The session's name, or the address.
    whom: String,
    /// The session as configured, without anything secret.
    config: Value,
    checks: Vec<Check>,
    verdict: Verdict,
}

impl Examined {
    fn new(whom: String, config: Value, checks: Vec<Check>) -> Self {
        Self {
            whom,
            config,
            verdict: verdict(&checks),
            checks,
        }
    }

    fn exit(&self) -> Option<Exit> {
        self.verdict.failure.as_ref().map(exit_of)
    }

    fn json(&self) -> Value {
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "target": self.whom,
            "checks": self.checks,
            "verdict": self.verdict.failure,
            "says": self.verdict.says,
            "also": self.verdict.also,
            "fixes": self.verdict.fixes,
            "exit_code": self.exit().map_or(0, |exit| exit as u8),
        })
    }
}

/// The path stays below the upstream, as at the gateway.
fn check_path(path: Option<&str>) -> Outcome {
    let text = path.unwrap_or_default().to_ascii_lowercase();
    if text.contains("://") || text.contains("..") || text.contains("%2e") {
        return Err(CommandError::usage(
            "--path is no path below the session's upstream",
            "write what comes after the upstream's address, as /orders?page=2",
        ));
    }
    Ok(())
}

enum Target<'a> {
    Session(&'a Spec),
    Address(Url),
}

/// An address that cannot be a session's name needs no configuration.
fn address(args: &args::Doctor) -> Option<Outcome<Url>> {
    let text = args.target.as_deref()?;
    text.contains("://").then(|| parse(text))
}

fn parse(text: &str) -> Outcome<Url> {
    args::address(text).map_err(|wrong| CommandError::usage(wrong.what, wrong.fix))
}

fn target<'a>(app: &'a App, args: &args::Doctor) -> Outcome<Target<'a>> {
    let Some(text) = args.target.as_deref() else {
        return match app.specs() {
            [only] => Ok(Target::Session(only)),
            [] => Err(CommandError::usage(
                format!("{} has no session to examine", app.source()),
                "name an address, as `tenure doctor https://shop.example`",
            )),
            several => {
                let names: Vec<_> = several.iter().map(|spec| spec.name.as_str()).collect();
                Err(CommandError::usage(
                    "there are several sessions",
                    format!("name one: {}", names.join(", ")),
                ))
            }
        };
    };
    let known = app.specs().iter().any(|spec| spec.name == text);
    if !known && text.contains(['.', ':']) {
        return parse(text).map(Target::Address);
    }
    app.spec(text).map(Target::Session)
}

fn options<'a>(http: &'a tenure_http::Client, args: &args::Doctor) -> Options<'a> {
    let set = |name: &&str| {
        [(*name).to_owned(), name.to_lowercase()]
            .iter()
            .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
    };
    Options {
        http,
        sntp: args
            .sntp
            .clone()
            .map(|host| host.unwrap_or_else(|| THIRD_CLOCK.to_owned())),
        path: args.path.clone(),
        proxies: PROXIES
            .iter()
            .filter(|name| set(name))
            .map(|name| (*name).to_owned())
            .collect(),
    }
}

async fn examine_address(url: &Url, args: &args::Doctor, out: Output) -> Outcome<Examined> {
    if args.allow_refresh {
        return Err(CommandError::usage(
            "--allow-refresh needs a session",
            "leave it out, or name a session",
        ));
    }
    let http = http_client()?;
    let mut tell = |check: &Check| tell(out, check);
    let checks = doctor::address(url, &options(&http, args), &mut tell).await;
    Ok(Examined::new(url.to_string(), Value::Null, checks))
}

async fn examine_session(app: &App, spec: &Spec, args: &args::Doctor) -> Outcome<Examined> {
    let config = spec.build_or_block();
    let http = http_client()?;
    let renewal = renewal(app, &config, args).await?;
    let home = Home::look(app, &config).await?;
    let running = lock::running_admin(&app.data.value);
    let patient = Patient {
        config: &config,
        store: home.check.as_ref(),
        opened: home.opened,
        record: home.record.as_ref(),
        pace: home.pace.as_ref(),
        keep_cookies: spec.route.keep_cookies,
        running: running.as_deref(),
        renewal: Some(renewal),
    };
    let mut tell = |check: &Check| tell(app.out, check);
    let found = doctor::session(patient, &options(&http, args), &mut tell).await;
    Ok(Examined::new(
        spec.name.clone(),
        without_secrets(&config, found.token_endpoint.as_ref()),
        found.checks,
    ))
}

/// What there is of a session at home.
struct Home {
    check: Option<Result<CheckReport, StoreError>>,
    opened: bool,
    record: Option<Record>,
    pace: Option<Pace>,
}

impl Home {
    /// Looks the store over first: one whose key does not fit is not opened, and none is made.
    async fn look(app: &App, config: &SessionConfig) -> Outcome<Self> {
        let mut home = Self {
            check: None,
            opened: false,
            record: None,
            pace: None,
        };
        if app.store_file().is_some_and(|path| !path.exists()) {
            return Ok(home);
        }
        let looked = super::store::looked_over(app).await?;
        let sound = looked
            .as_ref()
            .is_ok_and(|report| report.key.error.is_none());
        home.check = Some(looked);
        // What keeps it from being opened is in the check already.
        if sound && let Ok(store) = app.open_store().await {
            let store = store.store();
            home.record = store.load(&config.name).await.ok().flatten();
            let endpoint = &config.endpoints.known().token_endpoint;
            home.pace = store.pace(endpoint.as_str()).await.ok().flatten();
            home.opened = true;
        }
        Ok(home)
    }
}

/// One refresh, under the lease and with an intent like any other, if it was asked for.
async fn renewal(app: &App, config: &SessionConfig, args: &args::Doctor) -> Outcome<Check> {
    if !args.allow_refresh {
        return Ok(Check::skipped(
            CheckId::Renewal,
            "not asked for (--allow-refresh)",
        ));
    }
    // The check of the store says why it cannot be opened.
    let Ok(keeper) = app.open_keeper(vec![config.clone()], false).await else {
        return Ok(Check::skipped(
            CheckId::Renewal,
            "the store cannot be opened",
        ));
    };
    let check = match keeper.session(&config.name) {
        None => Check::skipped(CheckId::Renewal, "the session is not kept"),
        Some(session) => match session.refresh().await {
            Ok(token) => Check::ok(
                CheckId::Renewal,
                format!("renewed: generation {}", token.generation),
            ),
            Err(failure) => Check::fail(CheckId::Renewal, failure),
        },
    };
    keeper.shutdown().await;
    Ok(check)
}

/// A check as it ends.
fn tell(out: Output, check: &Check) {
    if out.json {
        return;
    }
    // Whoever read along may be gone; the examination goes on for its report.
    let _reader_gone = out.line(line(check, out.out));
}

fn line(check: &Check, paint: Paint) -> String {
    let (word, color) = match check.outcome {
        Found::Ok => ("ok  ", AnsiColor::Green),
        Found::Warn => ("warn", AnsiColor::Yellow),
        Found::Fail => ("FAIL", AnsiColor::Red),
        Found::Skipped => ("-   ", AnsiColor::BrightBlack),
    };
    let took = format!("{:>6} ms", check.took_ms);
    let says = match (&check.at, check.outcome) {
        (Some(at), _) => format!("{} {}", check.says, paint.dim(format_args!("[{at}]"))),
        (None, _) => check.says.clone(),
    };
    let says = match check.outcome {
        Found::Skipped => paint.dim(says),
        _ => says,
    };
    format!(
        "{}  {:<26}{}  {says}",
        paint.color(color, word),
        check.title,
        paint.dim(took)
    )
}

fn show(global: &Global, examined: &Examined, out: Output) -> Outcome {
    if out.json {
        out.json(&examined.json())?;
    } else {
        let pages = discover::data_dir(global)
            .ok()
            .and_then(|data| lock::running_admin(&data.value));
        for line in closing(examined, out.out, pages.as_deref()) {
            out.line(line)?;
        }
    }
    match examined.exit() {
        None => Ok(()),
        // The verdict has been shown; the exit code is what is left to say.
        Some(exit) => Err(CommandError {
            silent: true,
            ..CommandError::new(exit, Problem::new(examined.verdict.says.clone()))
        }),
    }
}

/// The verdict and the steps.
fn closing(examined: &Examined, paint: Paint, pages: Option<&str>) -> Vec<String> {
    let verdict = &examined.verdict;
    let mut lines = vec![String::new()];
    match &verdict.failure {
        None => lines.push(paint.color(AnsiColor::Green, &verdict.says)),
        Some(cause) => {
            let name = format!("{} {}", cause.code, cause.title);
            lines.push(format!(
                "{} {}",
                paint.bold("verdict:"),
                paint.color(AnsiColor::Red, name)
            ));
            lines.push(format!("  {}", verdict.says));
            let block = failure::block(cause, paint, pages);
            lines.extend(block.into_iter().skip(1).map(|line| format!("  {line}")));
            if !verdict.also.is_empty() {
                let also = verdict.also.join(", ");
                lines.push(format!("  {} {also}", paint.dim("also seen:")));
            }
        }
    }
    if !verdict.fixes.is_empty() {
        lines.push(String::new());
        lines.push(paint.bold("what to do"));
    }
    for (number, fix) in verdict.fixes.iter().enumerate() {
        let who = fix.who.as_str().replace('_', " ");
        lines.push(format!("{:>3}. {} ({who})", number + 1, fix.step));
        if let Some(command) = &fix.command {
            lines.push(format!("     {} {command}", paint.dim("run:")));
        }
        if let Some(paste) = &fix.paste {
            lines.extend(paste.lines().map(|line| format!("       {line}")));
        }
    }
    lines
}

/// The session as configured, with the token endpoint it uses. Secrets are not masked here: they are never read.
fn without_secrets(config: &SessionConfig, token_endpoint: Option<&Url>) -> Value {
    let server = config.endpoints.known();
    json!({
        "session": config.name,
        "provider": config.profile.name,
        "issuer": server.issuer,
        "token_endpoint": token_endpoint,
        "upstream": config.upstream,
        "client_id": config.client.id,
        "client_auth": config.client.auth.as_str(),
        "scopes": config.scopes,
        "client_credentials": config.client_credentials,
        "own_trust": config.trust.is_some(),
    })
}

/// Opened before anything is asked: a path that cannot be written is told at once.
fn open_report(path: &Path) -> Outcome<File> {
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| {
            let problem = Problem::new(format!("cannot write the report: {error}"))
                .at(path.display())
                .fix("name a file that does not exist yet, in a directory this user can write");
            CommandError::new(Exit::Usage, problem)
        })
}

/// Text for support: everything that was shown, with its evidence, and the configuration without its secrets.
fn write_report(mut file: File, path: &Path, examined: &Examined, asked: Option<&str>) -> Outcome {
    let mut lines = vec![
        format!(
            "tenure {} doctor {}",
            env!("CARGO_PKG_VERSION"),
            examined.whom
        ),
        format!(
            "at {}",
            crate::output::time::clock(tenure_keeper::clock::wall())
        ),
        format!("on {} {}", std::env::consts::OS, std::env::consts::ARCH),
        format!("configuration {}", examined.config),
        String::new(),
    ];
    for check in &examined.checks {
        lines.push(line(check, Paint(false)));
        for fact in &check.evidence {
            lines.push(format!(
                "        {} = {} ({})",
                fact.kind, fact.value, fact.source
            ));
        }
    }
    lines.extend(closing(examined, Paint(false), None));
    let text: Vec<String> = lines
        .iter()
        .map(|line| mask(&without_query(line, asked)))
        .collect();
    file.write_all((text.join("\n") + "\n").as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|error| {
            let problem =
                Problem::new(format!("cannot write the report: {error}")).at(path.display());
            CommandError::new(Exit::Failed, problem)
        })
}

/// The values in the query of the path that was asked for may be keys: their names are enough for support.
fn without_query(line: &str, path: Option<&str>) -> String {
    let Some((_, query)) = path.and_then(|path| path.split_once('?')) else {
        return line.to_owned();
    };
    let named = |pair: &str| match pair.split_once('=') {
        Some((name, _)) => format!("{name}=[masked]"),
        None => "[masked]".to_owned(),
    };
    let shown: Vec<String> = query.split('&').map(named).collect();
    let shown = shown.join("&");
    // As it was typed, and as it stands in addresses.
    let mut url = Url::parse("http://any.example/").ok();
    if let Some(url) = &mut url {
        url.set_query(Some(query));
    }
    let written = url.as_ref().and_then(Url::query).unwrap_or(query);
    if query.is_empty() {
        return line.to_owned();
    }
    line.replace(written, &shown).replace(query, &shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_the_query_stays_out_of_the_report() {
        let path = Some("/api?page=2&key=s3 cr");
        assert_eq!(
            without_query("ok [http://shop.example/api?page=2&key=s3%20cr]", path),
            "ok [http://shop.example/api?page=[masked]&key=[masked]]"
        );
        assert_eq!(
            without_query("asked for /api?page=2&key=s3 cr", path),
            "asked for /api?page=[masked]&key=[masked]"
        );
        assert_eq!(without_query("as it is", Some("/api?")), "as it is");
    }

    #[test]
    fn checks_line_up() {
        let mut check = Check::ok(CheckId::Dns, "127.0.0.1").at("a.example:443");
        check.took_ms = 12;
        let text = line(&check, Paint(false));
        assert_eq!(
            text,
            "ok    name resolution               12 ms  127.0.0.1 [a.example:443]"
        );
    }
}
