//! The keeper: holds sessions, runs their shards, takes logins and logouts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tenure_core::session::{Keep, Machine, Policy};
use tenure_core::{Failure, Generation, TokenPair};
use tenure_store::fault::FaultPlan;
use tenure_store::{EventRow, Record, Store, StoreError};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio_util::task::TaskTracker;

use crate::clock;
use crate::clocks::Clocks;
use crate::config::SessionConfig;
use crate::context::{Context, Note};
use crate::entry;
use crate::events;
use crate::login::{LoggedOut, NewLogin};
use crate::pacing::Pacer;
use crate::rows;
use crate::servers::Servers;
use crate::session::{Session, Shared};
use crate::shard::{Command, Shard};

/// Sessions are spread over this many actors.
const SHARDS: usize = 4;
/// Events a slow listener may lag behind before it misses some (the store has them all).
const LIVE_EVENTS: usize = 1_024;
/// How soon a change that could not be read is read again.
const READ_AGAIN: Duration = Duration::from_secs(1);
/// How long a stop waits for exchanges under way: the longest exchange with its retry, and the save.
const STOP_WAIT: Duration = Duration::from_secs(40);

/// What a keeper is opened with.
pub struct Options {
    /// Where sessions are remembered.
    pub store: Arc<dyn Store>,
    /// The sessions to keep.
    pub sessions: Vec<SessionConfig>,
    /// Refresh without being asked. `false` for one-shot commands: nothing is refreshed unless it is wanted.
    pub warm: bool,
    /// How servers are asked.
    pub http: tenure_http::Client,
    /// Faults planned by a test.
    pub fault: FaultPlan,
}

/// Keeps sessions. Cheap to clone.
#[derive(Clone)]
pub struct Keeper(Arc<Inner>);

struct Inner {
    ctx: Arc<Context>,
    sessions: BTreeMap<String, Session>,
    shards: Vec<mpsc::Sender<(usize, Command)>>,
    stop: watch::Sender<bool>,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper")
            .field("sessions", &self.0.sessions.keys())
            .finish_non_exhaustive()
    }
}

impl Keeper {
    /// Reads every session's row and starts keeping them.
    ///
    /// # Errors
    /// When the store cannot be read at all. A session whose row cannot be opened is kept and says so.
    pub async fn open(options: Options) -> Result<Self, StoreError> {
        let (events, events_rx) = mpsc::unbounded_channel();
        let (stop, stopping) = watch::channel(false);
        let ctx = Arc::new(Context {
            store: Arc::clone(&options.store),
            http: options.http,
            fault: options.fault,
            boot: clock::boot_id(),
            clocks: Clocks::default(),
            pacer: Pacer::default(),
            servers: Servers::default(),
            tasks: TaskTracker::new(),
            events,
            live: broadcast::channel(LIVE_EVENTS).0,
        });
        if options.warm {
            // Compiled while the rest starts, so that the first failure does not wait for it.
            std::thread::spawn(tenure_diagnose::classify::rules::prepare);
        }
        let changes = options.store.changes();
        let endpoints: BTreeSet<_> = options
            .sessions
            .iter()
            .map(|config| &config.endpoints.known().token_endpoint)
            .collect();
        for endpoint in endpoints {
            let pace = options.store.pace(endpoint.as_str()).await?;
            ctx.pacer.learn(endpoint, clock::mono(), pace);
        }
        let count = SHARDS.min(options.sessions.len().max(1));
        let mut shards: Vec<Shard> = (0..count).map(|_| Shard::new(Arc::clone(&ctx))).collect();
        let mut sessions = BTreeMap::new();
        for (number, config) in options.sessions.into_iter().enumerate() {
            let record = options
                .store
                .load(&config.name)
                .await?
                .unwrap_or_else(|| rows::empty(&config.name));
            let shard = &mut shards[number % count];
            let machine = Machine::new(config.name.clone(), policy(&config, options.warm))
                .blocked_by(config.blocked.as_deref().cloned());
            let name = config.name.clone();
            let shared = Arc::new(Shared {
                config,
                snapshot: ArcSwap::from_pointee(entry::blank()),
                version: watch::channel(0).0,
                logging_out: AtomicBool::new(false),
                shard: shard.next_sender(),
            });
            shard.add(Arc::clone(&shared), machine, record);
            sessions.insert(name, Session(shared));
        }
        let senders = shards.iter().map(Shard::sender).collect();
        for shard in shards {
            tokio::spawn(shard.run());
        }
        tokio::spawn(write_events(Arc::clone(&options.store), events_rx));
        let inner = Arc::new(Inner {
            ctx,
            sessions,
            shards: senders,
            stop,
        });
        tokio::spawn(follow(Arc::downgrade(&inner), changes, stopping));
        Ok(Self(inner))
    }

