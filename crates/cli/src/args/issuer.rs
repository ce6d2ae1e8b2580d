//! `tenure issuer …`.

use std::net::SocketAddr;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use tenure_issuer::{Ends, Grant, Head};

use crate::builtin::{ISSUER_ADMIN_PORT, ISSUER_PORT};
use crate::config::value;

/// `tenure issuer`.
#[derive(Debug, Subcommand)]
pub enum Issuer {
    /// Serve the issuer alone, without gateway and example
    Serve(Serve),
    /// Look after its accounts
    #[command(subcommand)]
    Users(Users),
    /// Look after the programs that may ask it for tokens
    #[command(subcommand)]
    Clients(Clients),
    /// See who is logged in, and end sessions
    #[command(subcommand)]
    Sessions(Sessions),
    /// Turn its signing keys over
    #[command(subcommand)]
    Keys(Keys),
    /// See what was done, by whom and from where
    #[command(subcommand)]
    Audit(Audit),
    /// See and decide how long tokens and sessions live
    #[command(subcommand)]
    Lifetimes(Lifetimes),
    /// Make tokens with which programs register themselves
    #[command(subcommand)]
    Registration(Registration),
    /// Look after those who may use the administrators' API
    #[command(subcommand)]
    Administrators(Administrators),
}

/// `tenure issuer serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// Address to listen on; port 0 takes a free one [default: `listen` of [issuer]]
    #[arg(long, value_name = "ADDR", value_parser = |text: &str| value::address(text, ISSUER_PORT))]
    pub listen: Option<SocketAddr>,
    /// Serve the administrators' API there [default: `admin_listen` of [issuer]; not served where that is missing]
    #[arg(long, value_name = "ADDR", value_parser = |text: &str| value::address(text, ISSUER_ADMIN_PORT))]
    pub admin_listen: Option<SocketAddr>,
}

/// `tenure issuer lifetimes`.
#[derive(Debug, Subcommand)]
pub enum Lifetimes {
    /// Show those in force
    Show,
    /// Decide one or more, for every process of this issuer; what is configured counts for the rest
    Set(SetLifetimes),
    /// Let what is configured count again
    Reset,
}

/// `tenure issuer lifetimes set`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("some").required(true).multiple(true).args(["access", "idle", "session", "window"]))]
pub struct SetLifetimes {
    /// How long an access token lives: 1s to 1d
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub access: Option<u64>,
    /// When a session ends that nobody uses, or `never`
    #[arg(long, value_name = "TIME", value_parser = ends)]
    pub idle: Option<Ends>,
    /// When a session ends whatever its use, or `never`
    #[arg(long, value_name = "TIME", value_parser = ends)]
    pub session: Option<Ends>,
    /// How long after a rotation the token before still gets the same successor: 0s to 1h
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub window: Option<u64>,
}

/// `tenure issuer registration`.
#[derive(Debug, Subcommand)]
pub enum Registration {
    /// Show the tokens that are good
    List,
    /// Make a token, and show it once; another of the same label ends
    Token {
        /// What it is for
        #[arg(long = "for", value_name = "LABEL")]
        label: String,
        /// How many programs may register with it
        #[arg(long, value_name = "N", default_value_t = 1)]
        uses: u64,
        /// How long it is good, at most a year
        #[arg(long, value_name = "TIME", default_value = "1d", value_parser = seconds)]
        expires: u64,
    },
    /// End a token; what was registered with it stays
    End {
        /// Its label
        label: String,
    },
}

/// `tenure issuer administrators`.
#[derive(Debug, Subcommand)]
pub enum Administrators {
    /// Show the administrators
    List,
    /// Make an administrator; a one-time secret is shown once
    Add {
        /// The administrator's name
        name: String,
    },
    /// Make another one-time secret; logins and tokens of the administrator end
    Reset {
        /// The administrator's name
        name: String,
    },
    /// Remove an administrator
    Remove {
        /// The administrator's name
        name: String,
    },
    /// Make a token for a program, and show it once; another of the same label ends
    Token {
        /// The administrator it acts for
        name: String,
        /// What it is for
        #[arg(long = "for", value_name = "LABEL")]
        label: String,
        /// How long it lives, at most a year
        #[arg(long, value_name = "TIME", default_value = "90d", value_parser = seconds)]
        expires: u64,
    },
}

/// `tenure issuer users`.
#[derive(Debug, Subcommand)]
pub enum Users {
    /// Show the accounts
    List,
    /// Make an account; its password is asked for, or read from stdin
    Add(Password),
    /// Give an account another password; its sessions end
    Password(Password),
    /// Close an account: no login, no refresh, and its access tokens are refused at once
    Disable {
        /// The user's name
        name: String,
    },
    /// Open it again; its sessions go on where they were
    Enable {
        /// The user's name
        name: String,
    },
}

/// Whose password, and where it comes from.
#[derive(Debug, Args)]
pub struct Password {
    /// The user's name
    pub name: String,
    /// Make a password and show it once
    #[arg(long)]
    pub generate: bool,
}

/// `tenure issuer clients`.
#[derive(Debug, Subcommand)]
pub enum Clients {
    /// Show the clients
    List,
    /// Register a client; its secret is made and shown once
    Add(AddClient),
    /// Make another secret and show it once; the old one is refused from now on
    Secret {
        /// The client's identifier
        id: String,
    },
    /// Remove a client; the sessions made with it end
    Remove {
        /// The client's identifier
        id: String,
    },
}

