//! `tenure issuer serve`.

use std::net::SocketAddr;

use serde_json::json;
use tenure_issuer::Database;
use tenure_keeper::checks;
use tokio_util::sync::CancellationToken;

use super::which::{self, Which};
use crate::app::App;
use crate::args::issuer::Serve;
use crate::commands::signals::Signals;
use crate::commands::up::listen;
use crate::config::Sourced;
use crate::error::{CommandError, Outcome};

/// Where the endpoints are described, below the issuer's address.
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// Serves until SIGINT, SIGTERM, or the terminal closes.
pub async fn run(app: &App, args: &Serve) -> Outcome {
    let which = which::find(app)?;
    // Signals count from here on: what is begun is ended in order.
    let mut signals = Signals::listen()?;
    let at = which.listen.clone().or_flag(args.listen, "--listen");
    check_reach(&at, &which)?;
    let listener = listen::bind(&at, "the issuer", "--listen").await?;
    let at = listener.local_addr()?;
    let (kind, source) = (kind(&which), which.source.clone());
    let speaks = which.options.wordpress;
    let issuer = which.open().await?;
    let stop = CancellationToken::new();
    let tended = issuer.tend();
    let server = listen::serve(listener, issuer.router(), stop.clone());
    let wordpress = speaks.map(|speaks| Dialect {
        name: speaks.client_id(),
        index: format!("{}/wp-json/", issuer.id()),
    });
    ready(app, issuer.id(), at, kind, wordpress.as_ref(), &source)?;
    signals.end().await;
    if !app.out.json {
        app.out
            .note("stopping: requests under way finish first (once more ends at once)");
    }
    issuer.close();
    stop.cancel();
    let both = async {
        // One that panicked has ended, too.
        let _ended = (server.await, tended.await);
    };
    tokio::select! {
        () = both => Ok(()),
        () = signals.interrupt() => Err(CommandError::failed("stopped without waiting")),
    }
}

/// It speaks plain http: where other machines can reach it, TLS must end in front of it.
fn check_reach(at: &Sourced<SocketAddr>, which: &Which) -> Outcome {
    let local = at.value.ip().is_loopback();
    let proxied = which.url().scheme() == "https" || !checks::is_loopback(which.url());
    if local || proxied || which.insecure {
        return Ok(());
    }
    Err(CommandError::usage(
        format!(
            "the issuer would listen on {} ({}), which other machines can reach, and it speaks plain http",
            at.value, at.origin
        ),
        "listen on 127.0.0.1; or end TLS in front of it and give `issuer.url` its https address",
    ))
}

fn kind(which: &Which) -> &'static str {
    match which.options.database {
        Database::Sqlite(_) => "sqlite",
        Database::Postgres(_) => "postgres",
    }
}

/// The dialect of a WordPress plugin, and where its routes are.
struct Dialect {
    name: &'static str,
    index: String,
}

fn ready(
    app: &App,
    id: &str,
    at: SocketAddr,
    kind: &str,
    wordpress: Option<&Dialect>,
    source: &str,
) -> Outcome {
    let discovery = format!("{id}{DISCOVERY}");
    if app.out.json {
        return app.out.json(&json!({
            "issuer": id,
            "listen": format!("http://{at}"),
            "discovery": discovery,
            "database": kind,
            "wordpress": wordpress.map(|dialect| dialect.index.as_str()),
            "pid": std::process::id(),
        }));
    }
    let paint = app.out.out;
    app.out.line(format_args!("configuration {source}"))?;
    app.out
        .line(format_args!("issuer        {}", paint.bold(id)))?;
    app.out.line(format_args!("listens on    http://{at}"))?;
    app.out.line(format_args!("discovery     {discovery}"))?;
    if let Some(Dialect { name, index }) = wordpress {
        app.out
            .line(format_args!("wordpress     {index}  ({name})"))?;
    }
    app.out.line(format_args!("database      {kind}"))
}
