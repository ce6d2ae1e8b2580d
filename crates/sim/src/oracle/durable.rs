//! I2: the intent is durable before the request leaves, the pair before anybody sees the access token (or the
//! state says `unsaved`, I9).

use std::collections::BTreeSet;

use super::Oracle;
use crate::facts::Fact;

#[derive(Default)]
pub(super) struct Durable {
    durable: BTreeSet<u64>,
}

impl Oracle for Durable {
    fn see(&mut self, _at: u64, fact: &Fact) -> Result<(), String> {
        match *fact {
            Fact::Durable { access, .. } | Fact::Spared { access, .. } => {
                self.durable.insert(access);
            }
            Fact::Shown {
                access,
                unsaved: false,
                ..
            } if !self.durable.contains(&access) => {
                return Err(format!(
                    "access token {access} was shown, is not durable, and nothing says so"
                ));
            }
            Fact::Sent {
                spends: true,
                noted: false,
                generation,
                ..
            } => {
                return Err(format!(
                    "generation {generation} was spent without a durable intent"
                ));
            }
            _ => {}
        }
        Ok(())
    }
}
