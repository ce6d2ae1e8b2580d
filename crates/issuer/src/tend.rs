//! What an issuer does by itself: follows what other processes changed, tells clients of logouts, forgets what is over, turns keys over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinHandle;

use crate::changes::{self, Kind};
use crate::clients;
use crate::error::IssuerError;
use crate::issuer::Issuer;
use crate::keys::KeyState;

/// How soon a change made by another process is known here.
const FOLLOW_EVERY: Duration = Duration::from_millis(250);
/// How often what nobody needs any more is deleted.
const PRUNE_EVERY: Duration = Duration::from_hours(1);
/// How often it is looked whether a signing key is due.
const KEYS_EVERY: Duration = Duration::from_mins(1);
/// How often refused logins are written to the audit log.
const NOTE_EVERY: Duration = Duration::from_mins(1);

/// How often it is looked whether a client is to be told of a logout that another process ended or could not tell.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// How many verifiers may follow the revocations of one process at a time.
const FOLLOWERS: usize = 1_024;

/// The issuer, in the audit log.
pub(crate) const ITSELF: &str = "the issuer";

/// Who waits for what.
pub(crate) struct Tending {
    changed: Notify,
    closing: watch::Sender<bool>,
    /// The changes could not be read when they were last asked for: what others revoked since is not known here.
    behind: AtomicBool,
    /// Places for verifiers that follow the revocations.
    pub(crate) followers: Arc<Semaphore>,
}

impl Default for Tending {
    fn default() -> Self {
        Self {
            changed: Notify::new(),
            closing: watch::Sender::new(false),
            behind: AtomicBool::new(false),
            followers: Arc::new(Semaphore::new(FOLLOWERS)),
        }
    }
}

/// Until the issuer is told to close, or is gone.
pub(crate) async fn closed(closing: &mut watch::Receiver<bool>) {
    // An error says that nobody can tell any more.
    drop(closing.wait_for(|closing| *closing).await);
}

impl Issuer {
    /// Follows, tells clients of logouts, prunes and turns keys over until [`Issuer::close`]. Run it once in every process that serves.
    pub fn tend(self: &Arc<Self>) -> JoinHandle<()> {
        let issuer = Arc::clone(self);
        tokio::spawn(async move {
            let mut closing = issuer.closing();
            let mut prune = tokio::time::interval(PRUNE_EVERY);
            let mut keys = tokio::time::interval(KEYS_EVERY);
            let mut refusals = tokio::time::interval(NOTE_EVERY);
            let mut follow = tokio::time::interval(FOLLOW_EVERY);
            let mut tell = tokio::time::interval(TELL_EVERY);
            for timer in [&mut follow, &mut tell] {
                timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            }
            loop {
                let done = tokio::select! {
                    () = closed(&mut closing) => break,
                    () = issuer.tending.changed.notified() => issuer.catch_up_and_tell().await,
                    _ = follow.tick() => issuer.catch_up().await,
                    _ = tell.tick() => issuer.tell_logouts().await,
                    _ = prune.tick() => issuer.prune().await.map(drop),
                    _ = keys.tick() => issuer.turn_keys_over().await,
                    _ = refusals.tick() => issuer.note_refusals().await,
                };
                if let Err(error) = done {
                    // It is tried again with the next tick.
                    tracing::warn!(%error, "the issuer could not look after its database");
                }
            }
            if let Err(error) = issuer.note_refusals().await {
                tracing::warn!(%error, "the last refused logins are not in the audit log");
            }
        })
    }

    async fn catch_up_and_tell(self: &Arc<Self>) -> Result<(), IssuerError> {
        let done = self.catch_up().await;
        self.tell_logouts().await.and(done)
    }

    /// Ends [`Issuer::tend`] and the streams of those who follow revocations.
    pub fn close(&self) {
        self.tending.closing.send_replace(true);
    }

    pub(crate) fn closing(&self) -> watch::Receiver<bool> {
        self.tending.closing.subscribe()
    }

    /// Something changed here: whoever follows is told at once.
    pub(crate) fn nudge(&self) {
        self.tending.changed.notify_one();
    }

    /// Takes in what other processes changed: revocations, signing keys, clients, lifetimes.
    ///
    /// # Errors
    /// When the database fails; what was read by then is known.
    pub async fn catch_up(&self) -> Result<(), IssuerError> {
        let done = self.read_changes().await;
        self.tending.behind.store(done.is_err(), Ordering::Relaxed);
        done
    }

    /// Whether what others revoked may be unknown here: nobody who follows may believe that all is known.
    pub(crate) fn is_behind(&self) -> bool {
        self.tending.behind.load(Ordering::Relaxed)
    }

    async fn read_changes(&self) -> Result<(), IssuerError> {
        loop {
            let new = changes::after(&self.db, self.revocations.seq()).await?;
            if new.is_empty() {
                return Ok(());
            }
            let has = |kind| new.iter().any(|(_, change)| change.kind == kind);
            if has(Kind::Keys) {
                self.reload_keys().await?;
            }
            if has(Kind::Clients) {
                let registry = clients::load(&self.db).await?;
                *self.clients.write().unwrap_or_else(PoisonError::into_inner) = registry;
            }
            if has(Kind::Lifetimes) {
                self.reload_lifetimes().await?;
            }
            // Last, so that what could not be read again is tried again.
            self.revocations.follow(&new);
        }
    }

    /// Publishes a next key when the one that signs is old enough or of another algorithm than the settings say, and lets
    /// it sign once everybody must know it.
    ///
    /// # Errors
    /// When a key cannot be made or the database fails.
    pub async fn turn_keys_over(&self) -> Result<(), IssuerError> {
        let lifetime_s = self.options.key_lifetime_s;
        let infos = self.key_infos();
        let of = |state| infos.iter().find(|info| info.state == state);
        let age_ms = of(KeyState::Active).map_or(0, |key| self.now() - key.changed_ms);
        let other = of(KeyState::Active).is_some_and(|key| key.alg != self.options.signing_alg);
        if lifetime_s.is_none() && !other {
            // Somebody turns them over by hand.
            return Ok(());
        }
        if of(KeyState::Next).is_some() {
            match self.admin(ITSELF).promote_key().await {
                Err(IssuerError::TooEarly { .. }) => return Ok(()),
                done => return done,
            }
        }
        let old = lifetime_s
            .is_some_and(|life| u64::try_from(age_ms).unwrap_or(0) >= life.saturating_mul(1000));
        if old || other {
            self.admin(ITSELF).rotate_key().await?;
        }
        Ok(())
    }
}
