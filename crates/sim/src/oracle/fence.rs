//! A write under a lease that is somebody else's by now changes nothing.

use super::Oracle;
use crate::facts::Fact;

#[derive(Default)]
pub(super) struct Fence;

impl Oracle for Fence {
    fn see(&mut self, _at: u64, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Wrote {
                stale: true, what, ..
            } => Err(format!("a stale holder's {what} took effect")),
            _ => Ok(()),
        }
    }
}
