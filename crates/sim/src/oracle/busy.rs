//! A machine never asks for turn after turn at one instant.

use super::Oracle;
use crate::facts::Fact;

#[derive(Default)]
pub(super) struct Busy;

impl Oracle for Busy {
    fn see(&mut self, _at: u64, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Busy { .. } => Err("a machine turns round and round without time passing".into()),
            _ => Ok(()),
        }
    }
}