/// `tenure issuer clients add`.
#[derive(Debug, Args)]
pub struct AddClient {
    /// The client's identifier
    pub id: String,
    /// Its name on the login page [default: its identifier]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// A program that people run, which can keep no secret
    #[arg(long)]
    pub public: bool,
    /// What it may ask for; may be repeated [default: client-credentials; with --public: code, refresh, device]
    #[arg(long = "grant", value_name = "GRANT")]
    pub grants: Vec<GrantName>,
    /// A scope it may have; may be repeated
    #[arg(long = "scope", value_name = "SCOPE")]
    pub scopes: Vec<String>,
    /// Where the browser may come back to; may be repeated
    #[arg(long = "redirect-uri", value_name = "URL")]
    pub redirect_uris: Vec<String>,
    /// Where the browser may go after a logout; may be repeated
    #[arg(long = "logout-uri", value_name = "URL")]
    pub logout_uris: Vec<String>,
    /// Where it is told which of its sessions ended (back-channel logout)
    #[arg(long, value_name = "URL")]
    pub backchannel_logout_uri: Option<String>,
    /// It needs the session's identifier for that
    #[arg(long, requires = "backchannel_logout_uri")]
    pub backchannel_logout_session_required: bool,
    /// Give it only tokens that are bound to a key of its own (DPoP)
    #[arg(long)]
    pub dpop: bool,
    /// Let it log people in only with requests handed in beforehand (PAR)
    #[arg(long)]
    pub par: bool,
    /// Let it keep one refresh token, for a program that cannot store new ones; a copy of it is noticed by nobody
    #[arg(long)]
    pub no_rotation: bool,
}

/// What a client may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GrantName {
    /// A login in the browser, with PKCE.
    Code,
    /// Renewal with a refresh token.
    Refresh,
    /// A login on another device.
    Device,
    /// Tokens for the program itself.
    ClientCredentials,
    /// A user's name and password, for a program of one's own.
    Password,
}

impl From<GrantName> for Grant {
    fn from(name: GrantName) -> Self {
        match name {
            GrantName::Code => Grant::AuthorizationCode,
            GrantName::Refresh => Grant::RefreshToken,
            GrantName::Device => Grant::DeviceCode,
            GrantName::ClientCredentials => Grant::ClientCredentials,
            GrantName::Password => Grant::Password,
        }
    }
}

/// `tenure issuer sessions`.
#[derive(Debug, Subcommand)]
pub enum Sessions {
    /// Show the sessions, newest login first
    List {
        /// Only of this user
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// Only made with this client
        #[arg(long, value_name = "ID")]
        client: Option<String>,
        /// How many at most
        #[arg(short = 'n', long, value_name = "N", default_value_t = 100, value_parser = value::count)]
        lines: usize,
    },
    /// Show one session: who, from where, and what happened to it
    Show {
        /// The session, as `tenure issuer sessions list` shows it
        sid: String,
    },
    /// End sessions: their refresh tokens die and their access tokens are refused
    Revoke(Revoke),
}

/// `tenure issuer sessions revoke`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["sid", "user", "client", "all"]))]
pub struct Revoke {
    /// The session, as `tenure issuer sessions list` shows it
    pub sid: Option<String>,
    /// Every session of this user
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Every session made with this client
    #[arg(long, value_name = "ID")]
    pub client: Option<String>,
    /// Every session there is
    #[arg(long)]
    pub all: bool,
}

/// `tenure issuer keys`.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Show the signing keys, oldest first
    List,
    /// Publish a next key; it signs once everybody must have seen it
    Rotate,
    /// Let the next key sign
    Promote,
    /// Refuse a key that got out, and every token it signed; sessions go on with another key
    Revoke {
        /// The key's `kid`
        kid: String,
    },
    /// Print the secret that signs the tokens of a WordPress dialect, for an API that checks them
    Secret {
        /// Make another one first; access tokens signed with the one before are refused from then on
        #[arg(long)]
        new: bool,
    },
    /// Lose the key that signs, on purpose: revokes it under traffic, to see that nobody has to log in
    Drill {
        /// Wait until every session in use went on, and count; at most as long as an access token lives
        #[arg(long)]
        wait: bool,
    },
}

/// `tenure issuer audit`.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Show the newest entries, the newest last
    List(Entries),
    /// Write all entries to stdout, oldest first, as JSON Lines
    Export,
    /// Check that no entry was changed or taken out
    Verify {
        /// What an earlier `verify` showed as head: also check that nothing was taken off the end since
        #[arg(long, value_name = "SEQ:MAC", value_parser = str::parse::<Head>)]
        head: Option<Head>,
    },
}

/// Which entries.
#[derive(Debug, Args)]
pub struct Entries {
    /// Only about this user
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Only about this session
    #[arg(long, value_name = "SID")]
    pub session: Option<String>,
    /// Only this action, or this kind of action: `session.killed`, `session`
    #[arg(long, value_name = "ACTION")]
    pub action: Option<String>,
    /// How many at most
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50, value_parser = value::count)]
    pub lines: usize,
}

/// `30d`, or `never`.
fn ends(text: &str) -> Result<Ends, String> {
    if text == "never" {
        return Ok(Ends::Never);
    }
    seconds(text).map(Ends::AfterS)
}

/// Whole seconds.
fn seconds(text: &str) -> Result<u64, String> {
    let duration =
        value::duration(text).map_err(|wrong| format!("{}; {}", wrong.what, wrong.fix))?;
    if duration.subsec_nanos() == 0 {
        return Ok(duration.as_secs());
    }
    Err(format!(
        "{text:?} has a part of a second; write whole seconds"
    ))
}
