//! The command line.

mod address;
pub mod issuer;

pub use address::{Address, address};

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use url::Url;

use crate::builtin::ISSUER_PORT;
use crate::config::keeper::{ADMIN_PORT, GATEWAY_PORT};
use crate::config::value;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed
  2  the command line is wrong
  3  a person must log in (`tenure login SESSION`)
  4  somebody must change a configuration, a client, a clock or this machine
  5  it passes: try again later

With --json results and errors are written to stdout as JSON; errors as
{\"error\":{\"message\",\"where\",\"fix\",\"exit_code\",\"failure\"}}.
Logging goes to stderr and is set with TENURE_LOG (error, warn, info, debug; default warn).";

/// Keeps sessions alive: always a valid access token, whatever expires, fails or restarts.
#[derive(Debug, Parser)]
#[command(name = "tenure", version, about = "Keeps API sessions alive, and says exactly why when one cannot be kept", after_help = EXIT_CODES, arg_required_else_help = true, max_term_width = 100)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// Which command.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Configuration file. Default: $TENURE_CONFIG, ./tenure.toml, then tenure.toml in the data directory
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Data directory: the store, its key, the socket. Default: $TENURE_DATA, then $XDG_DATA_HOME/tenure
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub data: Option<PathBuf>,
    /// Write results and errors as JSON to stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// When to use colours; `auto` heeds the terminal and NO_COLOR
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Keep the sessions: gateway, status page, local API. Without a configuration: a complete example
    Up(Up),
    /// Find out how a server speaks and write a session for it into the configuration
    Init(Init),
    /// Log a session in
    Login(Login),
    /// Forget a session's tokens
    Logout(Logout),
    /// Print a valid access token
    Token(Token),
    /// Send a request with the session's token, as the gateway would
    Request(Request),
    /// Show the sessions
    Status(Status),
    /// Find out what is wrong with a session or at an address, and what heals it
    Doctor(Doctor),
    /// Take a token apart, offline: what it is, what is wrong with it, what will happen when
    Inspect(Inspect),
    /// Show what happened
    Events(Events),
    /// Say what failure responses mean: JSON Lines in and out, or one response as it was pasted
    Classify(Classify),
    /// Say what a code means, or which codes a server's message or a symptom can mean
    Explain(Explain),
    /// Write the pages of the codes
    #[command(subcommand)]
    Docs(Docs),
    /// Look after the store
    #[command(subcommand)]
    Store(Store),
    /// Serve a token server of one's own; look after its users, clients, sessions and keys
    #[command(subcommand)]
    Issuer(issuer::Issuer),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print the manual page
    Man,
    /// Print the names of the sessions, for the completion scripts
    #[command(hide = true)]
    SessionNames,
}

/// `tenure explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// A code (API02002), a server's code (jwt_auth_invalid_token), its message, or what you see
    #[arg(required = true, value_name = "CODE|MESSAGE")]
    pub query: Vec<String>,
    /// Language of the page
    #[arg(long, value_name = "LANG", default_value = "en")]
    pub lang: Language,
    /// Show every server error that means the code
    #[arg(long)]
    pub all: bool,
}

/// Languages of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// English.
    En,
    /// Nederlands.
    Nl,
}

impl From<Language> for tenure_diagnose::catalogue::Lang {
    fn from(language: Language) -> Self {
        match language {
            Language::En => Self::En,
            Language::Nl => Self::Nl,
        }
    }
}

/// `tenure docs`.
#[derive(Debug, Subcommand)]
pub enum Docs {
    /// Write the pages of all codes into a directory, as a site that needs no server
    Build {
        /// Where to; made if it is not there; an earlier build in it is replaced
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        dir: PathBuf,
        /// Write into a directory that holds other files, too
        #[arg(long)]
        force: bool,
    },
}

