//! From what the store holds to what the machine knows: lifetimes become instants on this process's clock.

use tenure_core::session::{Held, IntentSeen, Stored, Trouble};
use tenure_core::{
    BootId, Class, Code, Failure, Fingerprint, Heal, Mono, Now, Secret, TokenPair, Who,
};
use tenure_jose::sha256;
use tenure_store::{Record, StoredLogin, Suspect};
use tenure_wire::ClientAuth;

use crate::config::SessionConfig;

/// The clocks a row is read with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) boot: BootId,
    pub(crate) now: Now,
    /// Server time in milliseconds since the epoch, when it could be estimated.
    pub(crate) server: Option<i64>,
}

/// The row as the machine wants it.
pub(crate) fn stored(config: &SessionConfig, record: &Record, at: Reading) -> Stored {
    let renewer = Renewer::of(config, record.pair.as_ref(), record.secret.as_ref());
    Stored {
        generation: record.generation,
        held: record
            .pair
            .as_ref()
            .map(|pair| held(config, pair, &renewer, at)),
        intent: intent(record),
        latch: latch(config, record, &renewer),
        trouble: record.trouble.as_ref().map(|trouble| Trouble {
            generation: record.generation,
            failures: trouble.failures,
            not_before: at.now.mono + trouble.wait_ms,
            refused: trouble.refused,
            failure: trouble.failure.clone(),
        }),
        unreadable: record
            .unreadable
            .as_ref()
            .map(|why| unreadable(&config.name, why)),
    }
}

/// A refusal that is remembered. Without the client's secret its fingerprint cannot be compared; it is then shown as
/// it stands, since nobody asks a server without that secret.
fn latch(
    config: &SessionConfig,
    record: &Record,
    renewer: &Renewer<'_>,
) -> Option<(Fingerprint, Failure)> {
    let latch = record.latch.as_ref()?;
    let own = renewer
        .fingerprint(config)
        .filter(|_| secret_unread(config));
    Some((own.unwrap_or(latch.fingerprint), latch.failure.clone()))
}

/// A session that has no row yet.
pub(crate) fn empty(name: &str) -> Record {
    Record {
        name: name.to_owned(),
        generation: tenure_core::Generation(0),
        pair: None,
        intent: None,
        latch: None,
        secret: None,
        info: tenure_store::Info::default(),
        lease: None,
        suspect: None,
        unsaved: false,
        trouble: None,
        unreadable: None,
    }
}

/// A pair as the machine wants it.
pub(crate) fn held(
    config: &SessionConfig,
    pair: &TokenPair,
    renewer: &Renewer<'_>,
    at: Reading,
) -> Held {
    let elapsed = pair.issued.elapsed(at.boot, at.now, at.server);
    // Signed, because a pair may be older than this boot.
    let from = at.now.mono.0 as i64 - elapsed as i64;
    let instant = |ms: u64| Mono(u64::try_from(from.saturating_add_unsigned(ms)).unwrap_or(0));
    Held {
        generation: pair.generation,
        issued: instant(0),
        expires: pair.access_ms.map(instant),
        refresh_at: pair.refresh_in_ms.map(instant),
        refresh_expires: pair.refresh_ms.map(instant),
        session_ends: pair.session_ms.map(instant),
        renewable: !matches!(renewer, Renewer::None),
        fingerprint: renewer.fingerprint(config),
    }
}

/// In a store that was rolled back a newer pair may have existed: the refresh token is of unknown outcome (I10). An
/// imported pair is none: no exchange of ours is open, and whoever renewed it elsewhere got his answer.
fn intent(record: &Record) -> Option<IntentSeen> {
    let noted = record.intent.as_ref().map(|intent| IntentSeen {
        generation: intent.generation,
        attempts: intent.attempts,
    });
    noted.or(
        (record.suspect == Some(Suspect::Restored)).then_some(IntentSeen {
            generation: record.generation,
            attempts: 1,
        }),
    )
}

/// What can bring the next access token.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Renewer<'a> {
    /// A refresh token, cookie or JWT.
    Refresh(&'a Secret),
    /// The stored name and password.
    Password(&'a StoredLogin),
    /// The client's own credentials.
    Client,
    /// Nothing but a person.
    None,
}

impl<'a> Renewer<'a> {
    pub(crate) fn of(
        config: &SessionConfig,
        pair: Option<&'a TokenPair>,
        login: Option<&'a StoredLogin>,
    ) -> Self {
        if let Some(refresh) = pair.and_then(|pair| pair.refresh.as_ref()) {
            Renewer::Refresh(refresh)
        } else if let Some(login) = login {
            Renewer::Password(login)
        } else if config.client_credentials {
            Renewer::Client
        } else {
            Renewer::None
        }
    }

    /// Recognises the credential together with the client that presents it: a refusal counts for both, so a
    /// corrected client secret is tried again (I8).
    pub(crate) fn fingerprint(&self, config: &SessionConfig) -> Option<Fingerprint> {
        let (kind, credential): (&str, &str) = match self {
            Renewer::Refresh(token) => ("refresh", token.expose()),
            Renewer::Password(login) => ("password", login.password.expose()),
            Renewer::Client => ("client", ""),
            Renewer::None => return None,
        };
        let client = &config.client;
        let secret = client.secret.as_ref().map_or("", Secret::expose);
        let mut text = zeroize_text(&[kind, credential, &client.id, secret, client.auth.as_str()]);
        let print = Fingerprint(sha256(text.as_bytes()));
        zeroize::Zeroize::zeroize(&mut text);
        Some(print)
    }
}

/// The parts, each with its length before it so that no two lists read the same.
fn zeroize_text(parts: &[&str]) -> String {
    let mut text = String::with_capacity(parts.iter().map(|part| part.len() + 12).sum());
    for part in parts {
        text.push_str(&part.len().to_string());
        text.push(':');
        text.push_str(part);
    }
    text
}

/// Whether the client's secret was not read, as in commands that ask nothing of a server.
fn secret_unread(config: &SessionConfig) -> bool {
    let client = &config.client;
    client.secret.is_none() && matches!(client.auth, ClientAuth::Basic | ClientAuth::Post)
}

fn unreadable(name: &str, why: &str) -> Failure {
    Failure::new(
        Code::StoreUnavailable,
        Class::StoreUnavailable,
        "session_unreadable",
        Heal::FixConfig,
        Who::Operator,
        format!("the stored session {name} cannot be opened: {why}"),
    )
    .with_rule("store.unreadable")
    .with_command(format!("tenure login {name}"))
}
