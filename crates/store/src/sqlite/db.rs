//! One SQLite file: a writer thread that commits in groups, readers beside it, migrations, and a watch on
//! what other processes write.

use std::fs::File;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use tokio::sync::{oneshot, watch};

use super::BUSY_MS;
use crate::error::StoreError;
use crate::files;

/// How often other processes' writes are looked for.
const WATCH: Duration = Duration::from_millis(100);
/// How many writes share one commit at most.
const GROUP_MAX: usize = 256;
/// How many idle reading connections are kept.
const READERS_KEPT: usize = 4;
/// Databases up to this size are checked when they are opened.
const QUICK_CHECK_MAX: u64 = 16 * 1024 * 1024;
/// The write-ahead log is cut back to this size.
const WAL_MAX: u64 = 4 * 1024 * 1024;

/// A database with one writer. Clones share it. Dropping the last one waits until what was asked of the writer
/// is done and the file is closed.
#[derive(Clone)]
pub struct Db {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    /// `None` only while it is being closed.
    jobs: Option<Sender<Box<dyn Job>>>,
    writer: Option<JoinHandle<()>>,
    readers: Mutex<Vec<Connection>>,
    changes: watch::Receiver<u64>,
    commits: Arc<AtomicU64>,
    writes: AtomicU64,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.readers
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        self.jobs = None;
        // A job may hold the last clone; the writer cannot wait for itself.
        let writer = self.writer.take();
        if let Some(writer) =
            writer.filter(|writer| writer.thread().id() != std::thread::current().id())
            && writer.join().is_err()
        {
            tracing::error!(path = %self.path.display(), "the store's writer panicked");
        }
    }
}

/// One write on its way through the writer.
trait Job: Send {
    /// Runs the closure; whether its savepoint is to be kept.
    fn run(&mut self, tx: &Transaction<'_>) -> bool;
    /// What SQLite reported to the closure, if it failed.
    fn error(&self) -> Option<StoreError>;
    /// Tells the caller, once the fate of the commit is known.
    fn answer(self: Box<Self>, fate: Result<(), StoreError>);
}

struct Write<T, F, R> {
    path: PathBuf,
    closure: Option<F>,
    result: Option<Result<T, StoreError>>,
    reply: R,
}

impl<T, F, R> Job for Write<T, F, R>
where
    T: Send,
    F: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send,
    R: FnOnce(Result<T, StoreError>) + Send,
{
    fn run(&mut self, tx: &Transaction<'_>) -> bool {
        let Some(closure) = self.closure.take() else {
            return false;
        };
        // A panic must not take the writer along.
        self.result = Some(match catch_unwind(AssertUnwindSafe(|| closure(tx))) {
            Ok(result) => result.map_err(|error| StoreError::from_sqlite(&self.path, &error)),
            Err(_) => Err(panicked(&self.path)),
        });
        matches!(self.result, Some(Ok(_)))
    }

    fn error(&self) -> Option<StoreError> {
        match &self.result {
            Some(Err(error)) => Some(error.clone()),
            _ => None,
        }
    }

    fn answer(self: Box<Self>, fate: Result<(), StoreError>) {
        let answer = match (self.result, fate) {
            (Some(Err(error)), _) | (_, Err(error)) => Err(error),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => Err(panicked(&self.path)),
        };
        (self.reply)(answer);
    }
}

fn panicked(path: &Path) -> StoreError {
    StoreError::Internal {
        path: path.to_owned(),
        detail: "a database operation panicked".to_owned(),
    }
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Db({})", self.inner.path.display())
    }
}

