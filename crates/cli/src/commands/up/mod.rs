//! `tenure up`: gateway, keeper, status page, local API; and the example where nothing is configured.

mod admin;
mod announce;
mod classify;
mod code_pages;
pub mod example;
pub mod listen;
pub mod lock;
mod metrics;
mod openapi;
mod orders;
mod page;
mod socket;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;
use tenure_core::{Generation, Secret};
use tenure_gateway::Gateway;
use tenure_keeper::Keeper;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::signals::Signals;
use crate::app::{App, Setup, http_client, make_private_dir};
use crate::args;
use crate::builtin::address_url;
use crate::config::{Sourced, value};
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
    held: Arc<Mutex<Held>>,
}

/// What one `up` on the data has and a second takes over when the first ends.
#[derive(Default)]
struct Held {
    /// The lock, and with it the socket.
    lock: Option<Lock>,
    /// The built-in issuer, taken over.
    example: Option<Example>,
}

/// Where everything can be reached.
#[derive(Clone)]
pub struct Urls {
    gateway: Url,
    admin: Url,
    issuer: Option<Url>,
}

/// Runs until SIGINT, SIGTERM, or the terminal closes.
pub async fn run(mut app: App, args: &args::Up) -> Outcome {
    make_private_dir(&app.data.value)?;
    let lock = Lock::take(&app.data.value)?;
    // Signals count from here on: what is begun is ended in order.
    let mut signals = Signals::listen()?;
    let up = start(&mut app, args, lock).await?;
    let ended = CancellationToken::new();
    // Listened to before anybody is told to come.
    let reporter = announce::events(app.out, up.keeper.events(), ended.clone());
    announce::ready(&app, &up)?;
    let reporter = tokio::spawn(reporter);
    signals.end().await;
    if !app.out.json {
        app.out.note(
            "stopping: requests and exchanges under way finish first (once more ends at once)",
        );
    }
    tokio::select! {
        () = up.stop(&app.data.value) => {}
        () = signals.interrupt() => return Err(CommandError::failed("stopped without waiting; intents in the store tell the next start")),
    }
    ended.cancel();
    // One that panicked has ended, too.
    let _ended = reporter.await;
    Ok(())
}

/// What is not used is said: a flag without effect looks like one that had it.
fn unused(app: &App, args: &args::Up, first: Option<&Running>) {
    if args.issuer_listen.is_none() {
        return;
    }
    match (&app.setup, first) {
        (Setup::File(config), _) => app.out.warn(format_args!(
            "--issuer-listen is for the built-in example and is not used: {} says which servers there are",
            config.path.display()
        )),
        (Setup::BuiltIn(_), Some(_)) => app.out.warn(
            "--issuer-listen is not used: the issuer runs in the other tenure up, and stays at its address",
        ),
        (Setup::BuiltIn(_), None) => {}
    }
}

/// What a listener of a second `up` fails with where nobody chose an address for it: the first is meant then.
fn beside(app: &App, error: CommandError, chosen: bool, first: Option<&Running>) -> CommandError {
    let Some(running) = first else {
        return error;
    };
    if chosen {
        // Whoever chose this address is told who may have it.
        let mut error = error;
        for problem in &mut error.problems {
            problem.what = format!(
                "{} (tenure is already up with this data: {running})",
                problem.what
            );
        }
        return error;
    }
    let problem = Problem::new(format!("tenure is already up with this data: {running}"))
        .at(app.data.value.display())
        .fix("use it there; or run a second one on the same store with --listen 127.0.0.1:PORT");
    CommandError::new(Exit::Failed, problem)
}

