//! What the tests of the program share: a data directory of its own, runs with a clean environment, and a
//! running `tenure up`.
#![allow(dead_code, clippy::unwrap_used)] // Each test binary uses a part; a test may panic.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Longest wait for anything: a slow machine needs some of it, and the breaker of an endpoint waits a minute at most.
pub const PATIENCE: Duration = Duration::from_secs(150);

/// A data directory and, if written, a configuration.
pub struct Home {
    dir: TempDir,
}

impl Home {
    pub fn new() -> Self {
        Self {
            dir: tempfile::tempdir().expect("a directory"),
        }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).expect("a directory");
        std::fs::write(&path, text).expect("written");
        path
    }

    /// The program with this data directory, in this directory, and nothing of the tester's environment.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tenure"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
            .env("HOME", self.path())
            .env("TENURE_DATA", self.data())
            .current_dir(self.path());
        command.args(args).stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        Ran::from(self.command(args).output().expect("it starts"))
    }

    /// With something on stdin.
    pub fn run_with(&self, args: &[&str], stdin: &str) -> Ran {
        let mut command = self.command(args);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        // A program that does not read its input closes the pipe.
        let _closed = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        Ran::from(child.wait_with_output().expect("it ends"))
    }

    /// `tenure up` on free ports, once it says that it is ready.
    pub fn up(&self, more: &[&str]) -> Up {
        let ports = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        Up::start(self.command(&[&["up", "--json"], &ports[..], more].concat()))
    }

    /// The same with the built-in example.
    pub fn up_example(&self) -> Up {
        self.up(&["--issuer-listen", "127.0.0.1:0"])
    }
}

/// A run that ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).expect("UTF-8"),
            err: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

impl Ran {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }
}

/// A running `tenure up`; killed when dropped.
pub struct Up {
    child: Child,
    pub ready: Value,
    stderr: Option<std::thread::JoinHandle<String>>,
}

impl Up {
    pub fn start(command: Command) -> Self {
        Self::start_saying(command, "gateway")
    }

    /// Any command that stays and says in a line of JSON, with this key, that it is ready.
    pub fn start_saying(mut command: Command, key: &str) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut err = child.stderr.take().unwrap();
        let stderr = std::thread::spawn(move || {
            let mut text = String::new();
            // What is not UTF-8 would be a fault of its own; the text so far is shown.
            let _read = err.read_to_string(&mut text);
            text
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .expect("readable");
        let ready = serde_json::from_str::<Value>(&line);
        let mut up = Self {
            child,
            ready: Value::Null,
            stderr: Some(stderr),
        };
        match ready {
            Ok(ready) if ready.get(key).is_some() => up.ready = ready,
            _ => {
                up.child.kill().unwrap();
                let said = up.stderr.take().unwrap().join().unwrap();
                panic!("it did not get ready: {line:?} {said:?}");
            }
        }
        up
    }

    pub fn url(&self, what: &str) -> String {
        self.ready[what]
            .as_str()
            .unwrap_or_else(|| panic!("no {what} in {}", self.ready))
            .to_owned()
    }

    pub fn gateway(&self, path: &str) -> Answer {
        get(&format!("{}{path}", self.url("gateway")))
    }

    pub fn admin(&self, path: &str) -> Answer {
        get(&format!("{}{path}", self.url("admin")))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{signal}"), &self.child.id().to_string()])
            .status()
            .expect("kill");
        assert!(sent.success());
    }

    /// Sends the signal and waits for the end: exit code and what was said on stderr.
    pub fn stop(mut self, signal: &str) -> (Option<i32>, String) {
        self.signal(signal);
        let status = wait_for("the end", || self.child.try_wait().expect("a child"));
        (status.code(), self.stderr.take().unwrap().join().unwrap())
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// Asks until there is an answer.
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(20)); // paced: between two looks at a condition
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// A header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            (key.eq_ignore_ascii_case(name)).then(|| value.trim())
        })
    }
}

pub fn get(url: &str) -> Answer {
    request("GET", url, &[], "")
}

/// A request over HTTP/1.0, so that the answer ends with the connection and is not chunked.
pub fn request(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let (authority, path) = url
        .strip_prefix("http://")
        .expect("http")
        .split_once('/')
        .map_or((url, String::from("/")), |(a, p)| (a, format!("/{p}")));
    let stream = TcpStream::connect(authority).expect("it listens");
    talk(stream, method, authority, &path, headers, body)
}

pub fn talk(
    mut stream: impl Read + Write,
    method: &str,
    authority: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut fields = vec![("Content-Length", body.len().to_string())];
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("host"))
    {
        fields.push(("Host", authority.to_owned()));
    }
    fields.extend(
        headers
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned())),
    );
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let text = format!("{method} {path} HTTP/1.0\r\n{}\r\n{body}", fields.concat());
    stream.write_all(text.as_bytes()).expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("read");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or_else(|| panic!("no status: {answer:?}"));
    Answer {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    }
}
