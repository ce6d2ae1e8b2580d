//! I8: after a final refusal nobody asks the server for that token again, until somebody logs in.

use std::collections::BTreeSet;

use super::Oracle;
use crate::facts::Fact;
use crate::server::Refresh;

#[derive(Default)]
pub(super) struct Latched {
    /// Refused for all.
    latched: BTreeSet<Refresh>,
    /// Refused, but the store could not be told: only the process that knows keeps quiet.
    lost: BTreeSet<Refresh>,
    known: BTreeSet<((usize, u32), Refresh)>,
}

impl Oracle for Latched {
    fn see(&mut self, _at: u64, fact: &Fact) -> Result<(), String> {
        match *fact {
            Fact::LatchLost {
                token: Some(token), ..
            } => {
                self.lost.insert(token);
            }
            Fact::Ended {
                process,
                token: Some(token),
                ..
            } => {
                self.known.insert((process, token));
                if !self.lost.contains(&token) {
                    self.latched.insert(token);
                }
            }
            Fact::Sent {
                process,
                token: Some(token),
                ..
            } if self.latched.contains(&token) || self.known.contains(&(process, token)) => {
                return Err(format!("{token:?} is sent again after its final refusal"));
            }
            _ => {}
        }
        Ok(())
    }
}
