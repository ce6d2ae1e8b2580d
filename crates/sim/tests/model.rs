//! Lease, intent and rotation, exhaustively: every interleaving of three holders that share a store, with crashes, pauses, lost
//! requests, lost replies and a window that has closed, against the issuer's real rotation rule.
//!
//! What is assumed of time, because leases rest on it (DESIGN §9): a request is processed before its sender's lease ends,
//! or never; a holder whose lease has ended by its own clock sends nothing more.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use stateright::{Checker, HasDiscoveries, Model, Property};
use tenure_core::family::{self, Decision, Family, Options, Presented};

const HOLDERS: usize = 3;
/// The session is renewed until its refresh token is of this generation at the server.
const GOAL: u64 = 4;

/// Where a holder is in its transaction.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
enum Phase {
    Idle,
    /// It holds the lease it was given with this epoch, and has read the token.
    Claimed {
        epoch: u8,
        token: u64,
    },
    /// Its intent is durable.
    Intended {
        epoch: u8,
        token: u64,
    },
    /// Its request is out.
    Sent {
        epoch: u8,
        token: u64,
    },
    /// It has the successor of this token.
    Answered {
        epoch: u8,
        token: u64,
        successor: u64,
    },
    /// The server refused this token for good.
    Refused {
        epoch: u8,
        token: u64,
    },
    /// It saved, and holds the lease still.
    Saved {
        epoch: u8,
    },
    Down,
}

/// What is on its way.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
enum Wire {
    Nothing,
    Request(u64),
    Reply(u64),
    Refusal,
}

/// The session's row.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
struct Row {
    /// The refresh token that is stored, by its generation at the server.
    token: u64,
    epoch: u8,
    /// Who holds the lease.
    holder: Option<usize>,
    /// The lease has ended by the store's clock.
    ended: bool,
    intent: Option<u64>,
    latched: bool,
}

/// What may still go wrong.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
struct Mishaps {
    crashes: u8,
    losses: u8,
    pauses: u8,
    /// The server's retry window closes: time passes.
    delays: u8,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct State {
    row: Row,
    holders: [Phase; HOLDERS],
    wires: [Wire; HOLDERS],
    family: Server,
    left: Mishaps,
    /// How often each generation's token was presented.
    presented: [u8; GOAL as usize + 2],
}

/// The family at the server, in the fields the rule changes.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
struct Server {
    generation: u64,
    window_from_ms: i64,
    late_at: Option<u64>,
    revoked: bool,
    now_ms: i64,
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
enum Action {
    Claim(usize),
    Intend(usize),
    Send(usize),
    Process(usize),
    Receive(usize),
    GiveUp(usize),
    Save(usize),
    Judge(usize),
    Release(usize),
    LoseRequest(usize),
    LoseReply(usize),
    Crash(usize),
    Restart(usize),
    LeaseEnds,
    TimePasses,
}

/// The protocol, whole or with a part taken out.
#[derive(Clone, Copy)]
struct Protocol {
    mishaps: Mishaps,
    /// Whether a live lease keeps others away.
    leases: bool,
    /// Whether a holder whose lease has ended sends nothing.
    guard: bool,
    /// Whether a write under a lease that has passed on, or for a token that is no longer stored, is refused.
    fencing: bool,
}

const WHOLE: Protocol = Protocol {
    mishaps: Mishaps {
        crashes: 2,
        losses: 2,
        pauses: 1,
        delays: 1,
    },
    leases: true,
    guard: true,
    fencing: true,
};

impl Protocol {
    /// Whether a write of this holder, under this epoch and for this token, is taken.
    fn takes(self, row: &Row, who: usize, epoch: u8, token: u64) -> bool {
        !self.fencing || (row.holder == Some(who) && row.epoch == epoch && row.token == token)
    }

    fn steps(self, state: &State, who: usize, actions: &mut Vec<Action>) {
        let row = &state.row;
        let due = row.token < GOAL && !row.latched;
        match state.holders[who] {
            Phase::Idle if due && (row.holder.is_none() || row.ended || !self.leases) => {
                actions.push(Action::Claim(who));
            }
            Phase::Idle => {}
            Phase::Claimed { .. } => actions.push(Action::Intend(who)),
            Phase::Intended { .. } => actions.push(Action::Send(who)),
            Phase::Sent { .. } => match state.wires[who] {
                Wire::Reply(_) | Wire::Refusal => actions.push(Action::Receive(who)),
                Wire::Nothing => actions.push(Action::GiveUp(who)),
                Wire::Request(_) => {}
            },
            Phase::Answered { .. } => actions.push(Action::Save(who)),
            Phase::Refused { .. } => actions.push(Action::Judge(who)),
            Phase::Saved { .. } => actions.push(Action::Release(who)),
            Phase::Down => actions.push(Action::Restart(who)),
        }
        match state.wires[who] {
            Wire::Request(_) => {
                actions.push(Action::Process(who));
                if state.left.losses > 0 {
                    actions.push(Action::LoseRequest(who));
                }
            }
            Wire::Reply(_) if state.left.losses > 0 => actions.push(Action::LoseReply(who)),
            _ => {}
        }
        let busy = !matches!(state.holders[who], Phase::Idle | Phase::Down);
        if busy && state.left.crashes > 0 {
            actions.push(Action::Crash(who));
        }
    }

