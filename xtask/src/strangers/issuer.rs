//! The issuer that the strangers talk to: this tree's `tenure issuer serve`, set up with its own commands.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

const AUDIENCE: &str = "https://api.example";
const REDIRECT: &str = "http://127.0.0.1:49152/cb";
const LOGOUT: &str = "http://127.0.0.1:49152/bye";
const PERSON: &str = "ada";
const GRANTS: [&str; 4] = ["code", "refresh", "device", "client-credentials"];

/// What an issuer is run with.
pub(super) struct Setting {
    /// What it signs with.
    pub(super) alg: &'static str,
    /// Whether DPoP proofs must carry its nonce.
    pub(super) nonces: bool,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nonces = if self.nonces { " + nonces" } else { "" };
        write!(f, "{}{nonces}", self.alg)
    }
}

/// A running one, with everything it wrote; both go with it.
pub(super) struct Issuer {
    home: Home,
    process: Child,
}

impl Drop for Issuer {
    fn drop(&mut self) {
        // It may have ended by itself; there is nobody to tell.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Issuer {
    pub(super) fn start(program: &Path, setting: &Setting) -> Result<Self, String> {
        let home = Home::make(program)?;
        let address = free_address()?;
        let url = format!("http://{address}");
        let config = format!(
            "[issuer]\nurl = \"{url}\"\nlisten = \"{address}\"\naudience = \"{AUDIENCE}\"\n\
             scopes = [\"orders\"]\nsigning_alg = \"{}\"\ndpop_nonces = {}\n",
            setting.alg, setting.nonces
        );
        home.write("tenure.toml", &config)?;
        let mut setup = set_up(&home, &url, setting)?;
        let (process, ready) = serve(&home)?;
        setup["admin"]["url"] = ready["admin"].clone();
        home.write("setup.json", &setup.to_string())?;
        Ok(Self { home, process })
    }

    /// The file that tells a script what it needs to know.
    pub(super) fn setup(&self) -> PathBuf {
        self.home.dir.join("setup.json")
    }
}

/// People and clients; what the scripts are told of them.
fn set_up(home: &Home, url: &str, setting: &Setting) -> Result<Value, String> {
    let added = home.run(&["users", "add", PERSON, "--generate"])?;
    let client = |id: &str, more: &[&str]| {
        let mut args = vec!["clients", "add", id, "--scope", "orders"];
        args.extend(["--redirect-uri", REDIRECT, "--logout-uri", LOGOUT]);
        args.extend(more);
        let made = home.run(&args)?;
        Ok::<_, String>(json!({ "id": id, "secret": made["secret"] }))
    };
    home.run(&["administrators", "add", "fuzzer"])?;
    let token = home.run(&["administrators", "token", "fuzzer", "--for", "fuzz"])?;
    let grants = GRANTS.map(|grant| ["--grant", grant]).concat();
    Ok(json!({
        "issuer": url,
        "alg": setting.alg,
        "nonces": setting.nonces,
        "audience": AUDIENCE,
        "scope": "openid profile offline_access orders",
        "redirectUri": REDIRECT,
        "logoutUri": LOGOUT,
        "logoutEndsSession": true,
        "oauthMetadata": true,
        "admin": { "token": token["token"] },
        "person": { "name": PERSON, "password": added["password"] },
        "clients": {
            "web": client("web", &grants)?,
            // A client of its own, because one may be registered for one way to send its secret.
            "poster": client("poster", &grants)?,
            "app": client("app", &["--public"])?,
        },
    }))
}

/// The process, and what it says once it listens.
fn serve(home: &Home) -> Result<(Child, Value), String> {
    let mut process = home
        .command(&["serve", "--admin-listen", "127.0.0.1:0"])
        // The scripts do what it warns of.
        .env("TENURE_LOG", "error")
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("the issuer could not be started: {error}"))?;
    let mut ready = String::new();
    if let Some(out) = process.stdout.take() {
        // The line it writes once it listens.
        BufReader::new(out)
            .read_line(&mut ready)
            .map_err(|error| format!("the issuer could not be heard: {error}"))?;
    }
    let said: Value = serde_json::from_str(&ready).unwrap_or_default();
    if said["discovery"].is_string() {
        return Ok((process, said));
    }
    drop(process.kill());
    let status = process.wait().map_err(|error| error.to_string())?;
    Err(format!("the issuer did not start ({status}): {ready}"))
}

/// Free a moment ago; its URL has to be known before it starts.
fn free_address() -> Result<String, String> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map(|address| address.to_string())
        .map_err(|error| format!("no port is free: {error}"))
}

/// A directory of its own for configuration and data.
struct Home {
    program: PathBuf,
    dir: PathBuf,
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.dir) {
            eprintln!("xtask strangers: {}: {error}", self.dir.display());
        }
    }
}

impl Home {
    fn make(program: &Path) -> Result<Self, String> {
        let name = format!("tenure-strangers-{}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        Ok(Self {
            program: program.to_owned(),
            dir,
        })
    }

    fn write(&self, name: &str, text: &str) -> Result<(), String> {
        let path = self.dir.join(name);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["issuer", "--json", "--config"])
            .arg(self.dir.join("tenure.toml"))
            .arg("--data")
            .arg(self.dir.join("data"))
            .args(args)
            .stdin(Stdio::null());
        command
    }

    /// Runs a command of `tenure issuer`; what it says.
    fn run(&self, args: &[&str]) -> Result<Value, String> {
        let name = format!("`tenure issuer {}`", args.join(" "));
        let ran = self
            .command(args)
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("{name}: {error}"))?;
        let said = String::from_utf8_lossy(&ran.stdout);
        if !ran.status.success() {
            return Err(format!("{name} ended with {}: {said}", ran.status));
        }
        serde_json::from_str(&said).map_err(|error| format!("{name}: {error}"))
    }
}
