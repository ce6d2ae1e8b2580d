//! A server that one process leaves alone is left alone by all that share the store.

use super::Oracle;
use crate::facts::Fact;

#[derive(Default)]
pub(super) struct Hurry;

impl Oracle for Hurry {
    fn see(&mut self, _at: u64, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Hurried { session } => Err(format!(
                "session {session} asks a server that is being left alone"
            )),
            _ => Ok(()),
        }
    }
}