    /// A lease ends under a holder that is down, or that is paused for longer than it lasts; never while its request is under
    /// way.
    fn lease_may_end(state: &State) -> bool {
        let Some(holder) = state.row.holder.filter(|_| !state.row.ended) else {
            return false;
        };
        let under_way = matches!(state.wires[holder], Wire::Request(_));
        let holds = match state.holders[holder] {
            Phase::Claimed { epoch, .. }
            | Phase::Intended { epoch, .. }
            | Phase::Sent { epoch, .. }
            | Phase::Answered { epoch, .. }
            | Phase::Refused { epoch, .. }
            | Phase::Saved { epoch } => epoch == state.row.epoch,
            Phase::Idle | Phase::Down => false,
        };
        !under_way && (!holds || state.left.pauses > 0)
    }

    fn drop_lease(row: &mut Row, who: usize, epoch: u8) {
        if row.holder == Some(who) && row.epoch == epoch {
            row.holder = None;
            row.ended = false;
        }
    }
}

/// The server gets a token.
fn process(server: &mut Server, token: u64) -> Wire {
    let family = Family {
        generation: server.generation,
        window_from_ms: server.window_from_ms,
        late_at: server.late_at,
        used_ms: server.now_ms,
        ..Family::new(0)
    };
    let family = if server.revoked {
        family.revoke(family::Subtype::StaleGeneration)
    } else {
        family
    };
    let presented = Presented {
        generation: token,
        matches: true,
    };
    match family::decide(&family, presented, server.now_ms, &Options::default()) {
        Decision::Rotate(next) | Decision::SameSuccessor(next) => {
            server.generation = next.generation;
            server.window_from_ms = next.window_from_ms;
            server.late_at = next.late_at;
            Wire::Reply(next.generation)
        }
        Decision::Kill { .. } => {
            server.revoked = true;
            Wire::Refusal
        }
        _ => Wire::Refusal,
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            row: Row {
                token: 1,
                epoch: 0,
                holder: None,
                ended: false,
                intent: None,
                latched: false,
            },
            holders: [Phase::Idle; HOLDERS],
            wires: [Wire::Nothing; HOLDERS],
            family: Server {
                generation: 1,
                window_from_ms: 0,
                late_at: None,
                revoked: false,
                now_ms: 0,
            },
            left: self.mishaps,
            presented: [0; GOAL as usize + 2],
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for who in 0..HOLDERS {
            self.steps(state, who, actions);
        }
        if Self::lease_may_end(state) {
            actions.push(Action::LeaseEnds);
        }
        if state.left.delays > 0 {
            actions.push(Action::TimePasses);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        let row = &mut state.row;
        match action {
            Action::Claim(who) => {
                row.epoch += 1;
                row.holder = Some(who);
                row.ended = false;
                state.holders[who] = Phase::Claimed {
                    epoch: row.epoch,
                    token: row.token,
                };
            }
            Action::Intend(who) => {
                let Phase::Claimed { epoch, token } = state.holders[who] else {
                    return None;
                };
                state.holders[who] = if self.takes(row, who, epoch, token) {
                    row.intent = Some(token);
                    Phase::Intended { epoch, token }
                } else {
                    Phase::Idle
                };
            }
            Action::Send(who) => {
                let Phase::Intended { epoch, token } = state.holders[who] else {
                    return None;
                };
                // By its own clock, which counts through a pause, it knows that its lease has ended.
                let over = row.epoch != epoch || row.ended;
                if self.guard && over {
                    state.holders[who] = Phase::Idle;
                } else {
                    state.wires[who] = Wire::Request(token);
                    state.holders[who] = Phase::Sent { epoch, token };
                }
            }
            Action::Process(who) => {
                let Wire::Request(token) = state.wires[who] else {
                    return None;
                };
                state.presented[usize::try_from(token).unwrap()] += 1;
                let answer = process(&mut state.family, token);
                // Nobody is there any more to hear it.
                let heard = matches!(state.holders[who], Phase::Sent { .. });
                state.wires[who] = if heard { answer } else { Wire::Nothing };
            }
            Action::Receive(who) => {
                let Phase::Sent { epoch, token } = state.holders[who] else {
                    return None;
                };
                state.holders[who] = match state.wires[who] {
                    Wire::Reply(successor) => Phase::Answered {
                        epoch,
                        token,
                        successor,
                    },
                    _ => Phase::Refused { epoch, token },
                };
                state.wires[who] = Wire::Nothing;
            }
            // The intent stays: nobody knows what became of the request.
            Action::GiveUp(who) => {
                let Phase::Sent { epoch, .. } = state.holders[who] else {
                    return None;
                };
                Self::drop_lease(row, who, epoch);
                state.holders[who] = Phase::Idle;
            }
            Action::Save(who) => {
                let Phase::Answered {
                    epoch,
                    token,
                    successor,
                } = state.holders[who]
                else {
                    return None;
                };
                state.holders[who] = if self.takes(row, who, epoch, token) {
                    row.token = successor;
                    row.intent = None;
                    Phase::Saved { epoch }
                } else {
                    Phase::Idle
                };
            }
            // The store is read again before anything is given up (I6).
            Action::Judge(who) => {
                let Phase::Refused { epoch, token } = state.holders[who] else {
                    return None;
                };
                if self.takes(row, who, epoch, token) {
                    row.latched = true;
                }
                Self::drop_lease(row, who, epoch);
                state.holders[who] = Phase::Idle;
            }
            Action::Release(who) => {
                let Phase::Saved { epoch } = state.holders[who] else {
                    return None;
                };
                Self::drop_lease(row, who, epoch);
                state.holders[who] = Phase::Idle;
            }
            Action::LoseRequest(who) | Action::LoseReply(who) => {
                state.left.losses -= 1;
                state.wires[who] = Wire::Nothing;
            }
            Action::Crash(who) => {
                state.left.crashes -= 1;
                state.holders[who] = Phase::Down;
                if !matches!(state.wires[who], Wire::Request(_)) {
                    state.wires[who] = Wire::Nothing;
                }
            }
            Action::Restart(who) => {
                // What its last life sent is answered or lost by the time it sends again.
                if matches!(state.wires[who], Wire::Request(_)) {
                    return None;
                }
                state.holders[who] = Phase::Idle;
            }
            Action::LeaseEnds => {
                let holder = row.holder?;
                if !matches!(state.holders[holder], Phase::Down | Phase::Idle) {
                    state.left.pauses = state.left.pauses.saturating_sub(1);
                }
                row.ended = true;
            }
            Action::TimePasses => {
                state.left.delays -= 1;
                state.family.now_ms += 60_000;
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "at most one request is under way (I1)",
                |_, state: &State| {
                    let requests = state.wires.iter();
                    requests
                        .filter(|wire| matches!(wire, Wire::Request(_)))
                        .count()
                        <= 1
                },
            ),
            Property::always("the family is not revoked", |_, state: &State| {
                !state.family.revoked
            }),
            Property::always("the session is not given up (I5)", |_, state: &State| {
                !state.row.latched
            }),
            Property::always(
                "an exchange under way has its intent (I2)",
                |_, state: &State| {
                    state.wires.iter().all(|wire| match wire {
                        Wire::Request(token) => {
                            state.row.intent == Some(*token) || state.row.token > *token
                        }
                        _ => true,
                    })
                },
            ),
            Property::always(
                "the store holds what the server gave",
                |_, state: &State| {
                    state.row.token <= state.family.generation
                        && state.row.token + 1 >= state.family.generation
                },
            ),
            Property::always(
                "a token is presented again for a mishap only",
                |model: &Self, state: &State| {
                    let (had, left) = (model.mishaps, state.left);
                    let mishaps = had.crashes - left.crashes + had.losses - left.losses
                        + had.pauses
                        - left.pauses;
                    state.presented.iter().all(|times| *times <= 1 + mishaps)
                },
            ),
            Property::always("nobody is left waiting", |model: &Self, state: &State| {
                let mut actions = Vec::new();
                model.actions(state, &mut actions);
                let stuck = actions
                    .iter()
                    .all(|action| model.next_state(state, *action).is_none());
                !stuck || state.row.token == GOAL
            }),
            Property::sometimes("every mishap can be survived", |_, state: &State| {
                let left = state.left;
                state.row.token == GOAL
                    && left.crashes + left.losses + left.pauses + left.delays == 0
            }),
        ]
    }
}

/// The names of the properties that do not hold, and how many states were seen.
fn broken(protocol: Protocol) -> (Vec<&'static str>, usize) {
    let checker = protocol
        .checker()
        .threads(std::thread::available_parallelism().map_or(1, usize::from))
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let found = checker.discoveries();
    let names = checker.model().properties().into_iter().filter(|property| {
        let is_example = property.name.starts_with("every mishap");
        found.contains_key(property.name) != is_example
    });
    (
        names.map(|property| property.name).collect(),
        checker.unique_state_count(),
    )
}

#[test]
fn every_interleaving_keeps_the_session() {
    let (broken, states) = broken(WHOLE);
    assert!(broken.is_empty(), "{broken:?}");
    println!("{states} states");
    assert!(states > 100_000, "that was no search: {states} states");
}

#[test]
fn control_without_leases_two_requests_are_under_way() {
    let (broken, _) = broken(Protocol {
        leases: false,
        ..WHOLE
    });
    assert!(
        broken.contains(&"at most one request is under way (I1)"),
        "{broken:?}"
    );
}

#[test]
fn control_without_the_guard_a_holder_that_slept_sends_beside_another() {
    let (broken, _) = broken(Protocol {
        guard: false,
        mishaps: Mishaps {
            crashes: 0,
            losses: 0,
            ..WHOLE.mishaps
        },
        ..WHOLE
    });
    assert!(!broken.is_empty());
}

#[test]
fn control_without_fencing_a_late_save_undoes_a_newer_one() {
    let (broken, _) = broken(Protocol {
        fencing: false,
        ..WHOLE
    });
    assert!(!broken.is_empty());
}