    /// The session with this name.
    pub fn session(&self, name: &str) -> Option<Session> {
        self.0.sessions.get(name).cloned()
    }

    /// All sessions, by name.
    pub fn sessions(&self) -> Vec<Session> {
        self.0.sessions.values().cloned().collect()
    }

    /// What happens from now on in this process.
    pub fn events(&self) -> broadcast::Receiver<EventRow> {
        self.0.ctx.live.subscribe()
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.0.ctx.store
    }

    /// Makes a login the session's current pair, here and in every process that shares the store.
    ///
    /// # Errors
    /// When it cannot be stored, or the session is unknown.
    pub async fn login(&self, name: &str, login: NewLogin) -> Result<Generation, Failure> {
        let session = self.session(name).ok_or_else(|| unknown(name))?;
        let store = &self.0.ctx.store;
        let info = NewLogin::info(session.config());
        let generation = store
            .login(name, login.pair, &info, login.stored.as_ref())
            .await
            .map_err(|error| error.failure())?;
        self.tell(
            name,
            "logged_in",
            generation,
            format!("logged in: generation {generation}"),
        );
        self.take_up(&session).await?;
        Ok(generation)
    }

    /// Ends a session here; `everywhere` also revokes its tokens at the server first.
    ///
    /// # Errors
    /// When the server refused or could not be asked to revoke (nothing is changed then), or the store failed.
    pub async fn logout(&self, name: &str, everywhere: bool) -> Result<LoggedOut, Failure> {
        let session = self.session(name).ok_or_else(|| unknown(name))?;
        let store = &self.0.ctx.store;
        if everywhere {
            session.config().usable()?;
        }
        let record = store.load(name).await.map_err(|error| error.failure())?;
        let record = record.unwrap_or_else(|| rows::empty(name));
        let done = match &record.pair {
            Some(pair) if everywhere => self.revoke(&session, pair).await?,
            Some(_) => LoggedOut::Here,
            None if record.generation == Generation::default() => LoggedOut::NeverIn,
            None if revoked(&record) => return Ok(LoggedOut::AtServerBefore),
            // What cannot be opened is held all the same.
            None if record.unreadable.is_some() && !everywhere => LoggedOut::Here,
            None => LoggedOut::NothingLeft,
        };
        if done == LoggedOut::AtServer {
            let mut info = record.info.clone();
            let generation = record.generation.0;
            info.extra.insert(REVOKED.to_owned(), generation.into());
            let noted = store.save_info(name, &info).await;
            noted.map_err(|error| error.failure())?;
        }
        session.0.logging_out.store(true, Ordering::Relaxed);
        let ended = store.logout(name).await.map_err(|error| error.failure());
        if let Err(failure) = ended {
            session.0.logging_out.store(false, Ordering::Relaxed);
            return Err(failure);
        }
        let generation = session.snapshot().generation;
        let text = match done {
            LoggedOut::AtServer => "logged out here and at the server",
            LoggedOut::NoRevocation => "logged out here; the server names no way to revoke",
            _ => "logged out",
        };
        self.tell(name, "logged_out", generation, text.to_owned());
        let taken_up = self.take_up(&session).await;
        session.0.logging_out.store(false, Ordering::Relaxed);
        taken_up.map(|()| done)
    }

    async fn revoke(&self, session: &Session, pair: &TokenPair) -> Result<LoggedOut, Failure> {
        let config = session.config();
        let ctx = &self.0.ctx;
        let revoked = crate::login::revoke(ctx.net(config), &ctx.servers, config, pair).await?;
        Ok(if revoked {
            LoggedOut::AtServer
        } else {
            LoggedOut::NoRevocation
        })
    }

    /// Ends the keeper: no exchange is begun any more, those under way finish and are saved.
    pub async fn shutdown(&self) {
        // Nobody may be following any more; that is what the signal asks for.
        let _nobody_follows = self.0.stop.send(true);
        let mut waits = Vec::new();
        for shard in &self.0.shards {
            let (reply, done) = oneshot::channel();
            if shard.send((0, Command::Stop(reply))).await.is_ok() {
                waits.push(done);
            }
        }
        let all = async {
            for done in waits {
                // A shard that is gone has nothing under way.
                let _shard_gone = done.await;
            }
            self.0.ctx.tasks.close();
            self.0.ctx.tasks.wait().await;
        };
        if tokio::time::timeout(STOP_WAIT, all).await.is_err() {
            tracing::error!(
                "exchanges were still under way after {} s; their intents tell the next start",
                STOP_WAIT.as_secs()
            );
        }
        self.flush_events().await;
    }

