//! Back-channel logout (OpenID Connect Back-Channel Logout 1.0): tells clients which of their sessions ended.
//!
//! Each receiver has a task of its own, which sends a few logout tokens at a time: one that hangs delays what is told to
//! itself and nothing else. Nothing of an answer is read but its status, and redirects are not followed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};
use tenure_http::{Client, SetupError};
use tenure_jose::{b64url, random};
use url::{Url, form_urlencoded};

use crate::access::sign;
use crate::audit::Who;
use crate::error::IssuerError;
use crate::issuer::Issuer;
use crate::logouts::{self, Logout, Sent};
use crate::tend::{ITSELF, closed};

/// The `typ` of a logout token (§2.4).
const LOGOUT: &str = "logout+jwt";
/// The event it tells of.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How long it is good for, in seconds: each try makes another.
const LIFETIME_S: i64 = 120;
/// How long a receiver may take to answer, connecting included; well within the lease.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How many receivers one process tells at a time.
const RECEIVERS: usize = 256;
/// How long a receiver that cannot be reached is left alone, in milliseconds; doubled each time.
const PAUSE_MS: i64 = 1_000;
/// The longest of these times, in milliseconds.
const LONGEST_PAUSE_MS: i64 = 60_000;

#[derive(Serialize)]
struct LogoutClaims<'a> {
    iss: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
    /// Another one with each try: a receiver that remembers them must not take the second try for a replay.
    jti: String,
    sub: &'a str,
    sid: &'a str,
    events: Value,
}

/// Whom this process tells, and whom it leaves alone for a while.
#[derive(Default)]
pub(crate) struct Receivers {
    client: OnceLock<Client>,
    known: Mutex<HashMap<String, Receiver>>,
}

#[derive(Default)]
struct Receiver {
    /// A task sends to it.
    busy: bool,
    /// How often in a row it could not be reached.
    failures: u32,
    not_before_ms: i64,
}

impl Receivers {
    /// Made when it is first needed: issuers that tell nobody need no TLS.
    fn client(&self) -> Result<&Client, SetupError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let made = Client::new()?;
        Ok(self.client.get_or_init(|| made))
    }

    fn with<T>(&self, f: impl FnOnce(&mut HashMap<String, Receiver>) -> T) -> T {
        f(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether it may be told now; then nobody else here does until [`Receivers::leave`].
    fn take(&self, uri: &str, now_ms: i64) -> bool {
        self.with(|known| {
            let busy = known.values().filter(|receiver| receiver.busy).count();
            let receiver = known.entry(uri.to_owned()).or_default();
            let may = !receiver.busy && receiver.not_before_ms <= now_ms && busy < RECEIVERS;
            receiver.busy |= may;
            may
        })
    }

    fn leave(&self, uri: &str) {
        self.with(|known| {
            if let Some(receiver) = known.get_mut(uri) {
                receiver.busy = false;
                if receiver.failures == 0 {
                    known.remove(uri);
                }
            }
        });
    }

    /// It could not be reached: it is left alone for a while.
    fn pause(&self, uri: &str, now_ms: i64) {
        self.with(|known| {
            let receiver = known.entry(uri.to_owned()).or_default();
            let pause = PAUSE_MS << receiver.failures.min(16);
            receiver.not_before_ms = now_ms.saturating_add(pause.min(LONGEST_PAUSE_MS));
            receiver.failures = receiver.failures.saturating_add(1);
        });
    }

    fn answers(&self, uri: &str) {
        self.with(|known| {
            if let Some(receiver) = known.get_mut(uri) {
                receiver.failures = 0;
            }
        });
    }
}

/// The task that sends to a receiver; the next may begin when it is dropped, however it ended.
struct Telling {
    issuer: Arc<Issuer>,
    uri: String,
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.issuer.receivers.leave(&self.uri);
    }
}

impl Telling {
    async fn run(self) {
        let mut closing = self.issuer.closing();
        let done = tokio::select! {
            // What was taken and is not settled is seen to when its lease is over.
            () = closed(&mut closing) => return,
            done = self.issuer.tell(&self.uri) => done,
        };
        if let Err(error) = done {
            tracing::warn!(uri = self.uri, %error, "logouts could not be told; they are tried again");
            self.issuer.receivers.pause(&self.uri, self.issuer.now());
        }
    }
}

impl Issuer {
    /// Sees to it that whatever is due is told to its receivers, and does not wait for them.
    pub(crate) async fn tell_logouts(self: &Arc<Self>) -> Result<(), IssuerError> {
        for uri in logouts::due(&self.db, self.now()).await? {
            if self.receivers.take(&uri, self.now()) {
                let issuer = Arc::clone(self);
                tokio::spawn(Telling { issuer, uri }.run());
            }
        }
        Ok(())
    }