async fn start(app: &mut App, args: &args::Up, lock: Result<Lock, Running>) -> Outcome<Up> {
    let (lock, running) = match lock {
        Ok(lock) => (Some(lock), None),
        Err(running) => (None, Some(running)),
    };
    let second = running.is_some();
    unused(app, args, running.as_ref());
    let section = app.keeper_section().clone();
    let gateway_at = section.listen.clone().or_flag(args.listen, "--listen");
    let mut admin_at = section.admin.clone().or_flag(args.admin, "--admin");
    check_admin(&admin_at)?;
    check_apart(&gateway_at, &admin_at)?;
    if second && args.admin.is_none() && listen::is_taken(admin_at.value).await {
        // By the first, most likely; nobody chose this one.
        admin_at.value.set_port(0);
    }
    let gateway_listener = listen::bind(&gateway_at, "the gateway", "--listen")
        .await
        .map_err(|error| beside(app, error, args.listen.is_some(), running.as_ref()))?;
    let admin_listener = listen::bind(&admin_at, "the status page", "--admin").await?;
    let mut urls = Urls {
        gateway: listen::url(&gateway_listener)?,
        admin: listen::url(&admin_listener)?,
        issuer: None,
    };
    let gateway_options = gateway_options(app, &section, &gateway_listener, &urls)?;
    // Before anything is made that a start refused here would leave behind.
    gateway_options.check().map_err(|error| refused(&error))?;
    if let Some(running) = &running {
        app.out.note(format_args!(
            "tenure is already up with this data: {running}; serving through the same store"
        ));
    }
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
    let store = app.open_store().await?.store();
    if let Some(example) = &example {
        example.forget_absence(&*store).await?;
    }
    let keeper = app.keeper_over(store, configs, true).await?;
    if let Some(example) = &example {
        first_login(&keeper, example).await?;
    }
    let gateway = Gateway::new(keeper.clone(), gateway_options).map_err(|error| refused(&error))?;
    let mut up = Up {
        keeper,
        gateway,
        urls,
        stop: CancellationToken::new(),
        servers: Vec::new(),
        example,
        held: Arc::default(),
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

fn refused(error: &tenure_gateway::SetupError) -> CommandError {
    let problem = Problem::new(error.to_string());
    CommandError::new(
        Exit::NeedsOperator,
        match error {
            tenure_gateway::SetupError::OpenBind(address) => problem.at(address).fix(
                "listen on 127.0.0.1, or name the callers' keys in `keeper.caller_keys` (docs/config.md)",
            ),
            _ => problem,
        },
    )
}

/// The configuration is checked when it is read; a flag is checked here.
fn check_admin(at: &Sourced<SocketAddr>) -> Outcome {
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

/// The same for two addresses of which at least one is a flag's.
fn check_apart(gateway: &Sourced<SocketAddr>, admin: &Sourced<SocketAddr>) -> Outcome {
    if !value::clash(gateway.value, admin.value) {
        return Ok(());
    }
    Err(CommandError::usage(
        format!(
            "the gateway ({}, {}) and the status page ({}, {}) would both listen on port {}",
            gateway.value,
            gateway.origin,
            admin.value,
            admin.origin,
            admin.value.port()
        ),
        "give --listen and --admin ports of their own; port 0 takes a free one",
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

/// The example's session is logged in once, at the first start; after a logout it stays logged out. Where the issuer
/// moved, the API knows it by its new name only, so the tokens are renewed.
async fn first_login(keeper: &Keeper, example: &Example) -> Outcome {
    let Some(session) = keeper.session(crate::builtin::SESSION) else {
        return Ok(());
    };
    if session.snapshot().generation == Generation::default() {
        let login = example.login(session.config()).await?;
        keeper.login(session.name(), login).await?;
    } else if example.moved
        && session.snapshot().token.is_some()
        && let Err(failure) = session.refresh().await
    {
        // The list of sessions shows it.
        tracing::warn!(code = %failure.code, "the session could not be renewed at the issuer's new address");
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

    /// The first `up` on this data has the socket; another waits until it can take it over, and the built-in issuer
    /// with it.
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
            hold(&self.held).lock = Some(lock);
            if let Some(listener) = bound(&data) {
                self.servers.push(socket::serve(listener, router, stop));
            }
            return;
        }
        let mut built_in = match &app.setup {
            Setup::BuiltIn(built_in) => Some(built_in.clone()),
            Setup::File(_) => None,
        };
        let (held, mut urls) = (Arc::clone(&self.held), self.urls.clone());
        self.servers.push(tokio::spawn(async move {
            let taken = tokio::select! {
                taken = Lock::when_free(&data) => taken,
                () = stop.cancelled() => return,
            };
            // The thread that waits answers before it ends.
            let Ok(taken) = taken else { return };
            let mut lock = match taken {
                Ok(lock) => lock,
                // Everything but the socket goes on.
                Err(error) => return out.warn(not_taken("the socket", &error)),
            };
            if let Some(built_in) = &mut built_in {
                match Example::start(&data, built_in, None, &urls.admin).await {
                    Ok(example) => {
                        urls.issuer = Some(example.url.clone());
                        hold(&held).example = Some(example);
                    }
                    Err(error) => out.warn(not_taken("the built-in issuer", &error)),
                }
            }
            if let Err(error) = lock.write(&urls) {
                out.warn(not_taken("the socket", &error));
            }
            hold(&held).lock = Some(lock);
            let Some(listener) = bound(&data) else { return };
            let issuer = urls
                .issuer
                .as_ref()
                .map(|url| format!(" and the issuer {}", bare(url)));
            out.note(format_args!(
                "the other tenure up has ended: this one took over {}{}",
                socket::path(&data).display(),
                issuer.unwrap_or_default()
            ));
            // A server that panicked has ended, too.
            let _ended = socket::serve(listener, router, stop).await;
        }));
    }

    /// Callers first, then the exchanges, then the issuer they need.
    async fn stop(self, data: &Path) {
        self.stop.cancel();
        for server in self.servers {
            // A server that panicked has ended, too.
            let _ended = server.await;
        }
        self.keeper.shutdown().await;
        let Held { lock, example } = std::mem::take(&mut *hold(&self.held));
        for example in [self.example, example].into_iter().flatten() {
            example.stop().await;
        }
        if lock.is_some() {
            // Before the lock falls free: the next to hold it makes a socket of its own there.
            socket::remove(data);
        }
        drop(lock);
    }
}

fn hold(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

fn not_taken(what: &str, error: &CommandError) -> String {
    let why = error.problems.first().map_or("", |problem| &problem.what);
    format!("{what} cannot be taken over: {why}")
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
