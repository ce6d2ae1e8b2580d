//! `tenure init URL`: finds out how a server speaks and adds a session for it to the configuration.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;
use tenure_core::{Class, Failure};
use tenure_diagnose::profile::DialectName;
use tenure_keeper::checks;
use tenure_keeper::probe::{self, Found};
use url::Url;

use super::input;
use crate::app::http_client;
use crate::args::{self, Global};
use crate::config::{self, Config, discover};
use crate::error::{CommandError, Exit, Outcome, Problem, exit_of};
use crate::output::{Output, spinner};

/// Probes, shows what was found, and appends the session.
pub async fn run(global: &Global, args: &args::Init, out: Output) -> Outcome {
    let asked = args.url.otherwise().into_iter();
    for url in asked
        .chain([args.url.url.clone()])
        .chain(args.upstream.clone())
    {
        checks::url(url.as_str(), false).map_err(|wrong| {
            CommandError::usage(
                wrong.what,
                "use https, or write the session by hand with `insecure = true`",
            )
        })?;
    }
    let data = discover::data_dir(global)?.value;
    let path = target(global, &data)?;
    let existing = existing(&path, &data)?;
    let name = session_name(args);
    match &name {
        Ok(name) => refuse_existing(name, existing.as_ref())?,
        // A name that is wrong is wrong whatever the server says.
        Err(wrong) if args.name.is_some() => {
            return Err(CommandError::new(Exit::Usage, wrong.clone()));
        }
        Err(_) => {}
    }
    let (url, found) = ask(&args.url)
        .await?
        .map_err(|failure| not_found(failure, name.as_ref().err()))?;
    let (name, client_id) = match (name, client_id(&found, args)?) {
        (Ok(name), Ok(client_id)) => (name, client_id),
        (name, client_id) => {
            let missing = [name.err(), client_id.err()].into_iter().flatten();
            return Err(CommandError::many(Exit::Usage, missing.collect()));
        }
    };
    if !out.json {
        let guess = match url.scheme() {
            scheme if args.url.is_bare() => format!(" (asked over {scheme})"),
            _ => String::new(),
        };
        out.line(format_args!("found {} at {url}{guess}", found.title))?;
        for line in &found.evidence {
            out.line(format_args!("  {line}"))?;
        }
    }
    let text = section(&name, &found, client_id.as_deref(), args);
    append(&path, &text)?;
    // What was written must be what the next command reads.
    config::load(&path, &data)?;
    report(out, &name, &path, &found, args)
}

/// Asks the server, and says so while it takes. Where the scheme was a guess and wrong, the other one is tried.
async fn ask(address: &args::Address) -> Outcome<Result<(Url, Found), Failure>> {
    let http = http_client()?;
    let first = probed(&http, &address.url).await;
    let (Err(failure), Some(other)) = (&first, address.otherwise()) else {
        return Ok(first);
    };
    if matches!(failure.class, Class::ConnectionRefused | Class::Timeout) {
        // Nobody is there, or nobody who answers: that does not depend on the scheme.
        return Ok(first);
    }
    Ok(probed(&http, &other).await.or(first))
}

async fn probed(http: &tenure_http::Client, url: &Url) -> Result<(Url, Found), Failure> {
    // On the heap: it holds whatever is asked one after the other.
    let asking = Box::pin(probe::probe(http, url));
    let found = spinner::told(&format!("asking {url}"), asking).await?;
    Ok((url.clone(), found))
}

fn report(out: Output, name: &str, path: &Path, found: &Found, args: &args::Init) -> Outcome {
    let upstream = args.upstream.as_ref().unwrap_or(&found.upstream);
    let next = format!("tenure login {name}");
    if out.json {
        return out.json(&json!({
            "session": name,
            "config": path,
            "provider": found.provider,
            "issuer": found.issuer_text,
            "upstream": upstream,
            "evidence": found.evidence,
            "next": next,
        }));
    }
    out.line(format_args!("session {name} written to {}", path.display()))?;
    if args.upstream.is_none() && !found.is_upstream_told {
        out.line(format_args!(
            "  its token goes to {upstream}; if the API is elsewhere, change `upstream`"
        ))?;
    }
    out.line(format_args!("next: {next}, then tenure up"))
}

/// The file that was named, there or not; else the one in use; else `tenure.toml` here.
fn target(global: &Global, data: &Path) -> Outcome<PathBuf> {
    if let Some(path) = &global.config {
        return Ok(path.clone());
    }
    let found = discover::config_file(global, data)?;
    Ok(found.map_or_else(|| PathBuf::from(discover::FILE), |found| found.value))
}

fn existing(path: &Path, data: &Path) -> Outcome<Option<Config>> {
    if path.exists() {
        config::load(path, data).map(Some)
    } else {
        Ok(None)
    }
}