    /// Sends what is due to a receiver, until nothing is or it cannot be reached.
    async fn tell(&self, uri: &str) -> Result<(), IssuerError> {
        let client = self
            .receivers
            .client()
            .map_err(|error| IssuerError::Setting {
                name: "backchannel_logout_uri",
                why: error.to_string(),
            })?;
        let pen = || self.pen(Who::here(ITSELF));
        loop {
            let claimed = logouts::claim(&self.db, uri, self.now()).await?;
            if claimed.is_empty() {
                return Ok(());
            }
            let sending = claimed.into_iter().map(async |logout| {
                let sent = self.send(client, uri, &logout).await;
                (logout, sent)
            });
            let sent = join_all(sending).await;
            let unreachable = unreachable(&sent);
            let mut given_up = logouts::settle(&self.db, uri, sent, pen()).await?;
            if let Some(why) = &unreachable {
                given_up += logouts::abandon(&self.db, uri, why, pen()).await?;
            }
            if given_up > 0 {
                tracing::error!(
                    uri,
                    given_up,
                    "logouts are given up; the audit log has each"
                );
            }
            if unreachable.is_some() {
                self.receivers.pause(uri, self.now());
                return Ok(());
            }
            self.receivers.answers(uri);
        }
    }

    async fn send(&self, client: &Client, uri: &str, logout: &Logout) -> Sent {
        let sent = match self.logout_request(uri, logout) {
            // Not a byte of the body: the status says it all.
            Ok(request) => match client.send_for_start(request, TIMEOUT, 0).await {
                Ok(answer) => heard(answer.status()),
                Err(fault) => Sent::Unreachable(fault.to_string()),
            },
            Err(error) => Sent::Refused(error.to_string()),
        };
        if let Sent::Refused(why) | Sent::Unreachable(why) = &sent {
            let (client, sid, tries) = (&logout.client_id, &logout.sid, logout.tries);
            tracing::warn!(
                client,
                sid,
                tries,
                why,
                "a client could not be told of a logout"
            );
        }
        sent
    }

    fn logout_request(&self, uri: &str, logout: &Logout) -> Result<Request<Bytes>, IssuerError> {
        let unusable = |why: String| IssuerError::Setting {
            name: "backchannel_logout_uri",
            why,
        };
        let url = Url::parse(uri).map_err(|error| unusable(error.to_string()))?;
        let now_s = self.now() / 1000;
        let claims = LogoutClaims {
            iss: self.id(),
            aud: &logout.client_id,
            iat: now_s,
            exp: now_s + LIFETIME_S,
            jti: b64url(random::<12>()),
            sub: &logout.user_id,
            sid: &logout.sid,
            events: json!({ EVENT: {} }),
        };
        let token = sign(&self.signing_key(), LOGOUT, &claims)?;
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("logout_token", token.expose())
            .finish();
        Request::post(url.as_str())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(
                header::USER_AGENT,
                concat!("tenure-issuer/", env!("CARGO_PKG_VERSION")),
            )
            .body(Bytes::from(body))
            .map_err(|error| unusable(error.to_string()))
    }
}

/// §2.8 says 200; frameworks turn an empty one into 204. Whatever else is no receipt, a redirect among it.
fn heard(status: StatusCode) -> Sent {
    let why = format!("it answered {}", status.as_u16());
    if status.is_success() {
        Sent::Told
    } else if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        Sent::Unreachable(why)
    } else {
        Sent::Refused(why)
    }
}

/// Why nobody was there for any of them.
fn unreachable(sent: &[(Logout, Sent)]) -> Option<String> {
    sent.iter()
        .try_fold(String::new(), |_, (_, sent)| match sent {
            Sent::Unreachable(why) => Some(why.clone()),
            Sent::Told | Sent::Refused(_) => None,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_is_told_by_one_task_and_left_alone_ever_longer() {
        let (receivers, uri) = (Receivers::default(), "https://shop.example/");
        assert!(receivers.take(uri, 0) && !receivers.take(uri, 0));
        assert!(receivers.take("https://other.example/", 0));
        let mut now = 0;
        for pause in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
            receivers.pause(uri, now);
            receivers.leave(uri);
            assert!(!receivers.take(uri, now + pause - 1), "{pause}");
            now += pause;
            assert!(receivers.take(uri, now), "{pause}");
        }
        receivers.answers(uri);
        receivers.leave(uri);
        assert!(receivers.take(uri, now));
        receivers.pause(uri, now);
        receivers.leave(uri);
        assert!(receivers.take(uri, now + 1_000), "from the beginning");
    }
}
