//! The issuer's database: the same statements in SQLite (one file) and in PostgreSQL (any number of issuers).
//!
//! Statements are written with `?1` for their values. A transaction is a closure over [`Tx`]; it may be run again
//! when the database asks for it, so it must have no effect but its statements.

mod group;
mod postgres;
mod row;

use rusqlite::Connection;
use tenure_store::StoreError;
use tenure_store::sqlite;

pub(crate) use self::postgres::Postgres;
pub(crate) use self::row::{Row, Value, values};
use crate::families::{self, Ask, Refreshed};
use crate::options::Database;
use crate::schema;

/// What a statement can fail with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SqlError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Postgres(#[from] ::postgres::Error),
    #[error("column {column} of an answer holds {found}, not what this program stores there")]
    Column { column: usize, found: &'static str },
    #[error("a row changed between being read and being written")]
    Moved,
}

pub(crate) type SqlResult<T> = Result<T, SqlError>;

/// A transaction.
pub(crate) trait Tx {
    /// Runs a statement; how many rows it changed.
    fn execute(&mut self, sql: &str, values: &[Value]) -> SqlResult<usize>;
    /// Waits for its turn among those who write what others read in order, until the commit.
    fn in_turn(&mut self) -> SqlResult<()>;
    /// Runs a query.
    fn query(&mut self, sql: &str, values: &[Value]) -> SqlResult<Vec<Row>>;

    /// The first row, if there is one.
    fn row(&mut self, sql: &str, values: &[Value]) -> SqlResult<Option<Row>> {
        Ok(self.query(sql, values)?.into_iter().next())
    }

    /// Whether the query finds anything.
    fn any(&mut self, sql: &str, values: &[Value]) -> SqlResult<bool> {
        Ok(self.row(sql, values)?.is_some())
    }
}

/// The database. Clones share it.
#[derive(Clone)]
pub(crate) enum Db {
    Sqlite(sqlite::Db),
    Postgres(Postgres),
}

impl Db {
    /// Opens it and brings its tables up to date. Blocks.
    pub(crate) fn open(database: &Database) -> Result<Self, StoreError> {
        Ok(match database {
            Database::Sqlite(path) => Self::Sqlite(sqlite::Db::open(
                path,
                schema::SQLITE,
                schema::APPLICATION_ID,
            )?),
            Database::Postgres(url) => Self::Postgres(Postgres::open(url)?),
        })
    }

    /// Runs `f` in a transaction; when this returns, what it did is durable.
    pub(crate) async fn write<T, F>(&self, f: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&mut dyn Tx) -> SqlResult<T> + Send + 'static,
    {
        match self {
            Db::Sqlite(db) => {
                db.write(move |tx| f(&mut SqliteTx(tx)).map_err(to_sqlite))
                    .await
            }
            Db::Postgres(db) => db.transact(f).await,
        }
    }

    /// Runs `f`, which changes nothing.
    pub(crate) async fn read<T, F>(&self, f: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&mut dyn Tx) -> SqlResult<T> + Send + 'static,
    {
        match self {
            Db::Sqlite(db) => {
                db.read(move |conn| f(&mut SqliteTx(conn)).map_err(to_sqlite))
                    .await
            }
            Db::Postgres(db) => db.transact(f).await,
        }
    }

    /// Applies the rotation rule to one presented token. Refreshes that wait at the same time share one flush.
    pub(crate) async fn refresh(&self, ask: Ask) -> Result<Refreshed, StoreError> {
        match self {
            Db::Sqlite(_) => self.write(move |tx| families::refresh_in(tx, &ask)).await,
            Db::Postgres(db) => db.refresh(ask).await,
        }
    }
}

/// A connection of SQLite inside a transaction (or a reading one).
struct SqliteTx<'a>(&'a Connection);

/// SQLite has one writer, so nothing needs a lock of its own.
fn without_lock(sql: &str) -> &str {
    let sql = sql.strip_suffix(" SKIP LOCKED").unwrap_or(sql);
    sql.strip_suffix(" FOR UPDATE").unwrap_or(sql)
}

impl Tx for SqliteTx<'_> {
    fn in_turn(&mut self) -> SqlResult<()> {
        // There is one writer at a time.
        Ok(())
    }

    fn execute(&mut self, sql: &str, values: &[Value]) -> SqlResult<usize> {
        Ok(self
            .0
            .prepare_cached(sql)?
            .execute(rusqlite::params_from_iter(values))?)
    }

    fn query(&mut self, sql: &str, values: &[Value]) -> SqlResult<Vec<Row>> {
        let mut statement = self.0.prepare_cached(without_lock(sql))?;
        let columns = statement.column_count();
        let rows = statement.query_map(rusqlite::params_from_iter(values), |row| {
            (0..columns)
                .map(|at| Value::from_sqlite(row.get_ref(at)?))
                .collect::<rusqlite::Result<Vec<_>>>()
                .map(Row::new)
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

/// The store's writer speaks SQLite's errors only.
fn to_sqlite(error: SqlError) -> rusqlite::Error {
    match error {
        SqlError::Sqlite(error) => error,
        SqlError::Moved => rusqlite::Error::StatementChangedRows(0),
        other => rusqlite::Error::ToSqlConversionFailure(Box::new(other)),
    }
}
