//! PostgreSQL: a few connections with a thread each, and one for refreshes, which it does in groups.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use ::postgres::error::SqlState;
use ::postgres::{Client, Config, Statement, Transaction};
use tenure_core::Secret;
use tenure_store::{StoreError, postgres};
use tokio::sync::oneshot;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::group::{self, Waiting};
use super::{Row, SqlError, SqlResult, Tx, Value};
use crate::families::{Ask, Refreshed};
use crate::schema;

/// Connections for everything but refreshes.
const WORKERS: usize = 4;
/// Connections for refreshes: while one waits for its flush, the next group is read and decided on another.
const REFRESHERS: usize = 3;
/// How often a transaction is tried when the database says that another one was in its way.
const TRIES: u32 = 8;
/// The advisory lock under which tables are made and changed: "tISS".
const MIGRATION_LOCK: i64 = 0x7449_5353;
/// The advisory lock of those who write changes: "tISC".
const CHANGES_LOCK: i64 = 0x7449_5343;

/// A database on a PostgreSQL server. Clones share it.
#[derive(Clone)]
pub(crate) struct Postgres(Arc<Inner>);

struct Inner {
    place: String,
    jobs: Mutex<Sender<Box<dyn Job>>>,
    refreshes: Mutex<Sender<Waiting>>,
}

/// One transaction on its way through a worker.
trait Job: Send {
    fn run(self: Box<Self>, conn: &mut Conn);
}

struct Closure<T, F> {
    f: F,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Closure<T, F>
where
    T: Send,
    F: Fn(&mut dyn Tx) -> SqlResult<T> + Send,
{
    fn run(self: Box<Self>, conn: &mut Conn) {
        let result = catch_unwind(AssertUnwindSafe(|| conn.transact(&self.f)));
        // Nobody listens when the caller was dropped; what was done stands all the same.
        drop(self.reply.send(result.unwrap_or_else(|_| {
            Err(StoreError::Internal {
                path: conn.place.clone().into(),
                detail: "a database operation panicked".to_owned(),
            })
        })));
    }
}

impl Postgres {
    /// Connects, and brings the tables up to date. Blocks.
    pub(crate) fn open(url: &Secret) -> Result<Self, StoreError> {
        let config = postgres::config(url, "tenure-issuer")?;
        let place = postgres::place(&config);
        let config = Config::from(config);
        let mut first = Conn::new(config.clone(), place.clone())?;
        first.migrate()?;
        let (jobs, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        for at in 0..WORKERS {
            let conn = Conn::new(config.clone(), place.clone())?;
            let queue = Arc::clone(&queue);
            start(format!("issuer-db-{at}"), &place, move || {
                work(conn, &queue);
            })?;
        }
        let (refreshes, waiting) = channel();
        let waiting = Arc::new(Mutex::new(waiting));
        let mut conn = Some(first);
        for at in 0..REFRESHERS {
            let conn = match conn.take() {
                Some(first) => first,
                None => Conn::new(config.clone(), place.clone())?,
            };
            let waiting = Arc::clone(&waiting);
            start(format!("issuer-refresh-{at}"), &place, move || {
                group::run(conn, &waiting);
            })?;
        }
        Ok(Self(Arc::new(Inner {
            place,
            jobs: Mutex::new(jobs),
            refreshes: Mutex::new(refreshes),
        })))
    }

    /// Runs a transaction; when this returns, what it did is durable.
    pub(crate) async fn transact<T, F>(&self, f: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&mut dyn Tx) -> SqlResult<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Closure { f, reply });
        let sent = self
            .0
            .jobs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .send(job);
        if sent.is_err() {
            return Err(gone(&self.0.place));
        }
        answer.await.unwrap_or_else(|_| Err(gone(&self.0.place)))
    }

    /// Applies the rotation rule to one presented token.
    pub(crate) async fn refresh(&self, ask: Ask) -> Result<Refreshed, StoreError> {
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting { ask, reply };
        let sent = self
            .0
            .refreshes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .send(waiting);
        if sent.is_err() {
            return Err(gone(&self.0.place));
        }
        answer.await.unwrap_or_else(|_| Err(gone(&self.0.place)))
    }
}

fn start(name: String, place: &str, run: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
    // The thread ends when the last clone of the database is dropped and its queue with it.
    std::thread::Builder::new()
        .name(name)
        .spawn(run)
        .map(drop)
        .map_err(|error| StoreError::Unavailable {
            path: place.into(),
            detail: format!("starting a thread: {error}"),
        })
}

