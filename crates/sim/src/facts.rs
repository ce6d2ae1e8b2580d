//! What the oracles are told. The trace of a run is the sequence of its facts.

use tenure_core::Generation;
use tenure_core::family::Subtype;
use tenure_core::session::State;

use crate::server::Refresh;

/// How an exchange ended for the process that ran it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Close {
    /// It holds the new tokens.
    Granted,
    /// Refused for good.
    Final,
    /// Provably nothing happened at the server.
    Nothing,
    /// It cannot know.
    Unknown,
}

/// Something that happened. `process` is a process and the number of its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(
    missing_docs,
    reason = "the variants say it; fields are the same everywhere"
)]
pub enum Fact {
    /// An exchange was begun although the row said that the server is being left alone.
    Hurried { session: usize },
    /// A process was killed.
    Down { process: (usize, u32) },
    /// A process holds the lease, and saw this row.
    Leased {
        process: (usize, u32),
        session: usize,
        generation: Generation,
        intent: bool,
    },
    /// A request left.
    Sent {
        call: u64,
        process: (usize, u32),
        session: usize,
        generation: Generation,
        token: Option<Refresh>,
        /// The machine knew that an earlier one may have been processed.
        unknown: bool,
        /// The store holds the note of it, or a newer generation.
        noted: bool,
        /// Nobody else has taken the lease, or the store has a newer generation.
        leased: bool,
        /// Without a lease, because the store cannot be reached and nothing is spent.
        alone: bool,
        spends: bool,
        /// There is no pair yet; the session logs itself in.
        first: bool,
        /// Age and life of the access token, when both are known.
        age: Option<(u64, u64)>,
    },
    /// The server acted on a request; `again` when it handed out what it had handed out before.
    Acted {
        call: u64,
        token: Option<Refresh>,
        granted: Option<u64>,
        again: bool,
        killed: Option<Subtype>,
    },
    /// The process learned of the end.
    Closed { call: u64, how: Close },
    /// The lease of a process lapsed or it stood still: others may act.
    Lapsed { process: (usize, u32) },
    /// A pair became durable in its row.
    Durable { session: usize, access: u64 },
    /// A pair became durable in the spare slot; who holds the lease already does not see it there.
    Spared { session: usize, access: u64 },
    /// A write under a lease took effect; `stale` when the lease was somebody else's by then.
    Wrote {
        session: usize,
        what: &'static str,
        stale: bool,
    },
    /// A caller was given this token.
    Shown {
        process: (usize, u32),
        session: usize,
        access: u64,
        unsaved: bool,
        late: bool,
    },
    /// A caller asked for a token the process has, valid, and was not served at once.
    Withheld {
        process: (usize, u32),
        session: usize,
    },
    /// An API refused a token of the generation the machine holds, and it took it for healable.
    Refused {
        process: (usize, u32),
        session: usize,
        generation: Generation,
    },
    /// A caller or a person wants a newer token than this.
    Wish {
        process: (usize, u32),
        session: usize,
        generation: Generation,
    },
    /// The row as read after a refusal; `None` when it could not be read.
    Looked {
        process: (usize, u32),
        session: usize,
        generation: Option<Generation>,
    },
    /// The refusal could not be stored.
    LatchLost {
        session: usize,
        token: Option<Refresh>,
    },
    /// The machine said: a person must log in.
    Ended {
        process: (usize, u32),
        session: usize,
        generation: Generation,
        token: Option<Refresh>,
    },
    /// A thief presented a copied token.
    Stolen { family: u64 },
    /// A thief got tokens for it; `again` when they were handed out before.
    ThiefGranted { family: u64, again: bool },
    /// A waiter came.
    Waits { waiter: u64, process: (usize, u32) },
    /// A waiter was answered.
    Answered { waiter: u64, token: bool },
    /// The machine asked for too many turns at one instant.
    Busy {
        process: (usize, u32),
        session: usize,
    },
    /// How a session stands at the end of the run.
    Rest {
        process: (usize, u32),
        session: usize,
        state: State,
        unsaved: bool,
        /// The refresh token it holds can never yield anything.
        dead: bool,
        /// The store has no pair.
        empty: bool,
        /// The machine's generation is the stored one.
        current: bool,
    },
}
