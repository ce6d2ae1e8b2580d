//! What the machine asked for, carried out in tasks that no caller can cancel (I3).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tenure_core::session::{Input, IntentSeen, Outcome, SEND_WITHIN_MS, Sent, Trouble};
use tenure_core::{Failure, Fingerprint, Generation, TokenPair};
use tenure_store::{
    Claim, Info, Intent, Latch, Lease, Record, Store, StoreError, StoredLogin, Suspect,
};
use tokio::sync::mpsc;

use crate::clock;
use crate::config::SessionConfig;
use crate::context::Context;
use crate::exchange::{self, Ended, Spend};
use crate::failures;
use crate::pacing::News;
use crate::rows;
use crate::session::Shared;
use crate::shard::Command;

/// What a lease lives beyond the last moment an exchange may end: time to save the pair.
const SAVE_WITHIN_MS: u64 = 5_000;
const RENEW_EVERY: Duration = Duration::from_secs(4);
/// How soon a row that could not be read is read again.
const READ_AGAIN: Duration = Duration::from_secs(1);

pub(crate) enum Effect {
    Claim {
        /// Only to save a pair that could not be saved before.
        saving: bool,
    },
    WriteIntent(IntentSeen),
    Exchange {
        generation: Generation,
        unknown: bool,
    },
    Save {
        expect: Generation,
        pair: Option<TokenPair>,
    },
    SaveSpare(Option<TokenPair>),
    LookAgain,
    Latch(Failure),
    Note(Generation, Option<Trouble>),
    ClearIntent(Generation),
    Release,
    /// Read the row and treat it as changed.
    Reload,
}

/// Effects of one session, in order, with what they need.
pub(crate) struct Batch {
    pub(crate) effects: VecDeque<Effect>,
    pub(crate) lease: Option<Lease>,
    pub(crate) pair: Option<TokenPair>,
    pub(crate) login: Option<StoredLogin>,
    pub(crate) info: Info,
    pub(crate) suspect: Option<Suspect>,
    pub(crate) fingerprint: Option<Fingerprint>,
    pub(crate) shared: Arc<Shared>,
}

/// The end of one effect.
pub(crate) struct Done {
    pub(crate) result: Yield,
    /// The batch is over.
    pub(crate) last: bool,
}

/// What an effect yields.
#[expect(
    clippy::large_enum_variant,
    reason = "made once per effect and taken apart at once"
)]
pub(crate) enum Yield {
    Nothing,
    Input(Input),
    Granted(Lease, Box<Record>),
    Exchanged(Ended),
    Moved(Box<Record>),
    Looked(Option<Box<Record>>),
}

/// Runs a batch to its end and posts each result to the shard.
pub(crate) async fn run(
    ctx: Arc<Context>,
    mut batch: Batch,
    index: usize,
    tx: mpsc::Sender<(usize, Command)>,
) {
    while let Some(effect) = batch.effects.pop_front() {
        let result = one(&ctx, &batch, effect, index, &tx).await;
        let last = batch.effects.is_empty();
        let done = Box::new(Done { result, last });
        if tx.send((index, Command::Done(done))).await.is_err() {
            tracing::warn!(session = %batch.shared.config.name, "the shard ended before its effects");
            return;
        }
    }
}