    fn tell(&self, session: &str, kind: &str, generation: Generation, text: String) {
        self.0.ctx.tell(EventRow {
            id: 0,
            at: clock::wall(),
            session: session.to_owned(),
            kind: kind.to_owned(),
            generation,
            text,
            failure: None,
            holder: self.0.ctx.store.holder().to_owned(),
        });
    }

    async fn flush_events(&self) {
        let (reply, flushed) = oneshot::channel();
        if self.0.ctx.events.send(Note::Flush(reply)).is_ok() {
            // The writer is gone only when its task was killed with the runtime.
            let _writer_gone = flushed.await;
        }
    }

    /// Reads the row, and waits until the session's snapshot tells of it.
    async fn take_up(&self, session: &Session) -> Result<(), Failure> {
        let taken_up = self
            .reload(session)
            .await
            .map_err(|error| error.failure())?;
        // A shard that is gone takes up nothing any more; the row is stored all the same.
        let _shard_gone = taken_up.await;
        Ok(())
    }

    /// Hands the row to the session's shard; the receiver tells when it was taken up.
    async fn reload(&self, session: &Session) -> Result<oneshot::Receiver<()>, StoreError> {
        let record = self
            .0
            .ctx
            .store
            .load(session.name())
            .await?
            .unwrap_or_else(|| rows::empty(session.name()));
        let shard = &session.0.shard;
        // A shard that is gone has no snapshot to update.
        let (reply, taken_up) = oneshot::channel();
        let _shard_gone = shard
            .send(Command::Row(Box::new(record), Some(reply)))
            .await;
        Ok(taken_up)
    }
}

/// The fact that remembers which generation the server revoked at a logout.
const REVOKED: &str = "revoked_generation";

/// Whether the logout that forgot the stored pair had the server revoke it.
fn revoked(record: &Record) -> bool {
    let generation = record.info.extra.get(REVOKED);
    generation.and_then(serde_json::Value::as_u64) == Some(record.generation.0)
        && record.unreadable.is_none()
}

fn policy(config: &SessionConfig, warm: bool) -> Policy {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Policy {
        keep: if warm { config.keep } else { Keep::Lazy },
        refresh_at: config.timing.refresh_at,
        backoff_min_ms: ms(config.timing.backoff_min),
        backoff_max_ms: ms(config.timing.backoff_max),
        spends: config.profile.rotation.spends(),
        retry_unknown: config.profile.retry_unknown,
        idle_ms: config
            .profile
            .lifetimes
            .refresh_idle_s
            .map(|seconds| seconds.saturating_mul(1_000)),
        self_login: config.client_credentials,
        second_try: warm,
    }
}

fn unknown(name: &str) -> Failure {
    use tenure_core::{Class, Code, Heal, Who};
    Failure::new(
        Code::InvalidRequest,
        Class::BadRequest,
        "unknown_session",
        Heal::FixConfig,
        Who::Operator,
        format!("there is no session {name} in the configuration"),
    )
    .with_rule("keeper.unknown_session")
}

/// Follows the store: what another process wrote reaches every session at once.
async fn follow(
    inner: std::sync::Weak<Inner>,
    mut changes: watch::Receiver<u64>,
    mut stopping: watch::Receiver<bool>,
) {
    let mut behind = false;
    loop {
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            _ = stopping.changed() => return,
            () = tokio::time::sleep(READ_AGAIN), if behind => {}
        }
        let Some(inner) = inner.upgrade() else { return };
        let keeper = Keeper(inner);
        behind = false;
        for session in keeper.sessions() {
            if let Err(error) = keeper.reload(&session).await {
                // What changed is not forgotten: it is read again until it could be.
                behind = true;
                tracing::warn!(session = %session.name(), %error, "a change of the store could not be read");
            }
        }
    }
}

async fn write_events(store: Arc<dyn Store>, mut notes: mpsc::UnboundedReceiver<Note>) {
    while let Some(note) = notes.recv().await {
        match note {
            Note::Row(row) => {
                // Every process sees a token or a session come to its end; whoever sees it first tells the store.
                let stored = match events::once(&row.kind) {
                    Some(once) => store.append_event_once(&row, once).await.map(drop),
                    None => store.append_event(&row).await.map(drop),
                };
                if let Err(error) = stored {
                    tracing::warn!(session = %row.session, kind = %row.kind, %error, "an event could not be stored");
                }
            }
            Note::Flush(reply) => {
                // Whoever asked may have gone.
                let _asker_gone = reply.send(());
            }
        }
    }
}
