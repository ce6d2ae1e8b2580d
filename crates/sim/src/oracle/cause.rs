//! I13: no exchange without cause, and few because of an API that refuses whatever it is shown.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Oracle;
use crate::facts::Fact;
use crate::plan::Plan;

pub(super) struct Cause {
    wishes: BTreeSet<((usize, u32), usize, u64)>,
    /// By session and generation: what one process met, it tells the others.
    refusals: BTreeSet<(usize, u64)>,
    interrupted: BTreeMap<((usize, u32), usize), (u64, bool)>,
    by_refusal: BTreeMap<usize, VecDeque<u64>>,
    most: usize,
}

/// Within this time the number of exchanges that refusals cause is bounded.
const WINDOW_MS: u64 = 60_000;

impl Cause {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            wishes: BTreeSet::new(),
            refusals: BTreeSet::new(),
            interrupted: BTreeMap::new(),
            by_refusal: BTreeMap::new(),
            // The wait doubles from 10 s: at 0, 10, 30 and 70 s, in every process and each of its lives; a
            // login in between is new news.
            most: 5 * plan.processes + 5,
        }
    }
}

impl Oracle for Cause {
    fn see(&mut self, at: u64, fact: &Fact) -> Result<(), String> {
        match *fact {
            Fact::Wish {
                process,
                session,
                generation,
            } => {
                self.wishes.insert((process, session, generation.0));
            }
            Fact::Refused {
                session,
                generation,
                ..
            } => {
                self.refusals.insert((session, generation.0));
            }
            Fact::Leased {
                process,
                session,
                generation,
                intent,
            } => {
                self.interrupted
                    .insert((process, session), (generation.0, intent));
            }
            Fact::Sent {
                process,
                session,
                generation,
                unknown,
                age,
                first,
                ..
            } => {
                let key = (process, session, generation.0);
                let interrupted = self.interrupted.get(&(process, session))
                    == Some(&(generation.0, true))
                    || unknown;
                let due = age.is_some_and(|(age, life)| age >= life / 2);
                let refused = self.refusals.contains(&(session, generation.0));
                if !(interrupted || due || refused || first || self.wishes.contains(&key)) {
                    return Err(format!(
                        "an exchange of session {session} generation {generation} without cause"
                    ));
                }
                if refused && !interrupted && !due && !self.wishes.contains(&key) {
                    let times = self.by_refusal.entry(session).or_default();
                    times.push_back(at);
                    while times.front().is_some_and(|first| first + WINDOW_MS < at) {
                        times.pop_front();
                    }
                    if times.len() > self.most {
                        return Err(format!(
                            "{} exchanges of session {session} within a minute because of refusals",
                            times.len()
                        ));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