async fn one(
    ctx: &Context,
    batch: &Batch,
    effect: Effect,
    index: usize,
    tx: &mpsc::Sender<(usize, Command)>,
) -> Yield {
    let name = &batch.shared.config.name;
    match effect {
        Effect::Claim { saving } => claim(ctx, batch, saving).await,
        Effect::WriteIntent(intent) => input(
            write_intent(ctx, batch, intent).await,
            Input::IntentWritten,
            Input::IntentFailed,
        ),
        Effect::Exchange {
            generation,
            unknown,
        } => exchange(ctx, batch, generation, unknown).await,
        Effect::Save { expect, pair } => save(ctx, batch, expect, pair).await,
        Effect::SaveSpare(pair) => {
            if let Some(pair) = pair
                && let Err(error) = ctx.store.save_spare(name, &pair).await
            {
                tracing::error!(session = %name, %error, "the new tokens are in memory only: the spare slot failed, too");
            }
            Yield::Nothing
        }
        Effect::LookAgain => match load(ctx, name).await {
            Ok(record) => Yield::Looked(Some(Box::new(record))),
            Err(error) => {
                tracing::warn!(session = %name, %error, "the row could not be read again");
                Yield::Looked(None)
            }
        },
        Effect::Latch(failure) => latch(ctx, batch, failure).await,
        Effect::Note(generation, trouble) => {
            note(ctx, name, generation, trouble).await;
            Yield::Nothing
        }
        Effect::ClearIntent(generation) => {
            if let Some(lease) = &batch.lease
                && let Err(error) = ctx.store.clear_intent(lease, generation).await
                && !error.is_conflict()
            {
                // Harmless: the next exchange counts as a retry of unknown outcome.
                tracing::warn!(session = %name, %error, "the intent could not be cleared");
            }
            Yield::Nothing
        }
        Effect::Release => {
            if let Some(lease) = &batch.lease
                && let Err(error) = ctx.store.release(lease).await
                && !error.is_conflict()
            {
                tracing::warn!(session = %name, %error, "the lease could not be given back; it runs out by itself");
            }
            Yield::Nothing
        }
        Effect::Reload => {
            // Detached: later effects of the session do not wait for a store that cannot be read.
            tokio::spawn(reload(
                Arc::clone(&ctx.store),
                name.clone(),
                index,
                tx.clone(),
            ));
            Yield::Nothing
        }
    }
}

/// Reads a row until it can be read, or nobody wants it any more.
async fn reload(
    store: Arc<dyn Store>,
    name: String,
    index: usize,
    tx: mpsc::Sender<(usize, Command)>,
) {
    while !tx.is_closed() {
        match store.load(&name).await {
            Ok(record) => {
                let record = Box::new(record.unwrap_or_else(|| rows::empty(&name)));
                // The shard is gone only when the keeper is.
                let _shard_gone = tx.send((index, Command::Row(record, None))).await;
                return;
            }
            Err(error) => tracing::warn!(session = %name, %error, "the row could not be read"),
        }
        tokio::time::sleep(READ_AGAIN).await;
    }
}

fn input(result: Result<(), StoreError>, good: Input, bad: fn(Failure) -> Input) -> Yield {
    Yield::Input(match result {
        Ok(()) => good,
        Err(error) => bad(error.failure()),
    })
}

async fn load(ctx: &Context, name: &str) -> Result<Record, StoreError> {
    Ok(ctx
        .store
        .load(name)
        .await?
        .unwrap_or_else(|| rows::empty(name)))
}

async fn note(ctx: &Context, name: &str, generation: Generation, trouble: Option<Trouble>) {
    let trouble = trouble.map(|trouble| tenure_store::Trouble {
        failures: trouble.failures,
        wait_ms: trouble.not_before.since(clock::mono()),
        refused: trouble.refused,
        failure: trouble.failure,
    });
    if let Err(error) = ctx.store.note(name, generation, trouble.as_ref()).await
        && !error.is_conflict()
    {
        // Advice that is not heard costs the others a request of their own.
        tracing::warn!(session = %name, %error, "what troubles the session could not be told");
    }
}

/// The lease's life: it outlives the exchange's hard deadline, whenever within its time the exchange is sent,
/// even if the store cannot be reached for a renewal meanwhile (I1). It is renewed while the exchange runs, and
/// a dead holder on the same host frees it at once.
fn lease_ms(config: &SessionConfig) -> u64 {
    let exchange = u64::try_from(config.timing.exchange_timeout.as_millis()).unwrap_or(u64::MAX);
    exchange.saturating_add(SEND_WITHIN_MS + SAVE_WITHIN_MS)
}

async fn claim(ctx: &Context, batch: &Batch, saving: bool) -> Yield {
    let config = &batch.shared.config;
    let endpoint = &config.endpoints.known().token_endpoint;
    if !saving {
        // What other processes met counts, too. A store that cannot be read says so at the claim.
        if let Ok(pace) = ctx.store.pace(endpoint.as_str()).await {
            ctx.pacer.learn(endpoint, clock::mono(), pace);
        }
        if let Err(until) = ctx.pacer.gate(endpoint, clock::mono()) {
            return Yield::Input(Input::Paced {
                until,
                failure: exchange::paced(ctx, endpoint),
            });
        }
    }
    match ctx.store.claim(&config.name, lease_ms(config)).await {
        Ok(Claim::Granted(lease, record)) => Yield::Granted(lease, Box::new(record)),
        Ok(Claim::Held { for_ms, .. }) => Yield::Input(Input::LeaseHeld { for_ms }),
        Err(error) => Yield::Input(Input::LeaseFailed(error.failure())),
    }
}

