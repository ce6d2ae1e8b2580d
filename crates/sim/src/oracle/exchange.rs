//! I1: never two exchanges of one token under way; a second one only by somebody who found the note of the
//! first, or after the first is known to have done nothing.

use std::collections::BTreeMap;

use super::Oracle;
use crate::facts::{Close, Fact};
use crate::server::Refresh;

#[derive(Default)]
pub(super) struct OneExchange {
    /// Open exchanges: the token, and who runs it.
    open: BTreeMap<u64, (Refresh, (usize, u32))>,
    /// Tokens an earlier exchange of which may have been, or was, processed.
    spent: BTreeMap<Refresh, u64>,
}

impl OneExchange {
    fn lapse(&mut self, process: (usize, u32)) {
        self.open.retain(|_, (_, holder)| *holder != process);
    }
}

impl Oracle for OneExchange {
    fn see(&mut self, _at: u64, fact: &Fact) -> Result<(), String> {
        match *fact {
            Fact::Sent {
                call,
                process,
                token: Some(token),
                unknown,
                spends: true,
                leased,
                ..
            } => {
                if self.open.values().any(|(open, _)| *open == token) {
                    return Err(format!("two exchanges of {token:?} are under way"));
                }
                if !unknown && self.spent.contains_key(&token) {
                    return Err(format!(
                        "{token:?} is spent again by somebody who does not know of the first time"
                    ));
                }
                if !leased {
                    return Err(format!("{token:?} is spent without the lease"));
                }
                self.open.insert(call, (token, process));
                self.spent.insert(token, call);
            }
            Fact::Closed { call, how } => {
                self.open.remove(&call);
                if how == Close::Nothing {
                    self.spent.retain(|_, last| *last != call);
                }
            }
            Fact::Down { process } | Fact::Lapsed { process } => self.lapse(process),
            _ => {}
        }
        Ok(())
    }
}
