//! What the store remembers of a session, and of what happened.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tenure_core::{Failure, Fingerprint, Generation, Secret, TokenPair, Wall};

/// One session as stored.
#[derive(Clone, Debug)]
pub struct Record {
    /// The session's name.
    pub name: String,
    /// The stored generation; 0 when there never was a pair. Kept over a logout.
    pub generation: Generation,
    /// The current pair; `None` before the first login, after a logout, and when it cannot be opened.
    pub pair: Option<TokenPair>,
    /// An exchange that may have been sent and whose end is not known.
    pub intent: Option<Intent>,
    /// A final refusal.
    pub latch: Option<Latch>,
    /// Name and password, if the person chose to store them.
    pub secret: Option<StoredLogin>,
    /// Facts about the session that are no secrets.
    pub info: Info,
    /// Who holds the lease, if it is held and its holder lives.
    pub lease: Option<LeaseView>,
    /// Why a newer pair than this one may exist. After a roll-back the refresh token is of unknown outcome (I10); an
    /// imported one may have been used where it came from. Cleared by the next commit or login.
    pub suspect: Option<Suspect>,
    /// The pair comes from the spare slot and is not in the store yet (I9).
    pub unsaved: bool,
    /// What troubles the stored generation; ends with it.
    pub trouble: Option<Trouble>,
    /// Why the stored pair or login cannot be opened. It is kept, and only a login replaces it.
    pub unreadable: Option<String>,
}

/// Why a stored pair may not be the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Suspect {
    /// The store was restored or rolled back since the pair was saved.
    Restored,
    /// The pair came with an import, and may have been refreshed where it came from.
    Imported,
}

impl Suspect {
    /// As it lies in the table; 0 is for a pair above suspicion.
    pub(crate) fn stored(self) -> i64 {
        match self {
            Suspect::Restored => 1,
            Suspect::Imported => 2,
        }
    }

    pub(crate) fn of(stored: i64) -> Option<Self> {
        match stored {
            0 => None,
            2 => Some(Suspect::Imported),
            _ => Some(Suspect::Restored),
        }
    }
}

/// The durable note, written before an exchange is sent, that it may have been (I2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The generation whose refresh token is being spent.
    pub generation: Generation,
    /// When it was written, by the wall clock.
    pub sent_wall: Wall,
    /// How many times this generation was sent, this time included.
    pub attempts: u32,
    /// Who sends it.
    pub holder: String,
}

/// A final refusal, remembered so that the server is not asked again (I8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latch {
    /// The refused refresh token.
    pub fingerprint: Fingerprint,
    /// What the refusal means.
    pub failure: Failure,
    /// When it was refused.
    pub at: Wall,
}

/// What one process met with a generation, told to the others (I14). Advice: it ends nothing and guards nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Exchanges that failed in a row.
    pub failures: u32,
    /// How long no exchange is to be begun, in milliseconds from now.
    pub wait_ms: u64,
    /// The API refused the access token, in words that are about the token.
    pub refused: bool,
    /// What happened last.
    pub failure: Failure,
}

/// How a token endpoint is to be treated by everybody who shares the store (I14).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Requests that failed in a row, of any session.
    pub failures: u32,
    /// How long it is to be left alone, in milliseconds from now.
    pub wait_ms: u64,
    /// What happened last.
    pub failure: Option<Failure>,
}

/// The right to run the exchange of one session. Every write under it carries its epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The session.
    pub name: String,
    /// Who holds it.
    pub holder: String,
    /// Rises at every claim, login and logout.
    pub epoch: u64,
}

/// A lease as others see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeaseView {
    /// Who holds it.
    pub holder: String,
    /// How long it still lasts, in milliseconds.
    pub for_ms: u64,
    /// Its epoch.
    pub epoch: u64,
}

/// The answer to a claim.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "made once per exchange and taken apart at once"
)]
pub enum Claim {
    /// The lease, and the record as read under it (I4).
    Granted(Lease, Record),
    /// Somebody holds it.
    Held {
        /// Who.
        by: String,
        /// How long the lease still lasts, in milliseconds; it may be renewed or released before.
        for_ms: u64,
    },
}

/// Name and password that a person chose to store, for dialects that cannot refresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLogin {
    /// The account's name.
    pub username: String,
    /// Its password.
    pub password: Secret,
}

/// Facts about a session, readable without the key. Fields unknown to this version are kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Info {
    /// Name of the provider profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// When the last login was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login_at: Option<Wall>,
    /// When the last successful exchange was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_refresh: Option<Wall>,
    /// The shortest lifetime, in seconds, after which the server was seen to refuse a token it called valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learned_s: Option<i64>,
    /// How long recent exchanges took, in milliseconds, newest last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exchange_ms: Vec<u64>,
    /// Everything else.
    #[serde(flatten)]
    pub extra: BTreeMap<String, serde_json::Value>,
}

/// What an event that everybody sees may be stored once for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Once {
    /// For its session and generation.
    AGeneration,
    /// For its session, from one login to the next.
    ALogin,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventRow {
    /// Given by the store, rising; ignored when appended.
    pub id: u64,
    /// When.
    pub at: Wall,
    /// The session it is about; empty for the store itself.
    pub session: String,
    /// What kind of event, snake case.
    pub kind: String,
    /// The generation it is about.
    pub generation: Generation,
    /// One sentence for a person.
    pub text: String,
    /// The failure, if it is one.
    pub failure: Option<Failure>,
    /// Who wrote it.
    pub holder: String,
}
