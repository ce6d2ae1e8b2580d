//! Once nothing goes wrong any more, every session becomes healthy by itself, unless it truly ended.

use tenure_core::session::State;

use super::Oracle;
use crate::facts::Fact;
use crate::plan::Plan;

pub(super) struct Live {
    lazy: bool,
}

impl Live {
    pub(super) fn new(plan: &Plan) -> Self {
        Self { lazy: plan.lazy }
    }
}

impl Oracle for Live {
    fn see(&mut self, _at: u64, fact: &Fact) -> Result<(), String> {
        let Fact::Rest {
            process,
            session,
            state,
            unsaved,
            dead,
            empty,
            current,
        } = *fact
        else {
            return Ok(());
        };
        let who = format!("process {} session {session}", process.0);
        if unsaved {
            return Err(format!("{who} never saved its pair"));
        }
        if !current {
            return Err(format!("{who} does not know the stored pair"));
        }
        match state {
            State::Fresh | State::Due => Ok(()),
            State::Empty if empty => Ok(()),
            State::NeedsLogin if dead => Ok(()),
            // Nobody may want a lazy session at the moment.
            State::Expired if self.lazy => Ok(()),
            other => Err(format!("{who} is {} in the end", other.as_str())),
        }
    }
}