impl Db {
    /// Opens the database at `path`, made with its directory (for this user alone) if it is not there, and
    /// brings its schema up to date: `PRAGMA user_version` counts how many of `migrations` were applied.
    ///
    /// Blocks for as long as another process holds the write lock, at most [`BUSY_MS`].
    ///
    /// # Errors
    /// Damaged files, other programs' databases, newer schemas, read-only and full disks each have their own
    /// [`StoreError`]; the file is then left as it was.
    pub fn open(
        path: impl AsRef<Path>,
        migrations: &'static [&'static str],
        application_id: i32,
    ) -> Result<Self, StoreError> {
        let path = path.as_ref();
        prepare_file(path)?;
        let mut writer = connect(path)?;
        check_owner(path, &writer, application_id)?;
        set_wal(path, &writer)?;
        migrate(path, &mut writer, migrations, application_id)?;
        quick_check(path, &writer)?;
        let (jobs, queue) = channel();
        let (changed, changes) = watch::channel(0);
        let commits = Arc::new(AtomicU64::new(0));
        let thread = Writer {
            path: path.to_owned(),
            seen: data_version(&writer).map_err(|error| StoreError::from_sqlite(path, &error))?,
            conn: writer,
            changed,
            commits: Arc::clone(&commits),
        };
        let writer = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || thread.run(&queue))
            .map_err(|error| StoreError::from_io(path, "starting the writer", &error))?;
        Ok(Self {
            inner: Arc::new(Inner {
                path: path.to_owned(),
                jobs: Some(jobs),
                writer: Some(writer),
                readers: Mutex::new(Vec::new()),
                changes,
                commits,
                writes: AtomicU64::new(0),
            }),
        })
    }

    /// Where the database is.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Runs `f` in a transaction and returns when it is durable. Writes that wait at the same time share one
    /// commit; each has its own savepoint, so that one that fails undoes nothing of the others. The write is
    /// carried out even if the returned future is dropped.
    pub async fn write<T, F>(&self, f: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        // Nobody listens when the caller was dropped; the write stands all the same.
        self.send(f, move |result| drop(reply.send(result)));
        answer.await.unwrap_or_else(|_| Err(self.gone()))
    }

    /// As [`Db::write`], blocking this thread; for callers outside an async runtime.
    pub fn write_blocking<T, F>(&self, f: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let (reply, answer) = channel();
        self.send(f, move |result| drop(reply.send(result)));
        answer.recv().unwrap_or_else(|_| Err(self.gone()))
    }

    fn send<T, F, R>(&self, f: F, reply: R)
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
        R: FnOnce(Result<T, StoreError>) + Send + 'static,
    {
        let job = Write {
            path: self.inner.path.clone(),
            closure: Some(f),
            result: None,
            reply,
        };
        // If the writer is gone, the job is dropped and its reply with it: the receiver tells.
        if let Some(jobs) = &self.inner.jobs {
            drop(jobs.send(Box::new(job)));
        }
        self.inner.writes.fetch_add(1, Ordering::Relaxed);
    }

    /// Runs `f` on a reading connection, off the async threads.
    pub async fn read<T, F>(&self, f: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let db = self.clone();
        tokio::task::spawn_blocking(move || db.read_blocking(f))
            .await
            .unwrap_or_else(|_| Err(self.gone()))
    }

    /// As [`Db::read`], on this thread.
    pub fn read_blocking<T, F>(&self, f: F) -> Result<T, StoreError>
    where
        F: FnOnce(&Connection) -> rusqlite::Result<T>,
    {
        let kept = self.readers().pop();
        let conn = match kept {
            Some(conn) => conn,
            None => connect_reader(&self.inner.path)?,
        };
        let result = f(&conn).map_err(|error| StoreError::from_sqlite(&self.inner.path, &error));
        let mut readers = self.readers();
        if readers.len() < READERS_KEPT {
            readers.push(conn);
        }
        result
    }

    /// Moves everything from the write-ahead log into the database and cuts the log to nothing, as far as other
    /// processes' readers let it.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        connect(&self.inner.path)?
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(|error| StoreError::from_sqlite(&self.inner.path, &error))
    }

    /// Changes at every commit of this process, and within 100 ms of another's.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.clone()
    }

    /// How many commits this process made; many writes may share one.
    pub fn commits(&self) -> u64 {
        self.inner.commits.load(Ordering::Relaxed)
    }

    /// How many writes were asked of this process so far.
    pub fn writes(&self) -> u64 {
        self.inner.writes.load(Ordering::Relaxed)
    }

    fn readers(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.inner
            .readers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn gone(&self) -> StoreError {
        panicked(&self.inner.path)
    }
}

struct Writer {
    path: PathBuf,
    conn: Connection,
    changed: watch::Sender<u64>,
    commits: Arc<AtomicU64>,
    /// The last `PRAGMA data_version`; it moves when another connection commits.
    seen: i64,
}

