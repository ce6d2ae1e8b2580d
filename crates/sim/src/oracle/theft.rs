//! Zero false theft: a family dies of reuse only if somebody spent a token whose successor was safe. Every
//! true theft is burnt within two refreshes of either side.

use std::collections::{BTreeMap, BTreeSet};

use tenure_core::family::Subtype;

use super::Oracle;
use crate::facts::Fact;
use crate::plan::{Persona, Plan};
use crate::server::Refresh;

/// So long an old token is honoured without question.
const WINDOW_MS: u64 = 30_000;

pub(super) struct Theft {
    /// Our own rule forgives one late retry in ten generations where it cannot see the use; its price is
    /// that of the second.
    issuer: bool,
    /// The access tokens that a refresh token brought.
    brought: BTreeMap<Refresh, Vec<u64>>,
    open: BTreeMap<u64, (usize, u32)>,
    sent: BTreeMap<Refresh, Vec<u64>>,
    /// Requests that should not have left, and why. One that left in good faith and was overtaken on the way,
    /// after its sender was killed, is nobody's fault.
    wrong: BTreeMap<u64, &'static str>,
    durable: BTreeSet<u64>,
    /// Stolen families: when they rotated last, and how many old tokens were honoured since the theft, outside
    /// the window in which an honest retry looks the same.
    stolen: BTreeMap<u64, (u64, u32)>,
    /// Only a thief's runs are held to this: there nothing else goes wrong.
    alone: bool,
}

impl Theft {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            issuer: matches!(plan.persona, Persona::Issuer { .. }),
            brought: BTreeMap::new(),
            open: BTreeMap::new(),
            sent: BTreeMap::new(),
            wrong: BTreeMap::new(),
            durable: BTreeSet::new(),
            stolen: BTreeMap::new(),
            alone: plan.faults.len() == 1,
        }
    }

    fn judge(&mut self, call: u64, process: (usize, u32), token: Refresh) {
        let sent = self.sent.entry(token).or_default();
        let stored = self
            .brought
            .get(&token)
            .is_some_and(|grants| grants.iter().any(|access| self.durable.contains(access)));
        if sent.iter().any(|earlier| self.open.contains_key(earlier)) {
            self.wrong.insert(call, "was spent twice at a time");
        } else if stored {
            self.wrong
                .insert(call, "was spent although its successor was stored");
        }
        sent.push(call);
        self.open.insert(call, process);
    }

    /// A refresh of a stolen family, by its owner or by the thief.
    fn refreshed(&mut self, at: u64, family: u64, again: bool) -> Result<(), String> {
        let Some((rotated, late)) = self.stolen.get_mut(&family) else {
            return Ok(());
        };
        if !again {
            *rotated = at;
        } else if at > *rotated + WINDOW_MS {
            *late += 1;
        }
        if self.alone && *late > 1 {
            return Err(format!(
                "stolen family {family} had {late} old tokens honoured and lives on"
            ));
        }
        Ok(())
    }
}

impl Oracle for Theft {
    fn see(&mut self, at: u64, fact: &Fact) -> Result<(), String> {
        match *fact {
            Fact::Sent {
                call,
                process,
                token: Some(token),
                ..
            } => self.judge(call, process, token),
            Fact::Closed { call, .. } => {
                self.open.remove(&call);
            }
            Fact::Down { process } | Fact::Lapsed { process } => {
                self.open.retain(|_, of| *of != process);
            }
            Fact::Durable { access, .. } => {
                self.durable.insert(access);
            }
            Fact::Stolen { family } => {
                self.stolen.entry(family).or_insert((at, 0));
            }
            Fact::ThiefGranted { family, again } => self.refreshed(at, family, again)?,
            Fact::Acted {
                call,
                token: Some(token),
                granted,
                again,
                killed,
            } => {
                if let Some(access) = granted {
                    self.brought.entry(token).or_default().push(access);
                    self.refreshed(at, token.family, again)?;
                }
                let Some(subtype) = killed else { return Ok(()) };
                if self.stolen.contains_key(&token.family)
                    || (self.issuer && subtype == Subtype::LateRetries)
                {
                    return Ok(());
                }
                if let Some(why) = self.wrong.get(&call) {
                    return Err(format!("{token:?} {why}: the family is dead ({subtype:?})"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
