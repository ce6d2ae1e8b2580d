//! What the scenarios share: a running `tenure up` that may be killed, sessions at a faulty issuer, callers.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tenure_lab::{FaultyIssuer, IssuerConfig, Process, Rotation};

use crate::common::{Answer, Home, PATIENCE, Ran, wait_for};

/// Name of the session in every scenario.
pub const SESSION: &str = "shop";
/// A caller that gets no answer in this time counts as one that was left hanging.
const CALLER_PATIENCE: Duration = Duration::from_secs(30);

/// A number from the environment, to run a scenario longer by hand.
pub fn from_env(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {text:?}")),
        Err(_) => default,
    }
}

/// Pseudo-random numbers from a seed (SplitMix64), so that a failing run can be run again.
pub struct Dice(u64);

impl Dice {
    /// The seed is `TENURE_SEED`, else the clock; it is printed.
    pub fn new() -> Self {
        let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let default = clock.map_or(1, |since| since.as_secs());
        let seed = from_env("TENURE_SEED", default);
        println!("TENURE_SEED={seed}");
        Self(seed)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// A running `tenure up`, killed when dropped.
pub struct Running {
    process: Process,
    ready: Value,
}

/// How a start ended that may have been cut short.
pub enum Start {
    Ready(Box<Running>),
    Ended(ExitStatus, String),
}

impl Running {
    /// Waits until it says that it is ready, or until it ends.
    pub fn try_start(mut command: Command) -> Start {
        let mut process = Process::spawn(&mut command);
        let said = wait_for("tenure up to be ready, or to end", || {
            // Asked before reading, so that the last line of an ended process is seen.
            let ended = process.try_status();
            let out = process.stdout();
            let line = out.split_inclusive('\n').next();
            match (line.filter(|line| line.ends_with('\n')), ended) {
                (Some(line), _) => Some(Ok(line.to_owned())),
                (None, Some(status)) => Some(Err(status)),
                (None, None) => None,
            }
        });
        match said {
            Ok(line) => {
                let ready: Value =
                    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                Start::Ready(Box::new(Self { process, ready }))
            }
            Err(status) => Start::Ended(status, process.stderr()),
        }
    }

    pub fn start(command: Command) -> Self {
        match Self::try_start(command) {
            Start::Ready(running) => *running,
            Start::Ended(status, said) => panic!("tenure up ended with {status}: {said}"),
        }
    }

    /// `gateway`, `admin` or `issuer`, without a slash at the end.
    pub fn url(&self, what: &str) -> String {
        self.ready[what]
            .as_str()
            .unwrap_or_else(|| panic!("no {what} in {}", self.ready))
            .to_owned()
    }

    /// A request through the gateway to a path of the session's upstream.
    pub fn via(&self, path: &str) -> Answer {
        let url = self.gateway_url(path);
        ask("GET", &url, &[], "").unwrap_or_else(|error| panic!("{url}: {error}; {self:?}"))
    }

    pub fn gateway_url(&self, path: &str) -> String {
        format!("{}/{SESSION}{path}", self.url("gateway"))
    }

    /// The session's row of `status --json`, as the running program shows it.
    pub fn status(&self) -> Value {
        let url = format!("{}/api/v1/sessions/{SESSION}", self.url("admin"));
        ask("GET", &url, &[], "")
            .unwrap_or_else(|error| panic!("{url}: {error}; {self:?}"))
            .json()
    }

    /// All sessions, as the running program shows them.
    pub fn statuses(&self) -> Vec<Value> {
        let url = format!("{}/api/v1/sessions", self.url("admin"));
        let answer = ask("GET", &url, &[], "")
            .unwrap_or_else(|error| panic!("{url}: {error}; {self:?}"))
            .json();
        answer["sessions"].as_array().expect("sessions").clone()
    }

    pub fn state(&self) -> String {
        self.status()["state"].as_str().expect("a state").to_owned()
    }

    pub fn generation(&self) -> u64 {
        self.status()["generation"].as_u64().expect("a number")
    }

    /// Waits until the session is in this state, and returns its status then.
    pub fn until_state(&self, state: &str) -> Value {
        wait_for(&format!("the state {state}"), || {
            let status = self.status();
            (status["state"] == state).then_some(status)
        })
    }

    /// Asks for a refresh as a person would. Fails when the process dies meanwhile.
    pub fn refresh(&self) -> io::Result<Answer> {
        let url = format!("{}/api/v1/sessions/{SESSION}/refresh", self.url("admin"));
        ask("POST", &url, &[], "")
    }

    /// Waits until it has ended by itself.
    pub fn ended(mut self) -> ExitStatus {
        self.process.wait_within(PATIENCE)
    }

    pub fn kill9(mut self) {
        self.process.kill9();
    }

    /// Ends it in order, as Ctrl-C does.
    pub fn stop(mut self) -> String {
        self.process.interrupt();
        let status = self.process.wait_within(PATIENCE);
        let said = self.process.stderr();
        assert_eq!(status.code(), Some(0), "{said}");
        said
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "tenure up said: {}", self.process.stderr())
    }
}

/// `tenure up` with the built-in example on free ports.
pub fn up_example(home: &Home) -> Command {
    let free = "127.0.0.1:0";
    let ports = ["--listen", free, "--admin", free, "--issuer-listen", free];
    home.command(&[&["up", "--json"], &ports[..]].concat())
}

/// `tenure up` with the configuration of the home on free ports.
pub fn up_config(home: &Home) -> Command {
    let free = "127.0.0.1:0";
    home.command(&["up", "--json", "--listen", free, "--admin", free])
}

/// A session at a faulty issuer: its configuration and profile written, its login imported.
pub struct Stage {
    pub issuer: FaultyIssuer,
    pub home: Home,
    /// The refresh token of the login.
    pub first: String,
}

/// What a [`Stage`] is set up with.
pub struct Setup {
    pub rotation: Rotation,
    pub access_ttl_s: u64,
    /// Another token endpoint than the issuer's own, for instance a proxy before it.
    pub token_endpoint: Option<String>,
    pub keep: &'static str,
    pub exchange_timeout: &'static str,
    /// Another store than the file in the data directory.
    pub store: Option<String>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            rotation: Rotation::Strict,
            access_ttl_s: 300,
            token_endpoint: None,
            keep: "warm",
            exchange_timeout: "15s",
            store: None,
        }
    }
}