impl Writer {
    fn run(mut self, queue: &Receiver<Box<dyn Job>>) {
        let mut looked = Instant::now();
        loop {
            match queue.recv_timeout(WATCH) {
                Ok(first) => self.group(first, queue),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if looked.elapsed() >= WATCH {
                self.look();
                looked = Instant::now();
            }
        }
    }

    /// Commits the first job with all that wait by now.
    fn group(&mut self, first: Box<dyn Job>, queue: &Receiver<Box<dyn Job>>) {
        let mut waiting: Vec<Box<dyn Job>> = std::iter::once(first)
            .chain(queue.try_iter().take(GROUP_MAX - 1))
            .collect();
        waiting.reverse();
        while !waiting.is_empty() {
            self.transaction(&mut waiting);
        }
    }

    /// Runs jobs from the end of `waiting` in one transaction. Some errors (a full disk) make SQLite roll the
    /// whole transaction back: then those that ran are told so, and the rest is left for another one.
    fn transaction(&self, waiting: &mut Vec<Box<dyn Job>>) {
        let before = self.conn.total_changes();
        let mut ran = Vec::with_capacity(waiting.len());
        let fate = self
            .run_and_commit(waiting, &mut ran)
            .map_err(|lost| match lost {
                Lost::Error(error) => StoreError::from_sqlite(&self.path, &error),
                Lost::With(error) => error,
            });
        if fate.is_ok() && self.conn.total_changes() != before {
            self.commits.fetch_add(1, Ordering::Relaxed);
            self.changed.send_modify(|count| *count += 1);
        }
        // When not even the transaction could begin, all are told.
        if fate.is_err() && ran.is_empty() {
            ran.append(waiting);
        }
        for job in ran {
            job.answer(fate.clone());
        }
    }

    fn run_and_commit(
        &self,
        waiting: &mut Vec<Box<dyn Job>>,
        ran: &mut Vec<Box<dyn Job>>,
    ) -> Result<(), Lost> {
        let tx = Transaction::new_unchecked(&self.conn, TransactionBehavior::Immediate)?;
        while let Some(mut job) = waiting.pop() {
            let fate = in_savepoint(&tx, job.as_mut());
            let error = job.error();
            ran.push(job);
            fate?;
            if self.conn.is_autocommit() {
                return Err(Lost::With(error.unwrap_or_else(|| {
                    StoreError::Unavailable {
                        path: self.path.clone(),
                        detail: "SQLite rolled the transaction back".to_owned(),
                    }
                })));
            }
        }
        Ok(tx.commit()?)
    }

    /// Bumps the watch when another connection committed since the last look.
    fn look(&mut self) {
        match data_version(&self.conn) {
            Ok(version) if version != self.seen => {
                self.seen = version;
                self.changed.send_modify(|count| *count += 1);
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(path = %self.path.display(), %error, "cannot look for other processes' writes");
            }
        }
    }
}

/// Why a transaction came to nothing.
enum Lost {
    Error(rusqlite::Error),
    /// One of its writes failed so badly that all were rolled back.
    With(StoreError),
}

impl From<rusqlite::Error> for Lost {
    fn from(error: rusqlite::Error) -> Self {
        Lost::Error(error)
    }
}

fn in_savepoint(tx: &Transaction<'_>, job: &mut dyn Job) -> rusqlite::Result<()> {
    tx.execute_batch("SAVEPOINT job")?;
    let keep = job.run(tx);
    if tx.is_autocommit() {
        return Ok(());
    }
    tx.execute_batch(if keep {
        "RELEASE job"
    } else {
        "ROLLBACK TO job; RELEASE job"
    })
}

fn data_version(conn: &Connection) -> rusqlite::Result<i64> {
    conn.query_row("PRAGMA data_version", [], |row| row.get(0))
}

/// Makes the file and its directory private if they are not there, and refuses what is plainly no database.
fn prepare_file(path: &Path) -> Result<(), StoreError> {
    let io = |doing: &'static str| {
        move |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::PermissionDenied => StoreError::ReadOnly {
                path: path.to_owned(),
                detail: format!("{doing}: {error}"),
            },
            _ => StoreError::from_io(path, doing, &error),
        }
    };
    let dir = files::parent(path);
    if !dir.exists() {
        files::make_private_dir(dir).map_err(io("making its directory"))?;
    }
    let file = files::open_private(path).map_err(io("opening it"))?;
    let mut head = Vec::new();
    File::take(file, 16)
        .read_to_end(&mut head)
        .map_err(io("reading it"))?;
    if !head.is_empty() && head != b"SQLite format 3\0" {
        return Err(StoreError::Corrupt {
            path: path.to_owned(),
            detail: "it is not a SQLite database".to_owned(),
        });
    }
    Ok(())
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let map = |error| StoreError::from_sqlite(path, &error);
    let conn = Connection::open_with_flags(path, flags).map_err(map)?;
    if conn.is_readonly("main").map_err(map)? {
        return Err(StoreError::ReadOnly {
            path: path.to_owned(),
            detail: "the file opens for reading only".to_owned(),
        });
    }
    configure(&conn).map_err(map)?;
    Ok(conn)
}

