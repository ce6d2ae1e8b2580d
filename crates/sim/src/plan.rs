//! What a run is made of: everything follows from the seed, and every part can be taken away to shrink a failure.

use std::collections::BTreeSet;

use crate::rng::Rng;

/// How the authorization server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Persona {
    /// Our issuer: the rotation rule of DESIGN §11.
    Issuer {
        /// Whether it sees every use of an access token.
        use_visible: bool,
    },
    /// Any token presented a second time ends its family.
    Strict,
    /// The refresh token stays the same.
    NonRotating,
    /// The previous token yields the same successor for ever.
    SameSuccessor,
    /// Client credentials: no refresh token at all.
    ClientCredentials,
}

/// What can go wrong or happen in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// A token request never arrives.
    LoseRequest,
    /// The answer never arrives.
    LoseReply,
    /// The connection breaks after the server acted.
    Reset,
    /// No connection can be made.
    ConnectRefused,
    /// Requests and answers take seconds.
    Slow,
    /// 500 without having acted, 429, or a page of HTML.
    ServerTrouble,
    /// 500 after having acted.
    TroubleAfterCommit,
    /// A store operation fails and does nothing.
    StoreBefore,
    /// A store operation takes effect and its answer is an error.
    StoreAfter,
    /// Store operations take long.
    StoreSlow,
    /// The store is out of reach for a while.
    StoreDown,
    /// A process is killed and started again later.
    Crash,
    /// A process stands still for a while.
    Suspend,
    /// A wall clock is set.
    WallJump,
    /// The server revokes the current access token.
    RevokeAccess,
    /// An administrator ends the family.
    RevokeFamily,
    /// Somebody logs out, and in again later.
    Logout,
    /// Somebody logs in anew.
    Login,
    /// The API refuses every token for a while.
    ApiBroken,
    /// Many callers at once.
    Storm,
    /// A person wants a refresh now.
    Forced,
    /// Callers want more life than is left.
    LongWish,
    /// Somebody copied the refresh token.
    Thief,
}

impl Fault {
    /// All but the thief, who has runs of his own.
    pub const ALL: [Fault; 22] = [
        Fault::LoseRequest,
        Fault::LoseReply,
        Fault::Reset,
        Fault::ConnectRefused,
        Fault::Slow,
        Fault::ServerTrouble,
        Fault::TroubleAfterCommit,
        Fault::StoreBefore,
        Fault::StoreAfter,
        Fault::StoreSlow,
        Fault::StoreDown,
        Fault::Crash,
        Fault::Suspend,
        Fault::WallJump,
        Fault::RevokeAccess,
        Fault::RevokeFamily,
        Fault::Logout,
        Fault::Login,
        Fault::ApiBroken,
        Fault::Storm,
        Fault::Forced,
        Fault::LongWish,
    ];
}

/// A protection that a control run takes away, to prove that an oracle would notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Guard {
    /// The lease keeps others out.
    Lease,
    /// Writes of a stale holder change nothing.
    Fence,
    /// The intent is written.
    Intent,
    /// The row is read again after a refusal.
    LookAgain,
    /// The refusal is stored.
    Latch,
    /// The new pair is stored before it is shown.
    Save,
    /// What one process met is read by the others.
    Trouble,
    /// The driver reads the row again rather than let a pair of another generation stand.
    RightPair,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Seed of everything random within the run.
    pub seed: u64,
    /// The server.
    pub persona: Persona,
    /// Processes sharing the store, each a host of its own or all on one.
    pub processes: usize,
    /// Whether they share one host and so one monotonic clock.
    pub one_host: bool,
    /// Sessions.
    pub sessions: usize,
    /// Access token lifetime, milliseconds.
    pub life_ms: u64,
    /// Whether the server says how long its access tokens live.
    pub says_life: bool,
    /// Refreshed only when wanted.
    pub lazy: bool,
    /// What may go wrong.
    pub faults: BTreeSet<Fault>,
    /// Protections taken away.
    pub without: BTreeSet<Guard>,
    /// When faults stop, milliseconds from the start.
    pub calm_ms: u64,
}

impl Plan {
    /// The run of a seed.
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x7e4u64.rotate_left(40));
        let persona = rng.pick(&[
            Persona::Issuer { use_visible: false },
            Persona::Issuer { use_visible: true },
            Persona::Issuer { use_visible: true },
            Persona::Strict,
            Persona::Strict,
            Persona::NonRotating,
            Persona::SameSuccessor,
            Persona::ClientCredentials,
        ]);
        // Each run has some kinds of faults only: a run with all of them hides what a run with two shows.
        let share = rng.pick(&[0, 100, 300, 600]);
        let faults = Fault::ALL
            .into_iter()
            .filter(|_| rng.chance(share))
            .collect();
        Self {
            seed,
            persona,
            processes: rng.between(1, 3) as usize,
            one_host: rng.chance(500),
            sessions: rng.between(1, 2) as usize,
            life_ms: rng.pick(&[20_000, 60_000, 300_000]),
            says_life: rng.chance(900),
            lazy: rng.chance(200),
            faults,
            without: BTreeSet::new(),
            calm_ms: rng.pick(&[120_000, 300_000, 900_000]),
        }
    }

    /// A run without faults.
    pub fn calm(seed: u64, persona: Persona, processes: usize) -> Self {
        Self {
            persona,
            processes,
            one_host: true,
            sessions: 1,
            life_ms: 60_000,
            says_life: true,
            lazy: false,
            faults: BTreeSet::new(),
            calm_ms: 600_000,
            ..Self::of(seed)
        }
    }

    /// The same with these faults.
    #[must_use]
    pub fn with(mut self, faults: &[Fault]) -> Self {
        self.faults.extend(faults);
        self
    }

    /// The same without this protection.
    #[must_use]
    pub fn without(mut self, guard: Guard) -> Self {
        self.without.insert(guard);
        self
    }

    pub(crate) fn spends(&self) -> bool {
        !matches!(
            self.persona,
            Persona::NonRotating | Persona::ClientCredentials
        )
    }

    /// Smaller runs that may still show the same failure.
    pub fn smaller(&self) -> Vec<Plan> {
        let mut all: Vec<Plan> = self
            .faults
            .iter()
            .map(|fault| {
                let mut plan = self.clone();
                plan.faults.remove(fault);
                plan
            })
            .collect();
        if self.calm_ms > 30_000 {
            all.push(Plan {
                calm_ms: self.calm_ms / 2,
                ..self.clone()
            });
        }
        if self.processes > 1 {
            all.push(Plan {
                processes: self.processes - 1,
                ..self.clone()
            });
        }
        if self.sessions > 1 {
            all.push(Plan {
                sessions: 1,
                ..self.clone()
            });
        }
        all
    }
}
