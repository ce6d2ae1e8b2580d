//! What goes into the machine and what comes out.

use crate::failure::Failure;
use crate::pair::{Fingerprint, Generation};
use crate::time::Mono;

/// States as shown to people and in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// No credentials yet.
    Empty,
    /// Valid, not due.
    Fresh,
    /// Valid, refresh due or running; or never used yet, and no person is needed for the first token.
    Due,
    /// Valid, refresh failing.
    Degraded,
    /// No valid access token; refresh possible, running or backing off.
    Expired,
    /// Final: a person must log in.
    NeedsLogin,
    /// Final: configuration, client, consent or clock must be fixed.
    NeedsOperator,
}

impl State {
    /// The word as written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Empty => "empty",
            State::Fresh => "fresh",
            State::Due => "due",
            State::Degraded => "degraded",
            State::Expired => "expired",
            State::NeedsLogin => "needs_login",
            State::NeedsOperator => "needs_operator",
        }
    }
}

/// What the machine knows of a token pair. Instants are on this process's suspend-proof clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its generation.
    pub generation: Generation,
    /// When its request was sent.
    pub issued: Mono,
    /// When the access token ends; `None` when unknown: it is then used until it is refused.
    pub expires: Option<Mono>,
    /// When the server wants the refresh.
    pub refresh_at: Option<Mono>,
    /// When the refresh token ends.
    pub refresh_expires: Option<Mono>,
    /// When the session ends whatever is done.
    pub session_ends: Option<Mono>,
    /// Whether anything (refresh token, stored password, client credentials) can renew it.
    pub renewable: bool,
    /// Recognises what renews it, together with the client that would ask.
    pub fingerprint: Option<Fingerprint>,
}

/// What the store holds of a session, as read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    /// The stored generation; 0 when there never was a pair.
    pub generation: Generation,
    /// The pair, unless logged out or unreadable.
    pub held: Option<Held>,
    /// An exchange that may have been sent.
    pub intent: Option<IntentSeen>,
    /// A final refusal that is remembered.
    pub latch: Option<(Fingerprint, Failure)>,
    /// What troubles the stored generation.
    pub trouble: Option<Trouble>,
    /// Why the row cannot be opened.
    pub unreadable: Option<Failure>,
}

/// What troubles a generation, told by whoever met it to everybody who shares the store (I14). It ends nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    /// The generation it is about.
    pub generation: Generation,
    /// Exchanges that failed in a row.
    pub failures: u32,
    /// No exchange before then.
    pub not_before: Mono,
    /// The API refused the access token, in words that are about the token.
    pub refused: bool,
    /// What happened last.
    pub failure: Failure,
}

/// The durable note of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntentSeen {
    /// The generation that would be spent.
    pub generation: Generation,
    /// How often it was sent or about to be.
    pub attempts: u32,
}

/// Whether a failed request reached the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Proven: it did not.
    No,
    /// It did, and the server answered that it did nothing.
    Answered,
    /// It may have, and the server may have acted (I10).
    Maybe,
}

/// How an exchange ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// A new pair; the keeper holds it until it is saved.
    Granted(Held),
    /// It failed for now.
    Passing {
        /// What happened.
        failure: Failure,
        /// How long the server wants to be left alone, milliseconds.
        retry_after_ms: Option<u64>,
        /// Whether the request reached the server.
        sent: Sent,
    },
    /// The profile proves that this credential is finished.
    Final(Failure),
}

