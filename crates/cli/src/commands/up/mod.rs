//! `tenure up`: gateway, keeper, status page, local API; and the example where nothing is configured.

mod admin;
mod announce;
mod classify;
mod code_pages;
mod example;
mod listen;
pub mod lock;
mod metrics;
mod openapi;
mod orders;
mod page;
mod socket;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tenure_core::{Generation, Secret};
use tenure_gateway::Gateway;
use tenure_keeper::Keeper;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::app::{App, Setup, http_client, make_private_dir};
use crate::args;
use crate::builtin::address_url;
use crate::config::{Origin, Sourced};
use crate::error::{CommandError, Exit, Outcome, Problem};
use admin::Admin;
use example::Example;
use lock::{Lock, Running};

/// How long requests under way to the status page and the issuer may take to finish at the end.
const DRAIN: Duration = Duration::from_secs(10);

/// Everything that runs, from start to stop.
struct Up {
    keeper: Keeper,
    gateway: Gateway,
    urls: Urls,
    /// Ends the listeners that callers use.
    stop: CancellationToken,
    /// What serves them.
    servers: Vec<JoinHandle<()>>,
    example: Option<Example>,
    /// Held by the `up` that has the socket; a second one takes it over when the first ends.
    lock: Arc<Mutex<Option<Lock>>>,
}

/// Where everything can be reached.
#[derive(Clone)]
pub struct Urls {
    gateway: Url,
    admin: Url,
    issuer: Option<Url>,
}

/// Runs until SIGINT or SIGTERM.
pub async fn run(mut app: App, args: &args::Up) -> Outcome {
    make_private_dir(&app.data.value)?;
    let lock = Lock::take(&app.data.value)?;
    if let Err(running) = &lock {
        beside(&app, args, running)?;
    }
    // Signals count from here on: what is begun is ended in order.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let up = start(&mut app, args, lock.ok()).await?;
    announce::ready(&app, &up)?;
    let reporter = tokio::spawn(announce::events(app.out, up.keeper.events()));
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    if !app.out.json {
        app.out.note(
            "stopping: requests and exchanges under way finish first (once more ends at once)",
        );
    }
    tokio::select! {
        () = up.stop() => {}
        _ = interrupt.recv() => return Err(CommandError::failed("stopped without waiting; intents in the store tell the next start")),
    }
    reporter.abort();
    Ok(())
}

/// A second `up` on the same data: only if it was told where to listen.
fn beside(app: &App, args: &args::Up, running: &Running) -> Outcome {
    if args.listen.is_none() {
        let problem = Problem::new(format!("tenure is already up with this data: {running}"))
            .at(app.data.value.display())
            .fix(
                "use it there; or run a second one on the same store with --listen 127.0.0.1:PORT",
            );
        return Err(CommandError::new(Exit::Failed, problem));
    }
    app.out.note(format_args!(
        "tenure is already up with this data: {running}; serving through the same store"
    ));
    Ok(())
}

async fn start(app: &mut App, args: &args::Up, lock: Option<Lock>) -> Outcome<Up> {
    let second = lock.is_none();
    let section = app.keeper_section().clone();
    let gateway_at = section.listen.clone().or_flag(args.listen, "--listen");
    let mut admin_at = section.admin.clone().or_flag(args.admin, "--admin");
    if second && admin_at.origin == Origin::Default {
        // The usual port is taken by the first.
        admin_at.value.set_port(0);
    }
    check_admin(&admin_at)?;
    let gateway_listener = listen::bind(&gateway_at, "the gateway", "--listen").await?;
    let admin_listener = listen::bind(&admin_at, "the status page", "--admin").await?;
    let mut urls = Urls {
        gateway: listen::url(&gateway_listener)?,
        admin: listen::url(&admin_listener)?,
        issuer: None,
    };
    let example = match &mut app.setup {
        Setup::BuiltIn(built_in) if !second => {
            Some(Example::start(&app.data.value, built_in, args.issuer_listen, &urls.admin).await?)
        }
        _ => None,
    };
    urls.issuer = example.as_ref().map(|example| example.url.clone());
    let configs = app.session_configs();
    if app.out.json {
        // Otherwise the list of sessions says so.
        for failure in configs.iter().filter_map(|config| config.blocked.as_ref()) {
            app.out.warn(&failure.detail);
        }
    }
    let keeper = app.open_keeper(configs, true).await?;
    if let Some(example) = &example {
        first_login(&keeper, example).await?;
    }
    let gateway = Gateway::new(
        keeper.clone(),
        gateway_options(app, &section, &gateway_listener, &urls)?,
    )
    .map_err(|error| CommandError::new(Exit::NeedsOperator, Problem::new(error.to_string())))?;
    let mut up = Up {
        keeper,
        gateway,
        urls,
        stop: CancellationToken::new(),
        servers: Vec::new(),
        example,
        lock: Arc::default(),
    };
    let admin = up.serve(app, http_client()?, gateway_listener, admin_listener);
    let first = match lock {
        Some(mut lock) => {
            lock.write(&up.urls)?;
            Some(lock)
        }
        None => None,
    };
    up.serve_socket(app, &admin, first);
    Ok(up)
}

/// The configuration is checked when it is read; a flag is checked here.
fn check_admin(at: &Sourced<std::net::SocketAddr>) -> Outcome {
    if at.value.ip().is_loopback() {
        return Ok(());
    }
    Err(CommandError::usage(
        format!(
            "the status page would listen on {}, which other machines can reach",
            at.value
        ),
        "use 127.0.0.1 or [::1] for --admin",
    ))
}

