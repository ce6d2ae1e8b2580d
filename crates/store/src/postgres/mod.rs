//! A session store on PostgreSQL, for any number of hosts (DESIGN §9).
//!
//! Every step is one statement, atomic by itself; leases end by the server's clock. Other hosts are told of changes by
//! `NOTIFY`, after the commit and for many changes at once, because a `NOTIFY` inside a transaction makes all commits of the
//! database wait for each other. Who misses a notification finds the change by a slow look at the count of changes.

mod address;
mod listen;
mod schema;
mod statements;

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{
    Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime,
};
use tenure_core::Secret;
use tokio::sync::{Notify, watch};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Config, Row};

pub use self::address::{config, named, place, tls};
use crate::error::StoreError;
use crate::shared::{Options, SharedStore};

/// Connections of one process. A step takes one for a round trip.
const CONNECTIONS: usize = 8;
/// How long a step may wait for a connection, and then for its answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens the store in this database, made if it is not there.
///
/// # Errors
/// [`StoreError::Unreachable`] when the server cannot be reached, [`StoreError::Unavailable`] when it lets nobody in with
/// this address; what the key's source says.
pub(crate) async fn open(
    address: &Secret,
    options: Options,
) -> Result<Arc<SharedStore>, StoreError> {
    let config = address::config(address, "tenure")?;
    if address::is_open(&config) {
        tracing::warn!(
            "the password for {} may travel in the open; add sslmode=require to the address",
            place(&config)
        );
    }
    let rows = Postgres::connect(&config).await?;
    SharedStore::over(Box::new(rows), options).await
}

/// The database, as [`crate::shared::rows::Rows`] asks it.
struct Postgres {
    place: String,
    pool: Pool,
    changes: watch::Sender<u64>,
    reconnects: watch::Receiver<u64>,
    /// Wakes whoever tells other hosts of changes.
    changed: Arc<Notify>,
    /// Ends the tasks when it is dropped.
    _alive: watch::Sender<()>,
}

/// The values of a statement.
type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Postgres {
    async fn connect(config: &Config) -> Result<Self, StoreError> {
        let place = place(config);
        let tls = tls(&place)?;
        let fast = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let manager = Manager::from_config(config.clone(), tls.clone(), fast);
        let pool = Pool::builder(manager)
            .max_size(CONNECTIONS)
            .wait_timeout(Some(PATIENCE))
            .create_timeout(Some(PATIENCE))
            .recycle_timeout(Some(PATIENCE))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| StoreError::Internal {
                path: place.clone().into(),
                detail: error.to_string(),
            })?;
        let changes = watch::channel(0).0;
        let (told_anew, reconnects) = watch::channel(0);
        let (alive, ended) = watch::channel(());
        let changed = Arc::new(Notify::new());
        let database = Self {
            place,
            pool,
            changes: changes.clone(),
            reconnects,
            changed: Arc::clone(&changed),
            _alive: alive,
        };
        database.migrate().await?;
        let listener = listen::Listener {
            config: config.clone(),
            tls,
            place: database.place.clone(),
            tell: changes,
            told_anew,
            changed,
        };
        tokio::spawn(listener.run(ended));
        Ok(database)
    }

    /// Brings the tables up to date, one process at a time.
    async fn migrate(&self) -> Result<(), StoreError> {
        let known = schema::MIGRATIONS.len();
        let mut client = self.client().await?;
        let work = async {
            let tx = client.transaction().await?;
            tx.execute(
                "SELECT pg_advisory_xact_lock($1)",
                &[&schema::MIGRATION_LOCK],
            )
            .await?;
            tx.batch_execute(schema::META).await?;
            let version = tx
                .query_opt(
                    "SELECT value FROM keeper_meta WHERE key = 'schema_version'",
                    &[],
                )
                .await?;
            let found: usize = version
                .and_then(|row| row.get::<_, String>(0).parse().ok())
                .unwrap_or(0);
            if found < known {
                for migration in &schema::MIGRATIONS[found..] {
                    tx.batch_execute(migration).await?;
                }
                let version = known.to_string();
                tx.execute(
                    "INSERT INTO keeper_meta (key, value) VALUES ('schema_version', $1) \
                     ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                    &[&version],
                )
                .await?;
            }
            tx.commit().await?;
            Ok::<_, tokio_postgres::Error>(found)
        };
        let found = tokio::time::timeout(4 * PATIENCE, work)
            .await
            .map_err(|_| self.silent())?
            .map_err(|error| named(&self.place, &error))?;
        if found > known {
            return Err(StoreError::ForeignVersion {
                path: self.place.clone().into(),
                found: i64::try_from(found).unwrap_or(i64::MAX),
                known: i64::try_from(known).unwrap_or(i64::MAX),
            });
        }
        Ok(())
    }

    async fn client(&self) -> Result<Object, StoreError> {
        self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => named(&self.place, &error),
            PoolError::Timeout(_) => self.silent(),
            other => StoreError::Internal {
                path: self.place.clone().into(),
                detail: other.to_string(),
            },
        })
    }

    fn silent(&self) -> StoreError {
        StoreError::Unreachable {
            path: self.place.clone().into(),
            detail: format!("no answer within {} s", PATIENCE.as_secs()),
        }
    }

    /// Runs a statement. It is run once more where the connection broke: each is a compare-and-swap, a deletion, or
    /// writes the same again, so that a first run whose answer got lost does no harm.
    async fn query(&self, sql: &'static str, values: Values<'_>) -> Result<Vec<Row>, StoreError> {
        let first = self.once(sql, values).await;
        match first {
            Err((StoreError::Unreachable { .. }, true)) => {
                self.once(sql, values).await.map_err(|(error, _)| error)
            }
            other => other.map_err(|(error, _)| error),
        }
    }

    /// One run; with an error, whether the connection had been open before.
    async fn once(
        &self,
        sql: &'static str,
        values: Values<'_>,
    ) -> Result<Vec<Row>, (StoreError, bool)> {
        let client = self.client().await.map_err(|error| (error, false))?;
        let run = async {
            let statement = client.prepare_cached(sql).await?;
            client.query(&statement, values).await
        };
        match tokio::time::timeout(PATIENCE, run).await {
            Ok(Ok(rows)) => Ok(rows),
            Ok(Err(error)) => {
                let broken = error.is_closed() || client.is_closed();
                Err((named(&self.place, &error), broken))
            }
            Err(_) => {
                // What a silent connection still answers is nobody's answer.
                drop(Object::take(client));
                Err((self.silent(), false))
            }
        }
    }

    /// Runs a statement that changes what other hosts want to know.
    async fn change(&self, sql: &'static str, values: Values<'_>) -> Result<Vec<Row>, StoreError> {
        let rows = self.query(sql, values).await?;
        self.tell();
        Ok(rows)
    }

    /// Something changed: tells this process at once, and other hosts by the listener.
    fn tell(&self) {
        self.changes.send_modify(|count| *count += 1);
        self.changed.notify_one();
    }
}