fn configure(conn: &Connection) -> rusqlite::Result<()> {
    conn.busy_timeout(Duration::from_millis(BUSY_MS))?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "cache_size", -1024)?;
    // What is deleted is overwritten, so that no spent token stays behind in free pages.
    conn.pragma_update(None, "secure_delete", true)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(())
}

fn connect_reader(path: &Path) -> Result<Connection, StoreError> {
    let conn = connect(path)?;
    conn.pragma_update(None, "query_only", true)
        .map_err(|error| StoreError::from_sqlite(path, &error))?;
    Ok(conn)
}

/// A database that somebody else made is not touched.
pub(crate) fn check_owner(
    path: &Path,
    conn: &Connection,
    application_id: i32,
) -> Result<(), StoreError> {
    let (found, tables): (i32, i64) = conn
        .query_row(
            "SELECT (SELECT application_id FROM pragma_application_id), (SELECT count(*) FROM sqlite_schema)",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .map_err(|error| StoreError::from_sqlite(path, &error))?;
    if found == application_id || (found == 0 && tables == 0) {
        return Ok(());
    }
    Err(StoreError::Foreign {
        path: path.to_owned(),
        found,
        expected: application_id,
    })
}

/// Switches to the write-ahead log once; SQLite keeps the mode in the file. The switch does not wait for locks
/// by itself, and several processes may start at the same moment.
fn set_wal(path: &Path, conn: &Connection) -> Result<(), StoreError> {
    let deadline = Instant::now() + Duration::from_millis(BUSY_MS);
    loop {
        let mode: rusqlite::Result<String> =
            conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0));
        let error = match mode {
            Ok(mode) if mode == "wal" => break,
            Ok(mode) => {
                return Err(StoreError::Unavailable {
                    path: path.to_owned(),
                    detail: format!("the file system has no write-ahead log (mode stays {mode})"),
                });
            }
            Err(error) => StoreError::from_sqlite(path, &error),
        };
        if !matches!(error, StoreError::Busy { .. }) || Instant::now() >= deadline {
            return Err(error);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    conn.pragma_update(None, "journal_size_limit", WAL_MAX as i64)
        .map_err(|error| StoreError::from_sqlite(path, &error))
}

fn migrate(
    path: &Path,
    conn: &mut Connection,
    migrations: &[&str],
    application_id: i32,
) -> Result<(), StoreError> {
    let map = |error| StoreError::from_sqlite(path, &error);
    let known = migrations.len() as i64;
    if version(conn).map_err(map)? == known {
        return Ok(());
    }
    let tx = conn
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(map)?;
    // Read again under the lock: another process may have migrated meanwhile.
    let found = version(&tx).map_err(map)?;
    if found > known {
        return Err(StoreError::ForeignVersion {
            path: path.to_owned(),
            found,
            known,
        });
    }
    for migration in migrations.iter().skip(usize::try_from(found).unwrap_or(0)) {
        tx.execute_batch(migration).map_err(map)?;
    }
    tx.pragma_update(None, "application_id", application_id)
        .map_err(map)?;
    tx.pragma_update(None, "user_version", known).map_err(map)?;
    tx.commit().map_err(map)
}

pub(crate) fn version(conn: &Connection) -> rusqlite::Result<i64> {
    conn.query_row("PRAGMA user_version", [], |row| row.get(0))
}

fn quick_check(path: &Path, conn: &Connection) -> Result<(), StoreError> {
    let size = std::fs::metadata(path).map_or(0, |meta| meta.len());
    if size > QUICK_CHECK_MAX {
        return Ok(());
    }
    let found: String = conn
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| StoreError::from_sqlite(path, &error))?;
    if found == "ok" {
        return Ok(());
    }
    Err(StoreError::Corrupt {
        path: path.to_owned(),
        detail: found,
    })
}