/// What happens to a session.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Time passed; timers are due.
    Tick,
    /// A caller wants a token that lives at least this long, in milliseconds.
    Wanted {
        /// Least remaining life, milliseconds.
        min_valid_ms: u64,
    },
    /// An API refused the access token of this generation, in a way a refresh can heal.
    Refused {
        /// The generation that was sent.
        generation: Generation,
        /// How the answer was named, where it was.
        failure: Option<Failure>,
    },
    /// An API's answer to this generation's token named a failure that no refresh heals.
    Observed {
        /// The generation that was sent.
        generation: Generation,
        /// How the answer was named.
        failure: Failure,
    },
    /// An API accepted the access token of this generation at some time before; it was refused since.
    AcceptedBefore {
        /// The generation that was sent.
        generation: Generation,
    },
    /// An API accepted the access token of this generation.
    Accepted {
        /// The generation that was sent.
        generation: Generation,
    },
    /// A person wants a refresh now.
    Forced,
    /// The lease is ours; this is the row under it.
    LeaseGranted(Stored),
    /// Somebody else holds the lease.
    LeaseHeld {
        /// At most this long, milliseconds.
        for_ms: u64,
    },
    /// The token endpoint is being left alone until then (I14).
    Paced {
        /// When it may be asked again.
        until: Mono,
        /// Why.
        failure: Failure,
    },
    /// The store cannot be asked for the lease.
    LeaseFailed(Failure),
    /// The intent is durable.
    IntentWritten,
    /// The intent could not be written: the store is not writable.
    IntentFailed(Failure),
    /// The exchange ended.
    Exchanged(Outcome),
    /// The new pair is durable.
    Saved,
    /// The new pair was not saved: somebody else saved first. This is the row now.
    SaveMoved(Stored),
    /// The new pair could not be saved.
    SaveFailed(Failure),
    /// The row, read again (answer to [`Action::LookAgain`]); `None` when it could not be read.
    Looked(Option<Stored>),
    /// The refusal is remembered in the store, or could not be.
    Latched,
    /// The row as it is now, after somebody changed it: a newer pair, a login, a logout, a latch.
    Changed(Stored),
}

/// What the keeper must do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Take the lease and read the row under it. Answer: `LeaseGranted`, `LeaseHeld`, `LeaseFailed`, `Paced`.
    Claim,
    /// Write the intent. Answer: `IntentWritten` or `IntentFailed`.
    WriteIntent(IntentSeen),
    /// Send the exchange. Answer: `Exchanged`.
    Exchange {
        /// The generation being spent.
        generation: Generation,
        /// An earlier exchange of this generation may have been processed.
        unknown: bool,
    },
    /// Save the pair the exchange brought. Answer: `Saved`, `SaveMoved`, `SaveFailed`.
    Save {
        /// The generation the row must still have.
        expect: Generation,
    },
    /// Put the unsaved pair in the spare slot.
    SaveSpare,
    /// Read the row again. Answer: `Looked`.
    LookAgain,
    /// Remember the refusal in the store. Answer: `Latched`.
    Latch(Failure),
    /// Tell everybody who shares the store what troubles this generation, or that nothing does any more.
    /// Advice: nothing depends on its being heard.
    Note(Generation, Option<Trouble>),
    /// Remove the intent: the server provably did nothing.
    ClearIntent(Generation),
    /// Give the lease back.
    Release,
    /// Take over the pair of this generation from the row given last.
    Adopt(Generation),
    /// The pair the exchange brought is now the current one.
    Publish,
    /// Forget the pair: logged out.
    Forget,
    /// Tell the world.
    Emit(Event),
}

/// What the world is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A new pair by exchange.
    Refreshed(Generation),
    /// A pair somebody else stored.
    Adopted(Generation),
    /// An exchange failed for now; the next attempt comes after so many milliseconds.
    RefreshFailed(Failure, u64),
    /// The reply of an exchange is unknown; it is tried once more.
    UnknownOutcome(Generation),
    /// The session cannot go on without a person.
    Ended(Failure),
    /// The new pair could not be saved yet.
    Unsaved(Failure),
    /// It was saved after all.
    SavedLate(Generation),
    /// An API refused the token, and how the answer was named.
    Refused(Generation, Option<Failure>),
    /// An API said what no refresh heals; the session goes on.
    Observed(Failure),
    /// The access token ended without a successor; whether anything but a person can bring one.
    Expired(Generation, bool),
    /// The session's end cannot be moved and is near; milliseconds left.
    Ending(u64),
    /// Logged out.
    LoggedOut,
}