async fn write_intent(ctx: &Context, batch: &Batch, intent: IntentSeen) -> Result<(), StoreError> {
    let Some(lease) = &batch.lease else {
        return Err(StoreError::Fenced);
    };
    if intent.attempts > 1 {
        // The first attempt may have used up most of the lease.
        ctx.store
            .renew(lease, lease_ms(&batch.shared.config))
            .await?;
    }
    let intent = Intent {
        generation: intent.generation,
        sent_wall: clock::wall(),
        attempts: intent.attempts,
        holder: ctx.store.holder().to_owned(),
    };
    ctx.store.write_intent(lease, &intent).await
}

async fn exchange(ctx: &Context, batch: &Batch, generation: Generation, unknown: bool) -> Yield {
    if let Some(pair) = batch
        .pair
        .as_ref()
        .filter(|pair| pair.generation != generation)
    {
        let failure =
            failures::wrong_generation(&batch.shared.config.name, generation, pair.generation);
        let outcome = Outcome::Passing {
            failure,
            retry_after_ms: None,
            sent: Sent::No,
        };
        return Yield::Exchanged(Ended {
            outcome,
            pair: None,
        });
    }
    let spend = Spend {
        pair: batch.pair.clone(),
        login: batch.login.clone(),
        generation,
        unknown,
        imported: batch.suspect == Some(Suspect::Imported),
        learned_s: batch.info.learned_s,
    };
    let run = exchange::run(ctx, &batch.shared.config, spend);
    tokio::pin!(run);
    let mut renew =
        tokio::time::interval_at(tokio::time::Instant::now() + RENEW_EVERY, RENEW_EVERY);
    loop {
        tokio::select! {
            ended = &mut run => {
                tell_pace(ctx, &batch.shared.config);
                return Yield::Exchanged(ended);
            }
            _ = renew.tick() => {
                if let Some(lease) = &batch.lease
                    && let Err(error) = ctx.store.renew(lease, lease_ms(&batch.shared.config)).await
                {
                    // The exchange is under way and cannot be called back; the save will find out (fencing).
                    tracing::warn!(session = %batch.shared.config.name, %error, "the lease could not be renewed");
                }
            }
        }
    }
}

/// Tells the other processes how the endpoint is. Nobody waits for it, but a stop does.
fn tell_pace(ctx: &Context, config: &SessionConfig) {
    let endpoint = config.endpoints.known().token_endpoint.clone();
    let Some(News(pace)) = ctx.pacer.to_tell(&endpoint, clock::mono()) else {
        return;
    };
    let store = Arc::clone(&ctx.store);
    ctx.tasks.spawn(async move {
        if let Err(error) = store.set_pace(endpoint.as_str(), pace).await {
            tracing::warn!(%endpoint, %error, "how the endpoint is could not be told to other processes");
        }
    });
}

async fn save(ctx: &Context, batch: &Batch, expect: Generation, pair: Option<TokenPair>) -> Yield {
    let name = &batch.shared.config.name;
    let (Some(lease), Some(pair)) = (&batch.lease, pair) else {
        return moved(ctx, name).await;
    };
    let mut info = batch.info.clone();
    info.last_refresh = Some(clock::wall());
    info.provider = Some(batch.shared.config.profile.name.clone());
    let planned = tenure_store::fault::point(&ctx.fault, "keeper.save.before");
    let saved = match planned {
        Ok(()) => ctx.store.commit(lease, expect, &pair, &info).await,
        Err(error) => Err(error),
    };
    match saved {
        Ok(()) => match tenure_store::fault::point(&ctx.fault, "keeper.save.after") {
            Ok(()) => Yield::Input(Input::Saved),
            Err(error) => Yield::Input(Input::SaveFailed(error.failure())),
        },
        Err(error) if error.is_conflict() => moved(ctx, name).await,
        Err(error) => Yield::Input(Input::SaveFailed(error.failure())),
    }
}

async fn moved(ctx: &Context, name: &str) -> Yield {
    match load(ctx, name).await {
        Ok(record) => Yield::Moved(Box::new(record)),
        Err(error) => Yield::Input(Input::SaveFailed(error.failure())),
    }
}

