//! I8: after a final refusal nobody asks the server for that token again, until somebody logs in.

use std::collections::BTreeSet;

use super::Oracle;
use crate::facts::Fact;
use crate::server::Refresh;

/// A refresh token at a generation: where it does not rotate, a newer pair proves that it worked again.
type Tried = (u64, Refresh);

#[derive(Default)]
pub(super) struct Latched {
    /// Refused for all.
    latched: BTreeSet<Tried>,
    /// Refused, but the store could not be told: only the process that knows keeps quiet.
    lost: BTreeSet<Refresh>,
    known: BTreeSet<((usize, u32), Tried)>,
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
                generation,
                token: Some(token),
                ..
            } => {
                let tried = (generation.0, token);
                self.known.insert((process, tried));
                if !self.lost.contains(&token) {
                    self.latched.insert(tried);
                }
            }
            Fact::Sent {
                process,
                generation,
                token: Some(token),
                alone,
                ..
            } => {
                let tried = (generation.0, token);
                // Who stood still while it was latched and cannot reach the store now has no way to know.
                if (!alone && self.latched.contains(&tried))
                    || self.known.contains(&(process, tried))
                {
                    return Err(format!("{token:?} is sent again after its final refusal"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
