//! What a gateway is told, and why it may refuse to start.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tenure_core::Secret;
use url::Url;

/// How a gateway is set up. `Options::default()` is a gateway for this machine's loopback addresses.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where it will listen. Any address that is not loopback requires caller keys.
    pub bind: Vec<SocketAddr>,
    /// Keys of which a caller must present one in the `Tenure-Key` header. Empty: no key is asked for.
    pub caller_keys: Vec<CallerKey>,
    /// The admin address, e.g. `http://127.0.0.1:7879/`, where the pages of the codes are served.
    pub pages_base: Option<Url>,
    /// What differs from the defaults, by session name.
    pub routes: BTreeMap<String, RouteOptions>,
    /// Limits.
    pub limits: Limits,
}

/// A key that lets a caller in.
#[derive(Clone, Debug)]
pub struct CallerKey {
    /// Whose key it is; for messages and logs.
    pub name: String,
    /// What the caller presents.
    pub secret: Secret,
}

impl CallerKey {
    /// The key of `name`.
    pub fn new(name: impl Into<String>, secret: Secret) -> Self {
        Self {
            name: name.into(),
            secret,
        }
    }
}

/// What one session's route passes on that is otherwise withheld.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteOptions {
    /// A request that brings an `Authorization` of its own keeps it and goes out without the session's token.
    pub keep_authorization: bool,
    /// Cookies are passed on even where the upstream is the host that logs people in.
    pub keep_cookies: bool,
}

/// Limits of one gateway. All have defaults that suit a program on the same machine.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Header bytes of one request, 8 KiB to some MiB. Default 64 KiB.
    pub max_head_bytes: usize,
    /// How long a caller may take to send its header section (HTTP/1.1). Default 30 s.
    pub header_read_timeout: Duration,
    /// How long the upstream may stay silent after the last byte of the request. Default 60 s. Bodies have no limit.
    pub response_head_timeout: Duration,
    /// How long a request waits for a token when there is no valid one. Default 30 s.
    pub token_wait: Duration,
    /// How long a large body is held back for the upstream's `100 Continue`. Default 1 s.
    pub continue_wait: Duration,
    /// How long an upgraded connection may stay silent in both directions. Default 15 min.
    pub tunnel_idle: Duration,
    /// How long running requests may take to finish at shutdown. Default 10 s.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_head_bytes: 64 * 1024,
            header_read_timeout: Duration::from_secs(30),
            response_head_timeout: Duration::from_mins(1),
            token_wait: Duration::from_secs(30),
            continue_wait: Duration::from_secs(1),
            tunnel_idle: Duration::from_mins(15),
            drain: Duration::from_secs(10),
        }
    }
}

/// Why a gateway could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Everybody in the network could spend the sessions.
    #[error(
        "the gateway would listen on {0}, which other machines can reach, and no caller keys are configured. \
         Listen on 127.0.0.1, or configure caller keys."
    )]
    OpenBind(SocketAddr),
    /// An empty key would let everybody in.
    #[error("caller key {0} is shorter than 16 characters. Use a long random one.")]
    WeakKey(String),
    /// Two callers that cannot be told apart: taking one's key away would leave it to the other.
    #[error("caller keys {0} and {1} are the same. Give every caller a key of its own.")]
    SameKey(String, String),
    /// A route names no session.
    #[error("there are route options for session \"{0}\", but no such session is configured")]
    UnknownRoute(String),
    /// An upstream that cannot be forwarded to.
    #[error(
        "the upstream of session \"{session}\" cannot be used: {why}. Change `upstream` of [sessions.{session}]."
    )]
    Upstream {
        /// The session.
        session: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// No TLS.
    #[error(transparent)]
    Tls(#[from] tenure_http::SetupError),
}

/// Refuses an address that other machines can reach while no caller keys guard it.
///
/// # Errors
/// [`SetupError::OpenBind`].
pub(crate) fn guard_bind(address: SocketAddr, keys: &[CallerKey]) -> Result<(), SetupError> {
    if address.ip().is_loopback() || !keys.is_empty() {
        Ok(())
    } else {
        Err(SetupError::OpenBind(address))
    }
}

/// Keys shorter than this can be guessed.
const MIN_KEY: usize = 16;

impl Options {
    /// Checks what can be checked before anything is opened.
    ///
    /// # Errors
    /// An address that other machines can reach without caller keys, a weak key, a key twice.
    pub fn check(&self) -> Result<(), SetupError> {
        for (number, key) in self.caller_keys.iter().enumerate() {
            if key.secret.len() < MIN_KEY {
                return Err(SetupError::WeakKey(key.name.clone()));
            }
            let before = &self.caller_keys[..number];
            if let Some(same) = before.iter().find(|one| one.secret == key.secret) {
                return Err(SetupError::SameKey(same.name.clone(), key.name.clone()));
            }
        }
        self.bind
            .iter()
            .try_for_each(|address| guard_bind(*address, &self.caller_keys))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(bind: &str, keys: &[&str]) -> Options {
        Options {
            bind: vec![bind.parse().expect("an address")],
            caller_keys: (1..)
                .zip(keys)
                .map(|(number, key)| CallerKey::new(number.to_string(), Secret::new(*key)))
                .collect(),
            ..Options::default()
        }
    }

    #[test]
    fn an_open_address_requires_keys() {
        for open in ["0.0.0.0:7878", "192.0.2.1:80", "[::]:7878"] {
            assert!(
                matches!(options(open, &[]).check(), Err(SetupError::OpenBind(_))),
                "{open}"
            );
            assert!(
                options(open, &["0123456789abcdef"]).check().is_ok(),
                "{open}"
            );
        }
        for closed in ["127.0.0.1:7878", "127.9.9.9:1", "[::1]:7878"] {
            assert!(options(closed, &[]).check().is_ok(), "{closed}");
        }
    }

    #[test]
    fn a_short_key_is_refused() {
        assert!(matches!(
            options("0.0.0.0:1", &["0123456789abcdef", ""]).check(),
            Err(SetupError::WeakKey(name)) if name == "2"
        ));
    }

    #[test]
    fn a_key_belongs_to_one_caller() {
        let same = options("0.0.0.0:1", &["0123456789abcdef", "0123456789abcdef"]).check();
        let text = same.expect_err("the same").to_string();
        assert!(
            text.contains("1 and 2") && !text.contains("abcdef"),
            "{text}"
        );
    }
}