fn refuse_existing(name: &str, config: Option<&Config>) -> Outcome {
    let taken =
        config.and_then(|config| config.sessions.iter().find(|session| session.name == name));
    match taken {
        None => Ok(()),
        Some(session) => {
            let problem = Problem::new(format!("there is a session {name} already"))
                .at(&session.origin)
                .fix("give the new one another name with --name, or remove the old one");
            Err(CommandError::new(Exit::Usage, problem))
        }
    }
}

/// `--name`, else the first label of the host that says something.
fn session_name(args: &args::Init) -> Result<String, Problem> {
    if let Some(name) = &args.name {
        return checks::session_name(name)
            .map(|()| name.clone())
            .map_err(|wrong| Problem::new(wrong.what).fix(wrong.fix));
    }
    let host = match args.url.url.host() {
        Some(url::Host::Domain(host)) => host.to_ascii_lowercase(),
        _ => String::new(),
    };
    let label = host
        .split('.')
        .find(|label| !matches!(*label, "www" | "api" | "id" | "login" | "auth" | "accounts"));
    let name = label.unwrap_or_default().to_owned();
    checks::session_name(&name).map(|()| name).map_err(|_| {
        Problem::new("the address gives no name for the session")
            .fix("give one with --name SESSION")
    })
}

/// What the probe met, with what else is missing: it is told once.
fn not_found(failure: Failure, missing: Option<&Problem>) -> CommandError {
    let fix = match failure.class {
        Class::WrongIssuer => {
            "name the server behind it; that of the built-in example is the issuer that `tenure up` shows"
        }
        Class::DnsFailed => "check how the name of the server is spelt",
        Class::TlsError => {
            "check the address; a certificate authority of your own is named with SSL_CERT_FILE"
        }
        _ if exit_of(&failure) == Exit::TryLater => {
            "check the address, and that the server runs and can be reached from here"
        }
        _ => {
            "check the address; if it is right, write the session by hand with token_endpoint = \"…\""
        }
    };
    let mut error = CommandError::from(failure);
    for problem in &mut error.problems {
        problem.fix.get_or_insert_with(|| fix.to_owned());
    }
    error.problems.extend(missing.cloned());
    error
}

/// The session as text.
fn section(name: &str, found: &Found, client_id: Option<&str>, args: &args::Init) -> String {
    let mut text = format!("[sessions.{name}]\n");
    let mut set = |key: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{key} = {}", toml::Value::from(value));
    };
    set("provider", &found.provider);
    match (&found.issuer_text, &found.token_endpoint) {
        (Some(issuer), _) => set("issuer", issuer),
        (None, Some(endpoint)) => set("token_endpoint", endpoint.as_str()),
        (None, None) => {}
    }
    if let Some(id) = client_id {
        set("client_id", id);
    }
    if !found.scopes.is_empty() {
        let scopes = toml::Value::from(found.scopes.clone());
        let _ = writeln!(text, "scopes = {scopes}");
    }
    let mut set = |key: &str, value: &str| {
        let _ = writeln!(text, "{key} = {}", toml::Value::from(value));
    };
    let upstream: &Url = args.upstream.as_ref().unwrap_or(&found.upstream);
    set("upstream", upstream.as_str());
    text
}

/// `--client-id`, or the one the server lets anybody be, or asked for where the dialect cannot do without.
fn client_id(found: &Found, args: &args::Init) -> Outcome<Result<Option<String>, Problem>> {
    let needed = tenure_diagnose::profile(&found.provider)
        .is_some_and(|profile| profile.dialect == DialectName::OAuth2);
    let known = args.client_id.clone().or_else(|| found.client.clone());
    if known.is_some() || !needed {
        return Ok(Ok(known));
    }
    let id = if std::io::stdin().is_terminal() {
        input::plain("Client identifier, as registered at the server")?
    } else {
        String::new()
    };
    if id.is_empty() {
        let problem = Problem::new("this server wants to know which client asks")
            .fix("register one there and give its identifier with --client-id ID");
        return Ok(Err(problem));
    }
    Ok(Ok(Some(id)))
}

/// Adds to the end; what is there stays as it is.
fn append(path: &Path, text: &str) -> Outcome {
    let fault = |error: std::io::Error| {
        let problem = Problem::new(format!("cannot write the configuration: {error}"))
            .at(path.display())
            .fix("make it writable, or name another with --config");
        CommandError::new(Exit::NeedsOperator, problem)
    };
    let before = match std::fs::read_to_string(path) {
        Ok(before) => before,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(fault(error)),
    };
    let gap = match before.as_str() {
        "" => "",
        before if before.ends_with('\n') => "\n",
        _ => "\n\n",
    };
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(fault)?;
    file.write_all(format!("{gap}{text}").as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(fault)
}