/// First wait after a failure, and the longest, in the configurations written here. Milliseconds.
pub const BACKOFF_MS: (u64, u64) = (200, 1_000);

impl Setup {
    pub fn stage(self) -> Stage {
        let issuer = FaultyIssuer::start(
            IssuerConfig::new()
                .rotation(self.rotation)
                .access_ttl_s(self.access_ttl_s),
        );
        self.stage_at(issuer)
    }

    /// At an issuer that runs already.
    pub fn stage_at(self, issuer: FaultyIssuer) -> Stage {
        let home = Home::new();
        home.write("profiles/lab.toml", &profile(self.rotation));
        home.write("tenure.toml", &self.config(&issuer));
        let mut stage = Stage {
            issuer,
            home,
            first: String::new(),
        };
        stage.first = stage.log_in();
        stage
    }

    fn config(&self, issuer: &FaultyIssuer) -> String {
        let token_endpoint = self
            .token_endpoint
            .clone()
            .unwrap_or_else(|| issuer.token_endpoint());
        let (min, max) = BACKOFF_MS;
        let store = self.store.as_ref();
        let keeper = store.map(|store| format!("[keeper]\nstore = \"{store}\"\n"));
        format!(
            "{}[sessions.{SESSION}]\n\
             provider = \"lab\"\n\
             token_endpoint = \"{token_endpoint}\"\n\
             client_id = \"till-7\"\n\
             upstream = \"{}/api\"\n\
             keep = \"{}\"\n\
             [sessions.{SESSION}.timing]\n\
             exchange_timeout = \"{}\"\n\
             backoff_min = \"{min}ms\"\n\
             backoff_max = \"{max}ms\"\n",
            keeper.unwrap_or_default(),
            issuer.url(),
            self.keep,
            self.exchange_timeout,
        )
    }
}

fn profile(rotation: Rotation) -> String {
    let rotation = match rotation {
        Rotation::None => "kind = \"none\"".to_owned(),
        Rotation::Strict => "kind = \"strict\"".to_owned(),
        Rotation::Grace { seconds } => format!("kind = \"rotates\"\ngrace_seconds = {seconds}"),
        Rotation::SameSuccessor => "kind = \"same_successor\"".to_owned(),
        Rotation::ParentUntilChildUsed => "kind = \"parent_until_child_used\"".to_owned(),
    };
    format!(
        "name = \"lab\"\n\
         title = \"Lab\"\n\
         dialect = \"oauth2\"\n\
         client_auth = [\"none\"]\n\
         flows = [\"code\"]\n\
         retry_unknown = true\n\
         refused_statuses = [401]\n\
         [rotation]\n\
         {rotation}\n"
    )
}