fn gateway_options(
    app: &App,
    section: &crate::config::KeeperSection,
    listener: &TcpListener,
    urls: &Urls,
) -> Outcome<tenure_gateway::Options> {
    let mut caller_keys = Vec::new();
    for keys in &section.caller_keys {
        let read = keys.read().map_err(|wrong| {
            let name = keys.name.as_ref().map(|name| format!(" ({name})"));
            let what = format!(
                "`keeper.caller_keys`{}: {}",
                name.unwrap_or_default(),
                wrong.what
            );
            CommandError::new(
                Exit::NeedsOperator,
                Problem::new(what).at(&keys.origin).fix(wrong.fix),
            )
        })?;
        caller_keys.extend(read);
    }
    Ok(tenure_gateway::Options {
        bind: vec![listener.local_addr()?],
        caller_keys,
        pages_base: Some(urls.admin.clone()),
        routes: app.routes(),
        ..tenure_gateway::Options::default()
    })
}

/// The example's session is logged in once, at the first start; after a logout it stays logged out.
async fn first_login(keeper: &Keeper, example: &Example) -> Outcome {
    let Some(session) = keeper.session(crate::builtin::SESSION) else {
        return Ok(());
    };
    if session.snapshot().generation == Generation::default() {
        let login = example.login(session.config()).await?;
        keeper.login(session.name(), login).await?;
    }
    Ok(())
}

impl Up {
    fn serve(
        &mut self,
        app: &App,
        http: tenure_http::Client,
        gateway_listener: TcpListener,
        admin_listener: TcpListener,
    ) -> Admin {
        let (gateway, stop) = (self.gateway.clone(), self.stop.clone());
        self.servers.push(tokio::spawn(async move {
            if let Err(error) = gateway.serve(gateway_listener, stop).await {
                tracing::error!(%error, "the gateway ended");
            }
        }));
        let admin = Admin::new(
            self.keeper.clone(),
            http,
            self.stop.clone(),
            &self.urls,
            app.source(),
        );
        self.servers.push(listen::serve(
            admin_listener,
            admin.router(),
            self.stop.clone(),
        ));
        admin
    }

    /// The first `up` on this data has the socket; another waits until it can take it over.
    fn serve_socket(&mut self, app: &App, admin: &Admin, first: Option<Lock>) {
        let (out, data, stop) = (app.out, app.data.value.clone(), self.stop.clone());
        let router = admin.socket_router();
        let bound = move |data: &Path| match socket::bind(data) {
            Ok(listener) => Some(listener),
            Err(problem) => {
                out.warn(format_args!("no socket for tokens: {}", problem.what));
                None
            }
        };
        if let Some(lock) = first {
            hold(&self.lock, lock);
            if let Some(listener) = bound(&data) {
                self.servers.push(socket::serve(listener, router, stop));
            }
            return;
        }
        let (held, urls) = (Arc::clone(&self.lock), self.urls.clone());
        self.servers.push(tokio::spawn(async move {
            let taken = tokio::select! {
                taken = Lock::when_free(&data) => taken,
                () = stop.cancelled() => return,
            };
            // The thread that waits answers before it ends.
            let Ok(taken) = taken else { return };
            match taken.and_then(|lock| told(lock, &urls)) {
                Ok(lock) => hold(&held, lock),
                // Everything but the socket goes on.
                Err(error) => return out.warn(first_problem(&error)),
            }
            let Some(listener) = bound(&data) else { return };
            out.note(format_args!(
                "the other tenure up has ended: this one took over {}",
                socket::path(&data).display()
            ));
            // A server that panicked has ended, too.
            let _ended = socket::serve(listener, router, stop).await;
        }));
    }

    /// Callers first, then the exchanges, then the issuer they need.
    async fn stop(self) {
        self.stop.cancel();
        for server in self.servers {
            // A server that panicked has ended, too.
            let _ended = server.await;
        }
        self.keeper.shutdown().await;
        if let Some(example) = self.example {
            example.stop().await;
        }
        let lock = self
            .lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(lock) = lock {
            lock.release();
        }
    }
}

fn hold(place: &Mutex<Option<Lock>>, lock: Lock) {
    *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(lock);
}

/// The lock, once it tells others who holds it.
fn told(mut lock: Lock, urls: &Urls) -> Outcome<Lock> {
    lock.write(urls)?;
    Ok(lock)
}

fn first_problem(error: &CommandError) -> String {
    let what = error.problems.first().map_or("", |problem| &problem.what);
    format!("the socket cannot be taken over: {what}")
}

/// The line of JSON that says that everything is ready.
fn ready_json(up: &Up) -> serde_json::Value {
    let sessions: Vec<_> = up
        .keeper
        .sessions()
        .iter()
        .map(|session| session.name().to_owned())
        .collect();
    json!({
        "gateway": bare(&up.urls.gateway),
        "admin": bare(&up.urls.admin),
        "issuer": up.urls.issuer.as_ref().map(bare),
        "login": up.example.as_ref().map(example_login),
        "sessions": sessions,
        "pid": std::process::id(),
    })
}

/// Who can log in at the built-in issuer; the password at the first start only, when it is made.
fn example_login(example: &Example) -> serde_json::Value {
    json!({
        "username": crate::builtin::USER,
        "password": example.password.as_ref().map(Secret::expose),
    })
}

/// Without the slash at the end.
fn bare(url: &Url) -> &str {
    url.as_str().trim_end_matches('/')
}

/// The address as a URL.
fn url_of(address: std::net::SocketAddr) -> Outcome<Url> {
    address_url(address)
}
