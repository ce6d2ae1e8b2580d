//! A PostgreSQL server of one's own: in a temporary directory, on a free port, gone with the process that started it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use tempfile::TempDir;

use crate::wait::{block_until, free_port, temp_dir};

/// Whoever the server runs as where the tests run as root, which PostgreSQL refuses to.
const USER: &str = "postgres";

/// A running server. Killed when dropped, or when the process that started it ends, however it ends.
#[derive(Debug)]
pub struct Postgres {
    dir: TempDir,
    port: u16,
    /// A shell that kills the server when its stdin closes.
    keeper: Mutex<Option<Child>>,
    databases: AtomicU32,
    fsync: &'static str,
}

impl Postgres {
    /// Makes a cluster and starts it.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start.
    pub fn start() -> Self {
        Self::made("off")
    }

    /// The same with every commit flushed to the disk, for measurements.
    ///
    /// # Panics
    /// As [`Postgres::start`].
    pub fn durable() -> Self {
        Self::made("on")
    }

    fn made(fsync: &'static str) -> Self {
        let dir = temp_dir();
        own(dir.path());
        let data = dir.path().join("data");
        let made = as_user(&tool("initdb"))
            .args([
                "--no-sync",
                "--auth=trust",
                "--username=tenure",
                "--encoding=UTF8",
                "--locale=C",
                "-D",
            ])
            .arg(&data)
            .output()
            .expect("initdb starts");
        assert!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        let server = Self {
            dir,
            port: free_port(),
            keeper: Mutex::new(None),
            databases: AtomicU32::new(0),
            fsync,
        };
        server.run();
        server
    }

    /// The one server that all tests of a process share.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts it again after [`Postgres::kill`], with what was committed.
    pub fn run(&self) {
        let log = std::fs::File::create(self.dir.path().join("log")).expect("writable");
        let mut server = as_user(&tool("postgres"));
        server.arg("-D").arg(self.dir.path().join("data")).args([
            "-p",
            &self.port.to_string(),
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            &format!("fsync={}", self.fsync),
            "-c",
            "max_connections=200",
            "-k",
        ]);
        server.arg(self.dir.path());
        let script = "\"$@\" & server=$!; read -r _; kill -QUIT $server; wait $server";
        let keeper = Command::new("sh")
            .args(["-c", script, "postgres"])
            .arg(server.get_program())
            .args(server.get_args())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("a shell");
        *self.keeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(keeper);
        block_until(
            || self.sql("postgres", "SELECT 1").is_ok(),
            "PostgreSQL to answer",
        );
    }

    /// Stops it at once, as a crash does: nothing is finished, and what was committed is recovered.
    pub fn kill(&self) {
        let keeper = self
            .keeper
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(mut keeper) = keeper {
            if let Some(mut stdin) = keeper.stdin.take() {
                // A shell that has ended needs no word.
                let _gone = stdin.write_all(b"\n");
            }
            keeper.wait().expect("a child");
        }
    }

    /// Makes an empty database; its address.
    pub fn database(&self) -> String {
        let name = format!("t{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"))
            .unwrap_or_else(|error| panic!("{error}"));
        format!("postgres://tenure@127.0.0.1:{}/{name}", self.port)
    }

    /// Runs a statement with psql; the rows without decoration.
    ///
    /// # Errors
    /// What psql said.
    pub fn sql(&self, database: &str, sql: &str) -> Result<String, String> {
        let ran = Command::new(tool("psql"))
            .args([
                "-XAtq",
                "-h",
                "127.0.0.1",
                "-U",
                "tenure",
                "-p",
                &self.port.to_string(),
                "-d",
                database,
                "-c",
                sql,
            ])
            .output()
            .map_err(|error| error.to_string())?;
        if ran.status.success() {
            Ok(String::from_utf8_lossy(&ran.stdout).trim().to_owned())
        } else {
            Err(String::from_utf8_lossy(&ran.stderr).into_owned())
        }
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A program of PostgreSQL: on the path, or where Debian puts it, newest version first.
///
/// # Panics
/// When it is not there.
pub fn tool(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|dirs| dirs.flatten().map(|dir| dir.path().join("bin")).collect())
        .unwrap_or_default();
    versions.sort();
    versions
        .into_iter()
        .rev()
        .chain(std::env::split_paths(&path))
        .map(|dir| dir.join(name))
        .find(|program| program.is_file())
        .unwrap_or_else(|| panic!("{name} is not installed; `cargo xtask test` installs PostgreSQL, or: apt-get install postgresql"))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn as_user(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", USER, "--regid", USER, "--clear-groups", "--"])
        .arg(program)
        .current_dir("/");
    command
}

/// Lets the server's user write there.
fn own(dir: &Path) {
    if is_root() {
        let owned = Command::new("chown")
            .arg(USER)
            .arg(dir)
            .status()
            .expect("chown");
        assert!(
            owned.success(),
            "there is no user {USER}; Debian's package makes one"
        );
    }
}