fn work(mut conn: Conn, queue: &Mutex<Receiver<Box<dyn Job>>>) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match next {
            Ok(job) => job.run(&mut conn),
            Err(_) => return,
        }
    }
}

fn gone(place: &str) -> StoreError {
    StoreError::Internal {
        path: place.into(),
        detail: "its worker has ended".to_owned(),
    }
}

/// One connection, made anew when it breaks.
pub(super) struct Conn {
    config: Config,
    place: String,
    tls: MakeRustlsConnect,
    live: Option<Live>,
}

struct Live {
    client: Client,
    statements: HashMap<String, Statement>,
}

impl Conn {
    fn new(config: Config, place: String) -> Result<Self, StoreError> {
        let tls = postgres::tls(&place)?;
        Ok(Self {
            config,
            place,
            tls,
            live: None,
        })
    }

    fn live(&mut self) -> Result<&mut Live, StoreError> {
        if self
            .live
            .as_ref()
            .is_none_or(|live| live.client.is_closed())
        {
            self.live = None;
            let client = self
                .config
                .connect(self.tls.clone())
                .map_err(|error| failed(&self.place, &SqlError::Postgres(error)))?;
            self.live = Some(Live {
                client,
                statements: HashMap::new(),
            });
        }
        self.live.as_mut().ok_or_else(|| gone(&self.place))
    }

    /// Runs a transaction. It is run again when another one was in its way, or when the connection turns out to
    /// be broken before anything could be committed; an answer of COMMIT that got lost is an error, for nobody
    /// knows what became of it.
    pub(super) fn transact<T>(
        &mut self,
        f: &dyn Fn(&mut dyn Tx) -> SqlResult<T>,
    ) -> Result<T, StoreError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.once(f)? {
                Ok(value) => return Ok(value),
                Err(Again(error)) if tries >= TRIES => return Err(error),
                Err(Again(_)) => {}
            }
        }
    }

    fn once<T>(
        &mut self,
        f: &dyn Fn(&mut dyn Tx) -> SqlResult<T>,
    ) -> Result<Result<T, Again>, StoreError> {
        self.live()?;
        let (place, Some(live)) = (&self.place, &mut self.live) else {
            return Err(gone(&self.place));
        };
        let mut tx = match live.client.transaction() {
            Ok(tx) => tx,
            Err(error) => return broken(place, &error.into()),
        };
        let done = f(&mut PostgresTx {
            tx: &mut tx,
            statements: &mut live.statements,
        });
        match done {
            Ok(value) => match tx.commit() {
                Ok(()) => Ok(Ok(value)),
                Err(error) if in_the_way(&error) => broken(place, &error.into()),
                Err(error) => Err(failed(place, &error.into())),
            },
            Err(error) => {
                // When this fails too the connection is gone, and the server rolls back by itself.
                drop(tx.rollback());
                broken(place, &error)
            }
        }
    }

    /// Makes the tables, or those that are missing; many issuers may start at once.
    fn migrate(&mut self) -> Result<(), StoreError> {
        let found = self.transact(&|tx| {
            tx.query(
                "SELECT pg_advisory_xact_lock(?1)::text",
                &[Value::Int(MIGRATION_LOCK)],
            )?;
            tx.execute(
                "CREATE TABLE IF NOT EXISTS issuer_schema (version BIGINT NOT NULL)",
                &[],
            )?;
            let found: u64 = if let Some(row) = tx.row("SELECT version FROM issuer_schema", &[])? {
                row.get(0)?
            } else {
                tx.execute("INSERT INTO issuer_schema (version) VALUES (0)", &[])?;
                0
            };
            let from = usize::try_from(found).unwrap_or(usize::MAX);
            for migration in schema::POSTGRES.iter().skip(from) {
                for statement in migration.split(';').filter(|text| !text.trim().is_empty()) {
                    tx.execute(statement, &[])?;
                }
            }
            let known = schema::POSTGRES.len() as u64;
            if found < known {
                tx.execute(
                    "UPDATE issuer_schema SET version = ?1",
                    &[Value::from(known)],
                )?;
            }
            Ok(found)
        })?;
        let known = schema::POSTGRES.len();
        if found > known as u64 {
            return Err(StoreError::ForeignVersion {
                path: self.place.clone().into(),
                found: i64::try_from(found).unwrap_or(i64::MAX),
                known: i64::try_from(known).unwrap_or(i64::MAX),
            });
        }
        Ok(())
    }
}

