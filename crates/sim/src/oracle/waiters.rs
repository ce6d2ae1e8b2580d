//! Every waiter is answered, once.

use std::collections::BTreeMap;

use super::Oracle;
use crate::facts::Fact;

#[derive(Default)]
pub(super) struct Waiters {
    open: BTreeMap<u64, (usize, u32)>,
}

impl Oracle for Waiters {
    fn see(&mut self, _at: u64, fact: &Fact) -> Result<(), String> {
        match *fact {
            Fact::Waits { waiter, process } => {
                self.open.insert(waiter, process);
            }
            Fact::Answered { waiter, .. } if self.open.remove(&waiter).is_none() => {
                return Err(format!("waiter {waiter} was answered twice"));
            }
            // Its callers died with it.
            Fact::Down { process } => self.open.retain(|_, of| *of != process),
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        match self.open.len() {
            0 => Ok(()),
            open => Err(format!("{open} waiters were never answered")),
        }
    }
}
