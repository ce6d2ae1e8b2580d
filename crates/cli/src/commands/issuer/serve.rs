//! `tenure issuer serve`.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::json;
use tenure_core::Secret;
use tenure_issuer::{Database, Issuer};
use tenure_keeper::checks;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
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
    let door = Door::bind(&which, args).await?;
    let (kind, source) = (kind(&which), which.source.clone());
    let speaks = which.options.wordpress;
    let issuer = which.open().await?;
    let stop = CancellationToken::new();
    let tended = issuer.tend();
    let server = listen::serve(listener, issuer.router(), stop.clone());
    let door = match door {
        Some(door) => Some(door.open(&issuer, &stop).await?),
        None => None,
    };
    let wordpress = speaks.map(|speaks| Dialect {
        name: speaks.client_id(),
        index: format!("{}/wp-json/", issuer.id()),
    });
    let told = Told {
        id: issuer.id(),
        at,
        kind,
        wordpress,
        admin: door.as_ref(),
    };
    ready(app, &told, &source)?;
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
        if let Some(door) = door {
            let _ended = door.server.await;
        }
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

/// The administrators' API.
struct Door {
    listener: TcpListener,
    at: SocketAddr,
}

/// The same, served.
struct Open {
    at: SocketAddr,
    /// The first administrator, made just now.
    first: Option<(&'static str, Secret)>,
    server: JoinHandle<()>,
}

impl Door {
    async fn bind(which: &Which, args: &Serve) -> Outcome<Option<Self>> {
        let configured = which.admin_listen.clone();
        let at = match (configured, args.admin_listen) {
            (Some(configured), flag) => configured.or_flag(flag, "--admin-listen"),
            (None, Some(flag)) => Sourced::default(flag).or_flag(Some(flag), "--admin-listen"),
            (None, None) => return Ok(None),
        };
        if !at.value.ip().is_loopback() && !which.insecure {
            return Err(CommandError::usage(
                format!(
                    "the administrators' API would listen on {} ({}), which other machines can reach, and it speaks plain http",
                    at.value, at.origin
                ),
                "listen on 127.0.0.1; reach it from elsewhere through an SSH tunnel or a proxy that ends TLS",
            ));
        }
        let listener = listen::bind(&at, "the administrators' API", "--admin-listen").await?;
        let at = listener.local_addr()?;
        Ok(Some(Self { listener, at }))
    }

    async fn open(self, issuer: &Arc<Issuer>, stop: &CancellationToken) -> Outcome<Open> {
        let first = issuer.first_administrator().await?;
        let server = listen::serve(self.listener, issuer.admin_router(), stop.clone());
        Ok(Open {
            at: self.at,
            first,
            server,
        })
    }
}

/// What is told at the start.
struct Told<'a> {
    id: &'a str,
    at: SocketAddr,
    kind: &'a str,
    wordpress: Option<Dialect>,
    admin: Option<&'a Open>,
}

fn ready(app: &App, told: &Told<'_>, source: &str) -> Outcome {
    let Told {
        id,
        at,
        kind,
        wordpress,
        admin,
    } = told;
    let wordpress = wordpress.as_ref();
    let first = admin.and_then(|open| open.first.as_ref());
    let discovery = format!("{id}{DISCOVERY}");
    if app.out.json {
        return app.out.json(&json!({
            "issuer": id,
            "listen": format!("http://{at}"),
            "discovery": discovery,
            "database": kind,
            "wordpress": wordpress.map(|dialect| dialect.index.as_str()),
            "admin": admin.map(|open| format!("http://{}", open.at)),
            "first_administrator": first.map(|(name, secret)| json!({
                "name": name,
                "one_time_secret": secret.expose(),
            })),
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
    app.out.line(format_args!("database      {kind}"))?;
    let Some(open) = admin else { return Ok(()) };
    app.out.line(format_args!(
        "admin API     http://{}/admin/v1/  (described at /admin/v1/openapi.json)",
        open.at
    ))?;
    let Some((name, secret)) = first else {
        return Ok(());
    };
    app.out.line(format_args!(
        "administrator {}, one-time secret  {}  (shown this once; the first login chooses another)",
        paint.bold(name),
        secret.expose()
    ))
}
