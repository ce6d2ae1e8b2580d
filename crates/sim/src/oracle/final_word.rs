//! I5 and I6: a session ends only by a refusal of exactly the generation that was tried, and only after the
//! row was read again and still had that generation.

use std::collections::{BTreeMap, BTreeSet};

use super::Oracle;
use crate::facts::{Close, Fact};

#[derive(Default)]
pub(super) struct FinalWord {
    calls: BTreeMap<u64, (usize, u64)>,
    refused: BTreeSet<(usize, u64)>,
    looked: BTreeMap<((usize, u32), usize), Option<u64>>,
}

impl Oracle for FinalWord {
    fn see(&mut self, _at: u64, fact: &Fact) -> Result<(), String> {
        match *fact {
            Fact::Sent {
                call,
                session,
                generation,
                ..
            } => {
                self.calls.insert(call, (session, generation.0));
            }
            Fact::Closed {
                call,
                how: Close::Final,
            } => {
                if let Some(tried) = self.calls.get(&call) {
                    self.refused.insert(*tried);
                }
            }
            Fact::Looked {
                process,
                session,
                generation,
            } => {
                self.looked.insert(
                    (process, session),
                    generation.map(|generation| generation.0),
                );
            }
            Fact::Ended {
                process,
                session,
                generation,
                ..
            } => {
                if !self.refused.contains(&(session, generation.0)) {
                    return Err(format!("session {session} ended without a refusal"));
                }
                let looked = self.looked.get(&(process, session)).copied().flatten();
                if looked != Some(generation.0) {
                    return Err(format!(
                        "session {session} ended at generation {generation}, but the row read last had {looked:?}"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