async fn latch(ctx: &Context, batch: &Batch, failure: Failure) -> Yield {
    let name = &batch.shared.config.name;
    let latch = batch.fingerprint.map(|fingerprint| Latch {
        fingerprint,
        failure,
        at: clock::wall(),
    });
    if let (Some(lease), Some(latch)) = (&batch.lease, latch) {
        let expect = batch
            .pair
            .as_ref()
            .map_or(Generation(0), |pair| pair.generation);
        if let Err(error) = ctx.store.latch(lease, expect, &latch).await {
            // Remembered in this process all the same; another process would ask the server once more.
            tracing::warn!(session = %name, %error, "the refusal could not be stored");
        }
    }
    Yield::Input(Input::Latched)
}

#[cfg(test)]
mod tests {
    use arc_swap::ArcSwap;
    use tenure_lab::{FaultyIssuer, IssuerConfig};
    use tokio::sync::{broadcast, watch};
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::config::{Endpoints, SessionConfig, Timing};
    use crate::login::{self, Import};
    use crate::shard::ShardSender;

    fn config(issuer: &FaultyIssuer) -> SessionConfig {
        let profile = tenure_diagnose::profile("oauth2").expect("shipped").clone();
        let token_endpoint = issuer.token_endpoint().parse().expect("a URL");
        let server = tenure_wire::Server::new(profile.wire_dialect(), token_endpoint);
        SessionConfig {
            blocked: None,
            name: "shop".to_owned(),
            profile: Arc::new(profile),
            endpoints: Endpoints::Known(Box::new(server)),
            client: tenure_wire::Client::public("till-7"),
            scopes: Vec::new(),
            upstream: None,
            keep: tenure_core::session::Keep::Lazy,
            client_credentials: false,
            trust: None,
            timing: Timing::default(),
        }
    }

    #[tokio::test]
    async fn a_pair_of_another_generation_is_never_spent() {
        let issuer = FaultyIssuer::start(IssuerConfig::new());
        let config = config(&issuer);
        let import = login::import(&config, &issuer.issue().to_string()).expect("an import");
        let Import::Login(new) = import else {
            panic!("not a token response")
        };
        let dir = tenure_lab::temp_dir();
        let options = tenure_store::sqlite::Options::new(dir.path().join("tenure.db"));
        let store = tenure_store::sqlite::SqliteStore::open(options).expect("a store");
        let (events, _events) = mpsc::unbounded_channel();
        let ctx = Context {
            store: Arc::new(store),
            http: tenure_http::Client::new().expect("TLS"),
            fault: tenure_store::fault::FaultPlan::default(),
            boot: clock::boot_id(),
            clocks: crate::clocks::Clocks::default(),
            pacer: crate::pacing::Pacer::default(),
            servers: crate::servers::Servers::default(),
            tasks: TaskTracker::new(),
            events,
            live: broadcast::channel(1).0,
        };
        let (tx, _commands) = mpsc::channel(1);
        let batch = Batch {
            effects: VecDeque::new(),
            lease: None,
            pair: Some(TokenPair {
                generation: Generation(1),
                ..new.pair
            }),
            login: None,
            info: Info::default(),
            suspect: None,
            fingerprint: None,
            shared: Arc::new(Shared {
                config,
                snapshot: ArcSwap::from_pointee(crate::entry::blank()),
                version: watch::channel(0).0,
                logging_out: std::sync::atomic::AtomicBool::new(false),
                shard: ShardSender { tx, index: 0 },
            }),
        };
        let Yield::Exchanged(ended) = exchange(&ctx, &batch, Generation(2), false).await else {
            panic!("an exchange has an end")
        };
        let Outcome::Passing { failure, sent, .. } = ended.outcome else {
            panic!("nothing was asked")
        };
        assert_eq!((&*failure.cause, sent), ("generation_mismatch", Sent::No));
        assert!(issuer.exchanges().is_empty());
        // The one that is named is.
        let Yield::Exchanged(ended) = exchange(&ctx, &batch, Generation(1), false).await else {
            panic!("an exchange has an end")
        };
        assert!(matches!(ended.outcome, Outcome::Granted(_)));
        assert_eq!(issuer.exchanges().len(), 1);
    }
}
