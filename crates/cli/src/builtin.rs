//! The example that runs when nothing is configured: one session `shop` at an embedded issuer, with a sample API.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tenure_core::session::Keep;
use tenure_gateway::RouteOptions;
use tenure_keeper::{Endpoints, SessionConfig, Timing};
use tenure_wire::{Client, Server};
use url::Url;

use crate::config::session::Profiles;
use crate::config::{KeeperSection, Origin, Spec};
use crate::error::{CommandError, Exit, Outcome, Problem};

/// Name of the session.
pub const SESSION: &str = "shop";
/// The client the session is kept as.
pub const CLIENT: &str = "tenure-cli";
/// The first user.
pub const USER: &str = "demo";
/// What the sample API asks for.
pub const SCOPE: &str = "orders";
/// Usual port of issuer and sample API.
pub const ISSUER_PORT: u16 = 7880;
/// Where the administrators' API of an issuer listens where only a host is named.
pub const ISSUER_ADMIN_PORT: u16 = 7881;
/// Where the sample API is below the issuer's address.
pub const API_PATH: &str = "/api";
/// Remembers between starts where the issuer was: tokens and the session name its address.
const FILE: &str = "builtin.json";

/// What is remembered of the example between starts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Remembered {
    /// Address of the issuer.
    issuer: Url,
}

/// The example's configuration.
#[derive(Clone, Debug)]
pub struct BuiltIn {
    /// As if `[keeper]` were empty.
    pub keeper: KeeperSection,
    /// The session.
    pub session: Spec,
    /// Where the issuer was at the last start, or would be at the first.
    pub issuer: Url,
    /// Whether there was a start before.
    pub started_before: bool,
}

impl BuiltIn {
    /// Reads what an earlier start left in the data directory.
    pub fn load(data: &Path) -> Outcome<Self> {
        let path = data.join(FILE);
        let remembered = match std::fs::read(&path) {
            Ok(bytes) => Some(
                serde_json::from_slice::<Remembered>(&bytes)
                    .map_err(|error| unreadable(&path, &error))?,
            ),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(unreadable(&path, &error)),
        };
        let started_before = remembered.is_some();
        let issuer = match remembered {
            Some(remembered) => remembered.issuer,
            None => address_url(SocketAddr::from((Ipv4Addr::LOCALHOST, ISSUER_PORT)))?,
        };
        Self::at(data, issuer, started_before)
    }

    /// The example with its issuer at this address.
    pub fn at(data: &Path, issuer: Url, started_before: bool) -> Outcome<Self> {
        let session = spec(&issuer)?;
        Ok(Self {
            keeper: KeeperSection::defaults(data),
            session,
            issuer,
            started_before,
        })
    }

    /// Remembers the issuer's address for the next start.
    pub fn remember(&self, data: &Path) -> Outcome {
        let path = data.join(FILE);
        let text = serde_json::to_vec_pretty(&Remembered {
            issuer: self.issuer.clone(),
        })
        .map_err(|error| CommandError::failed(error.to_string()))?;
        // In one step, so that a crash leaves the old file or the new one.
        let fresh = data.join(format!("{FILE}.new"));
        write_private(&fresh, &text)
            .and_then(|()| std::fs::rename(&fresh, &path))
            .map_err(|error| {
                CommandError::new(
                    Exit::NeedsOperator,
                    Problem::new(format!("cannot write: {error}")).at(path.display()),
                )
            })
    }

    /// The port the issuer had.
    pub fn issuer_port(&self) -> u16 {
        self.issuer.port_or_known_default().unwrap_or(ISSUER_PORT)
    }
}

/// A file for this user alone.
fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// `http://ADDRESS/`.
pub fn address_url(address: SocketAddr) -> Outcome<Url> {
    Url::parse(&format!("http://{address}/"))
        .map_err(|error| CommandError::failed(format!("{address}: {error}")))
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> CommandError {
    let problem = Problem::new(format!("cannot read what the last start left: {error}"))
        .at(path.display())
        .fix("make the file readable, or remove it to begin anew");
    CommandError::new(Exit::NeedsOperator, problem)
}

fn spec(issuer: &Url) -> Outcome<Spec> {
    let profile = Profiles::default()
        .find("tenure")
        .map_err(|wrong| CommandError::failed(wrong.to_string()))?;
    let upstream = issuer
        .join(API_PATH)
        .map_err(|error| CommandError::failed(format!("{issuer}: {error}")))?;
    let mut known = Server::new(profile.wire_dialect(), issuer.clone());
    known.issuer = Some(issuer.as_str().trim_end_matches('/').to_owned());
    let config = SessionConfig {
        name: SESSION.to_owned(),
        profile,
        endpoints: Endpoints::Discover {
            issuer: issuer.clone(),
            known: Box::new(known),
        },
        client: Client::public(CLIENT),
        scopes: vec![SCOPE.to_owned(), "offline_access".to_owned()],
        upstream: Some(upstream),
        keep: Keep::Warm,
        client_credentials: false,
        trust: None,
        timing: Timing::default(),
        blocked: None,
    };
    Ok(Spec {
        name: SESSION.to_owned(),
        origin: Origin::Default,
        config,
        route: RouteOptions::default(),
        flow: None,
        client_secret: None,
        client_key: None,
    })
}
