//! A session store on Valkey or Redis, for any number of hosts (DESIGN §9).
//!
//! Every step is one script, which the server runs as a whole; leases end by the server's clock. All keys carry one hash
//! tag, so that a cluster keeps them together. Other hosts are told of changes by PUBLISH, and find what they missed by a
//! slow look at the count of changes.
//!
//! What the server acknowledges it may still lose: without an append-only file at a restart, and with replicas at a
//! fail-over. That is looked at when the store is opened ([`Options::require_durable`]).

mod listen;
mod steps;

use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, ErrorKind, FromRedisValue, IntoConnectionInfo, RedisError, Script};
use tenure_core::Secret;
use tokio::sync::watch;

use crate::error::StoreError;
use crate::shared::{Options, SharedStore};

/// How long a step may wait for its answer, and connecting may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// What the keys begin with; in braces, as a cluster wants it.
const TAG: &str = "{tenure}";
/// The newest schema known.
const SCHEMA: i64 = 1;

/// Opens the store on this server, made if it is not there.
///
/// # Errors
/// [`StoreError::Unreachable`] when the server cannot be reached, [`StoreError::Unavailable`] when it lets nobody in with
/// this address, or loses what it acknowledges and `require_durable` is set; what the key's source says.
pub(crate) async fn open(
    address: &Secret,
    options: Options,
) -> Result<Arc<SharedStore>, StoreError> {
    let rows = Valkey::connect(address).await?;
    if let Some(risk) = rows.risk().await? {
        if options.require_durable {
            return Err(StoreError::Unavailable {
                path: rows.place.clone().into(),
                detail: format!("{risk}, and `require_durable` is set"),
            });
        }
        tracing::warn!(
            "the store {}: {risk}. A refresh token that rotated is lost with it, and somebody has to log in again",
            rows.place
        );
    }
    SharedStore::over(Box::new(rows), options).await
}

/// The server, as [`crate::shared::rows::Rows`] asks it.
struct Valkey {
    place: String,
    connection: ConnectionManager,
    script: Script,
    changes: watch::Sender<u64>,
    reconnects: watch::Receiver<u64>,
    /// Ends the listener when it is dropped.
    _alive: watch::Sender<()>,
}

