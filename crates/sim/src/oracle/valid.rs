//! I7 and I11: a valid token is served, and no caller gets one that its server holds for expired.

use super::Oracle;
use crate::facts::Fact;
use crate::plan::Plan;

pub(super) struct Valid {
    says_life: bool,
}

impl Valid {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            says_life: plan.says_life,
        }
    }
}

impl Oracle for Valid {
    fn see(&mut self, _at: u64, fact: &Fact) -> Result<(), String> {
        match *fact {
            Fact::Shown {
                access, late: true, ..
            } if self.says_life => Err(format!("expired access token {access} was served")),
            Fact::Withheld { session, .. } => Err(format!(
                "session {session} has a valid token that nobody refused, and did not serve it"
            )),
            _ => Ok(()),
        }
    }
}