/// Nothing was committed, and the same may work when it is tried again.
struct Again(StoreError);

/// Nothing was committed: whether it is worth another try.
fn broken<T>(place: &str, error: &SqlError) -> Result<Result<T, Again>, StoreError> {
    let again = match error {
        SqlError::Postgres(error) => {
            in_the_way(error) || error.is_closed() || connection_lost(error)
        }
        SqlError::Moved => true,
        _ => false,
    };
    let failed = failed(place, error);
    if again {
        Ok(Err(Again(failed)))
    } else {
        Err(failed)
    }
}

fn failed(place: &str, error: &SqlError) -> StoreError {
    match error {
        SqlError::Postgres(error) => postgres::named(place, error),
        other => StoreError::Internal {
            path: place.into(),
            detail: other.to_string(),
        },
    }
}

fn in_the_way(error: &::postgres::Error) -> bool {
    error.code().is_some_and(|code| {
        *code == SqlState::T_R_SERIALIZATION_FAILURE || *code == SqlState::T_R_DEADLOCK_DETECTED
    })
}

/// The server stopped, or ended this connection.
fn connection_lost(error: &::postgres::Error) -> bool {
    error
        .code()
        .is_some_and(|code| *code == SqlState::ADMIN_SHUTDOWN || *code == SqlState::CRASH_SHUTDOWN)
}

struct PostgresTx<'a, 'b> {
    tx: &'a mut Transaction<'b>,
    statements: &'a mut HashMap<String, Statement>,
}

impl PostgresTx<'_, '_> {
    fn statement(&mut self, sql: &str) -> SqlResult<Statement> {
        if let Some(known) = self.statements.get(sql) {
            return Ok(known.clone());
        }
        let statement = self.tx.prepare(&sql.replace('?', "$"))?;
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

fn dynamic(values: &[Value]) -> Vec<&(dyn ::postgres::types::ToSql + Sync)> {
    values
        .iter()
        .map(|value| value as &(dyn ::postgres::types::ToSql + Sync))
        .collect()
}

impl Tx for PostgresTx<'_, '_> {
    fn in_turn(&mut self) -> SqlResult<()> {
        self.query(
            "SELECT pg_advisory_xact_lock(?1)::text",
            &[Value::Int(CHANGES_LOCK)],
        )
        .map(drop)
    }

    fn execute(&mut self, sql: &str, values: &[Value]) -> SqlResult<usize> {
        let statement = self.statement(sql)?;
        let changed = self.tx.execute(&statement, &dynamic(values))?;
        Ok(usize::try_from(changed).unwrap_or(usize::MAX))
    }

    fn query(&mut self, sql: &str, values: &[Value]) -> SqlResult<Vec<Row>> {
        let statement = self.statement(sql)?;
        self.tx
            .query(&statement, &dynamic(values))?
            .iter()
            .map(Row::from_postgres)
            .collect()
    }
}

impl Conn {
    /// Runs one statement by itself, with lists as values. Where it only reads (`reads`), a connection that turns out
    /// to be gone is made anew; elsewhere one that breaks under the statement leaves open whether it took effect.
    pub(super) fn statement<T>(
        &mut self,
        sql: &str,
        reads: bool,
        run: impl Fn(&mut Client, &Statement) -> Result<T, ::postgres::Error>,
    ) -> Result<T, StoreError> {
        let mut last = false;
        loop {
            let live = self.live()?;
            let known = match live.statements.get(sql) {
                Some(known) => Ok(known.clone()),
                None => live.client.prepare(sql),
            };
            let prepared = known.is_ok();
            let done = known.and_then(|statement| {
                live.statements.insert(sql.to_owned(), statement.clone());
                run(&mut live.client, &statement)
            });
            match done {
                Ok(done) => return Ok(done),
                // What was not even prepared had no effect.
                Err(error)
                    if !last
                        && (reads || !prepared)
                        && (error.is_closed() || connection_lost(&error)) =>
                {
                    self.live = None;
                    last = true;
                }
                Err(error) => return Err(failed(&self.place, &error.into())),
            }
        }
    }
}