impl Valkey {
    async fn connect(address: &Secret) -> Result<Self, StoreError> {
        let info = address
            .expose()
            .trim()
            .into_connection_info()
            .map_err(|_| StoreError::Unavailable {
                path: "valkey".into(),
                detail: "the address is none of a Valkey or Redis server; write valkey://USER:PASSWORD@HOST:PORT/NUMBER, \
                         or valkeys:// for TLS"
                    .to_owned(),
            })?;
        let place = format!("valkey://{}/{}", info.addr(), info.redis_settings().db());
        let client = Client::open(info).map_err(|error| named(&place, &error))?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE))
            .set_number_of_retries(1)
            .set_max_delay(Duration::from_millis(200));
        let connection = tokio::time::timeout(
            2 * PATIENCE,
            ConnectionManager::new_with_config(client.clone(), config),
        )
        .await
        .map_err(|_| silent(&place))?
        .map_err(|error| named(&place, &error))?;
        let changes = watch::channel(0).0;
        let (told_anew, reconnects) = watch::channel(0);
        let (alive, ended) = watch::channel(());
        let server = Self {
            place,
            connection: connection.clone(),
            script: Script::new(include_str!("steps.lua")),
            changes: changes.clone(),
            reconnects,
            _alive: alive,
        };
        let found: i64 = server.run(server.step("schema", "").arg(SCHEMA)).await?;
        if found > SCHEMA {
            return Err(StoreError::ForeignVersion {
                path: server.place.clone().into(),
                found,
                known: SCHEMA,
            });
        }
        let listener = listen::Listener {
            client,
            connection,
            place: server.place.clone(),
            tell: changes,
            told_anew,
        };
        tokio::spawn(listener.run(ended));
        Ok(server)
    }

    /// How the server may lose what it acknowledged, if it may.
    async fn risk(&self) -> Result<Option<String>, StoreError> {
        let mut connection = self.connection.clone();
        let info: String = redis::cmd("INFO")
            .query_async(&mut connection)
            .await
            .map_err(|error| named(&self.place, &error))?;
        let says = |key: &str| {
            info.lines()
                .find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(':'))
        };
        if says("aof_enabled") != Some("1") {
            return Ok(Some(
                "the server keeps no append-only file, and forgets at a restart what came after its last snapshot \
                 (set `appendonly yes` and `appendfsync always`)"
                    .to_owned(),
            ));
        }
        if says("maxmemory_policy").is_some_and(|policy| policy != "noeviction") {
            return Ok(Some(
                "the server throws keys away when its memory is full (set `maxmemory-policy noeviction`)"
                    .to_owned(),
            ));
        }
        // Some servers let nobody ask: then the append-only file has to do.
        let fsync: Result<Vec<String>, RedisError> = redis::cmd("CONFIG")
            .arg("GET")
            .arg("appendfsync")
            .query_async(&mut connection)
            .await;
        Ok(match fsync.ok().and_then(|pair| pair.into_iter().nth(1)) {
            Some(policy) if policy != "always" => Some(format!(
                "the server may forget up to a second of what it acknowledged when its machine fails (`appendfsync {policy}`; \
                 `always` forgets nothing)"
            )),
            _ => None,
        })
    }

    /// One run of a script. It is run once more where the connection broke: each step is a compare-and-swap, a deletion,
    /// or writes the same again, so that a first run whose answer got lost does no harm.
    async fn run<T: FromRedisValue>(
        &self,
        step: &redis::ScriptInvocation<'_>,
    ) -> Result<T, StoreError> {
        let mut connection = self.connection.clone();
        let first = tokio::time::timeout(2 * PATIENCE, step.invoke_async(&mut connection)).await;
        let done = match first {
            Ok(Err(error)) if error.is_connection_dropped() || error.is_io_error() => {
                tokio::time::timeout(2 * PATIENCE, step.invoke_async(&mut connection)).await
            }
            other => other,
        };
        done.map_err(|_| silent(&self.place))?
            .map_err(|error| named(&self.place, &error))
    }

    /// The same for a step that changes what this process wants to know at once.
    async fn change<T: FromRedisValue>(
        &self,
        step: &redis::ScriptInvocation<'_>,
    ) -> Result<T, StoreError> {
        let done = self.run(step).await?;
        self.changes.send_modify(|count| *count += 1);
        Ok(done)
    }
}

fn silent(place: &str) -> StoreError {
    StoreError::Unreachable {
        path: place.into(),
        detail: format!("no answer within {} s", PATIENCE.as_secs()),
    }
}

/// Names what the server, or the way to it, reported. Never a step's values.
fn named(place: &str, error: &RedisError) -> StoreError {
    let path = place.into();
    let detail = error.to_string();
    if error.is_io_error() || error.is_connection_dropped() || error.is_timeout() {
        return StoreError::Unreachable { path, detail };
    }
    match (error.code(), error.kind()) {
        (Some("READONLY"), _) => StoreError::ReadOnly { path, detail },
        (Some("OOM"), _) => StoreError::Full { path, detail },
        // It loads its data, has no master, is stopped, or cannot write its disk.
        (Some("LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "BUSY" | "MISCONF"), _) => {
            StoreError::Unreachable { path, detail }
        }
        (Some("NOAUTH" | "WRONGPASS" | "NOPERM"), _) | (_, ErrorKind::AuthenticationFailed) => {
            StoreError::Unavailable { path, detail }
        }
        (_, ErrorKind::InvalidClientConfig) => StoreError::Unavailable { path, detail },
        _ => StoreError::Internal { path, detail },
    }
}