/// `tenure up`.
#[derive(Debug, Args)]
pub struct Up {
    /// Address of the gateway; port 0 takes a free one [default: 127.0.0.1:7878]
    #[arg(long, value_name = "ADDR", value_parser = |text: &str| value::address(text, GATEWAY_PORT))]
    pub listen: Option<SocketAddr>,
    /// Address of the status page and the local API [default: 127.0.0.1:7879]
    #[arg(long, value_name = "ADDR", value_parser = |text: &str| value::address(text, ADMIN_PORT))]
    pub admin: Option<SocketAddr>,
    /// Address of the built-in issuer and its sample API, without a configuration only [default: 127.0.0.1:7880]
    #[arg(long, value_name = "ADDR", value_parser = |text: &str| value::address(text, ISSUER_PORT))]
    pub issuer_listen: Option<SocketAddr>,
}

/// `tenure classify`.
#[derive(Debug, Args)]
pub struct Classify {
    /// JSON Lines of responses; `-` is stdin
    #[arg(default_value = "-", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// One raw HTTP response instead, as `curl -i` or `curl -v` shows it; `-` is stdin. Tokens in it are masked
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "file")]
    pub http: Option<PathBuf>,
    /// HTTP status of a body that was pasted without its status line
    #[arg(long, value_name = "STATUS", requires = "http", value_parser = clap::value_parser!(u16).range(100..=999))]
    pub status: Option<u16>,
    /// The response came from a token endpoint, not from an API
    #[arg(long, requires = "http")]
    pub token: bool,
    /// What the token request was for, e.g. authorization_code [default: refresh_token]
    #[arg(long, value_name = "GRANT", requires = "token")]
    pub grant: Option<String>,
    /// The request carried no token
    #[arg(long, requires = "http")]
    pub anonymous: bool,
    /// The profile of the server, e.g. wcpos
    #[arg(long, value_name = "PROFILE", requires = "http")]
    pub provider: Option<String>,
}

/// `tenure init`.
#[derive(Debug, Args)]
pub struct Init {
    /// The server: its issuer, its site or its API. Without a scheme it is asked over https, on this machine over http
    #[arg(value_parser = Address::parse)]
    pub url: Address,
    /// Name of the session [default: made from the host's name]
    #[arg(long, value_name = "SESSION")]
    pub name: Option<String>,
    /// The client's identifier at the server
    #[arg(long, value_name = "ID")]
    pub client_id: Option<String>,
    /// The API the token is for, if it is not at URL
    #[arg(long, value_name = "URL", value_parser = address)]
    pub upstream: Option<Url>,
}

/// `tenure login`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("how").multiple(false))]
pub struct Login {
    /// The session
    pub session: String,
    /// In a browser, on this machine or, by pasting its last address, on another
    #[arg(long, group = "how")]
    pub browser: bool,
    /// With a code typed on another device
    #[arg(long, group = "how")]
    pub device: bool,
    /// With user name and password, from a prompt or as two lines on stdin
    #[arg(long, group = "how")]
    pub password: bool,
    /// Take over a token response or {"username","password"} from a JSON file, `-` for stdin
    #[arg(long, group = "how", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub import: Option<PathBuf>,
    /// The user's name, for --password
    #[arg(long, value_name = "NAME")]
    pub username: Option<String>,
    /// Store the password (sealed), to log in again where the server knows no refresh
    #[arg(long)]
    pub remember: bool,
}

/// `tenure logout`.
#[derive(Debug, Args)]
pub struct Logout {
    /// The session
    pub session: String,
    /// Revoke the tokens at the server, too
    #[arg(long)]
    pub everywhere: bool,
}

/// `tenure token`.
#[derive(Debug, Args)]
pub struct Token {
    /// The session
    pub session: String,
    /// How long it must live at least [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = value::duration)]
    pub min_valid: Option<Duration>,
    /// How to print it
    #[arg(long, default_value = "plain")]
    pub format: TokenFormat,
}

/// How a token is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TokenFormat {
    /// The token alone.
    Plain,
    /// An object with the token, its lifetime and generation.
    Json,
    /// `Authorization: Bearer …`.
    Header,
}

