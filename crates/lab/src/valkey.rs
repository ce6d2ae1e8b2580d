//! A Valkey or Redis server of one's own: in a temporary directory, on a free port, gone with the process that started it.

use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use tempfile::TempDir;

use crate::wait::{block_until, free_port, temp_dir};

/// The server, by whichever name it is installed.
const PROGRAMS: [&str; 2] = ["valkey-server", "redis-server"];
/// Numbered databases of one server.
const DATABASES: u32 = 4096;

/// A running server. Killed when dropped, or when the process that started it ends, however it ends.
#[derive(Debug)]
pub struct Valkey {
    dir: TempDir,
    port: u16,
    /// A shell that kills the server when its stdin closes.
    keeper: Mutex<Option<Child>>,
    databases: AtomicU32,
    append_only: bool,
}

impl Valkey {
    /// Starts one that keeps what it acknowledges.
    ///
    /// # Panics
    /// When neither Valkey nor Redis is installed, or it does not start.
    pub fn start() -> Self {
        Self::made(true)
    }

    /// Starts one that forgets at a restart.
    ///
    /// # Panics
    /// As [`Valkey::start`].
    pub fn forgetful() -> Self {
        Self::made(false)
    }

    fn made(append_only: bool) -> Self {
        let server = Self {
            dir: temp_dir(),
            port: free_port(),
            keeper: Mutex::new(None),
            databases: AtomicU32::new(0),
            append_only,
        };
        server.run();
        server
    }

    /// The one server that all tests of a process share.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Valkey> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts it again after [`Valkey::kill`], with what it kept.
    ///
    /// # Panics
    /// When it does not start.
    pub fn run(&self) {
        let log = std::fs::File::create(self.dir.path().join("log")).expect("writable");
        let script = "\"$@\" & server=$!; read -r _; kill -KILL $server; wait $server";
        let keeper = Command::new("sh")
            .args(["-c", script, "valkey"])
            .arg(program())
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--databases", &DATABASES.to_string(), "--save", ""])
            .args(["--appendonly", if self.append_only { "yes" } else { "no" }])
            .args(["--appendfsync", "always", "--dir"])
            .arg(self.dir.path())
            .stdin(Stdio::piped())
            .stdout(log)
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        *self.keeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(keeper);
        block_until(|| self.answers(), "Valkey to answer");
    }

    /// Whether it has its data loaded.
    fn answers(&self) -> bool {
        self.command("PING")
            .is_some_and(|answer| answer.starts_with("+PONG"))
    }

    /// Sends one command in a line; the first piece of its answer as it came over the wire.
    pub fn command(&self, line: &str) -> Option<String> {
        use std::io::Read;
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.write_all(format!("{line}\r\n").as_bytes()).ok()?;
        let mut answer = [0; 4096];
        let length = stream.read(&mut answer).ok()?;
        Some(String::from_utf8_lossy(&answer[..length]).into_owned())
    }

    /// Kills it.
    ///
    /// # Panics
    /// When the shell that holds it cannot be waited for.
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

    /// An empty database; its address.
    ///
    /// # Panics
    /// When all are in use.
    pub fn database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        assert!(number < DATABASES, "all databases are in use");
        format!("valkey://127.0.0.1:{}/{number}", self.port)
    }
}

impl Drop for Valkey {
    fn drop(&mut self) {
        self.kill();
    }
}

fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    PROGRAMS
        .iter()
        .flat_map(|name| std::env::split_paths(&path).map(move |dir| dir.join(name)))
        .find(|program| program.is_file())
        .expect("valkey-server or redis-server is not installed; `cargo xtask test` installs it, or: apt-get install redis-server")
}