impl Stage {
    /// Logs in at the issuer and hands the tokens to `tenure login --import FILE`, a process of its own.
    pub fn log_in(&self) -> String {
        let answer = self.issuer.issue();
        let file = self.home.write("login.json", &answer.to_string());
        let file = file.to_str().expect("UTF-8");
        self.home.run(&["login", SESSION, "--import", file]).ok();
        answer["refresh_token"]
            .as_str()
            .expect("a refresh token")
            .to_owned()
    }

    pub fn up(&self) -> Running {
        Running::start(up_config(&self.home))
    }

    /// `tenure up` that dies at a named fault point.
    pub fn up_with_fault(&self, fault: &str) -> Start {
        let mut command = up_config(&self.home);
        command.env("TENURE_FAULT", fault);
        Running::try_start(command)
    }

    /// The session's row of `tenure status --json`, another process than the running one.
    pub fn status(&self) -> Value {
        self.home.run(&["status", SESSION, "--json"]).ok().json()["sessions"][0].clone()
    }

    pub fn token(&self) -> Ran {
        self.home.run(&["token", SESSION, "--min-valid", "1s"])
    }

    /// Requests that arrived at the issuer's token endpoint.
    pub fn calls(&self) -> usize {
        self.issuer.hits("/token")
    }

    /// When the latest exchange was granted, in ms of the issuer's clock.
    pub fn last_granted_ms(&self) -> Option<i64> {
        self.issuer
            .exchanges()
            .iter()
            .filter(|exchange| exchange.outcome.granted())
            .map(|exchange| exchange.at_ms)
            .next_back()
    }
}

/// The kinds of the session's events, oldest first.
pub fn event_kinds(home: &Home) -> Vec<String> {
    events(home)
        .iter()
        .map(|event| event["kind"].as_str().expect("a kind").to_owned())
        .collect()
}

/// The session's events, oldest first.
pub fn events(home: &Home) -> Vec<Value> {
    let ran = home.run(&["events", SESSION, "--json"]).ok();
    ran.out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// All codes of a failure and what it came of.
pub fn codes(failure: &Value) -> Vec<String> {
    std::iter::successors(Some(failure), |failure| failure.get("because"))
        .filter_map(|failure| failure["code"].as_str().map(str::to_owned))
        .collect()
}

/// The failure at the root of the chain.
pub fn root(failure: &Value) -> &Value {
    std::iter::successors(Some(failure), |failure| {
        failure.get("because").filter(|cause| !cause.is_null())
    })
    .last()
    .expect("the failure itself")
}

/// One request over HTTP/1.0, so that the answer ends with the connection. An error is a broken connection.
pub fn ask(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> io::Result<Answer> {
    Call::send(method, url, headers, body)?.answer()
}

/// A request that was sent and waits for its answer: many of them make a crowd without many threads.
pub struct Call(TcpStream);

impl Call {
    pub fn send(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> io::Result<Self> {
        let rest = url.strip_prefix("http://").expect("http");
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let mut stream = TcpStream::connect(authority)?;
        stream.set_read_timeout(Some(CALLER_PATIENCE))?;
        let length = body.len();
        let mut text = format!(
            "{method} /{path} HTTP/1.0\r\nhost: {authority}\r\ncontent-length: {length}\r\n"
        );
        for (name, value) in headers {
            text.extend([name, ": ", value, "\r\n"]);
        }
        text.extend(["\r\n", body]);
        stream.write_all(text.as_bytes())?;
        Ok(Self(stream))
    }

    pub fn answer(mut self) -> io::Result<Answer> {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let cut = || io::Error::new(io::ErrorKind::UnexpectedEof, "the answer was cut");
        let (head, body) = text.split_once("\r\n\r\n").ok_or_else(cut)?;
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        Ok(Answer {
            status: status.ok_or_else(cut)?,
            head: head.to_owned(),
            body: body.to_owned(),
        })
    }
}

/// Calls again and again until `done`, pausing `pause` between calls, and returns what `call` yielded.
pub fn steadily<T>(done: &AtomicBool, pause: Duration, mut call: impl FnMut() -> T) -> Vec<T> {
    let mut seen = Vec::new();
    while !done.load(Ordering::SeqCst) {
        seen.push(call());
        std::thread::sleep(pause); // paced: the rate of the traffic
    }
    seen
}

/// Calls for so long, pausing between calls.
pub fn for_a_while(length: Duration, pause: Duration, mut call: impl FnMut()) {
    let end = Instant::now() + length;
    while Instant::now() < end {
        call();
        std::thread::sleep(pause); // paced: the rate of the traffic
    }
}