/// `tenure request`.
#[derive(Debug, Args)]
pub struct Request {
    /// The session
    pub session: String,
    /// GET, POST, …
    pub method: String,
    /// Path and query below the session's upstream, e.g. /orders?page=2
    pub path: String,
    /// The body: text, @FILE, or - for stdin
    #[arg(short = 'd', long, value_name = "BODY")]
    pub body: Option<String>,
    /// A header, `Name: value`; may be repeated
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    pub headers: Vec<String>,
    /// Print the status line and the headers of the answer, too
    #[arg(short = 'i', long)]
    pub include: bool,
}

/// `tenure status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Only this session
    pub session: Option<String>,
    /// Stay and redraw as things change; q or Ctrl-C ends it
    #[arg(short, long)]
    pub watch: bool,
}

/// `tenure doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// The session, or an address; may be left out when there is one session
    #[arg(value_name = "SESSION|URL")]
    pub target: Option<String>,
    /// A path below the session's upstream that needs the token, to see whether the token arrives
    #[arg(long, value_name = "PATH")]
    pub path: Option<String>,
    /// Ask a third clock, to tell which side's is wrong [default host: pool.ntp.org]
    #[arg(long, value_name = "HOST")]
    #[expect(
        clippy::option_option,
        reason = "clap's form of a flag whose value may be left out"
    )]
    pub sntp: Option<Option<String>>,
    /// Try one refresh; without this no token is ever spent
    #[arg(long)]
    pub allow_refresh: bool,
    /// Write everything to a new file for support; it holds no secret
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub report: Option<PathBuf>,
}

/// `tenure inspect`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").args(["token", "session"]))]
pub struct Inspect {
    /// The token; `-` or nothing reads it from stdin or asks for it, so that no process list shows it
    #[arg(value_name = "TOKEN|-")]
    pub token: Option<String>,
    /// Take the access token this session holds now
    #[arg(long, value_name = "SESSION", conflicts_with = "token")]
    pub session: Option<String>,
    /// Who should have issued it [default with --session: the session's issuer]
    #[arg(long, value_name = "URL")]
    pub issuer: Option<String>,
    /// For whom it should be
    #[arg(long, value_name = "NAME")]
    pub audience: Option<String>,
    /// File with the server's public keys (a JWK set), to check the signature
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub jwks: Option<PathBuf>,
    /// Judge as of this time (RFC 3339, or seconds since 1970) instead of now
    #[arg(long, value_name = "TIME", value_parser = value::instant)]
    pub at: Option<i64>,
    /// Hide names and other personal values
    #[arg(long)]
    pub redact: bool,
}

/// `tenure events`.
#[derive(Debug, Args)]
pub struct Events {
    /// Only of this session
    pub session: Option<String>,
    /// Stay and print events as they happen
    #[arg(short, long)]
    pub follow: bool,
    /// How many of the latest
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50, value_parser = value::count, allow_negative_numbers = true)]
    pub lines: usize,
}

/// `tenure store`.
#[derive(Debug, Subcommand)]
pub enum Store {
    /// Check the store: readable, sound, every session openable
    Check,
    /// Seal everything with a new key, without stopping anybody
    Rekey,
    /// Write all sessions to a file that a passphrase protects
    Export(Export),
    /// Read sessions from such a file
    Import(Import),
}

/// `tenure store export`.
#[derive(Debug, Args)]
pub struct Export {
    /// The file; it must not exist yet
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Read the passphrase from the first line of this file instead of a prompt or stdin
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub passphrase_file: Option<PathBuf>,
}

/// `tenure store import`.
#[derive(Debug, Args)]
pub struct Import {
    /// The file
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Read the passphrase from the first line of this file instead of a prompt or stdin
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub passphrase_file: Option<PathBuf>,
    /// Take the export's tokens for sessions that are here already
    #[arg(long)]
    pub replace: bool,
}
