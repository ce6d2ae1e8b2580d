//! Zero false theft: a family dies of reuse only if somebody spent a token whose successor was safe. Every
//! true theft is burnt within two refreshes of either side.

use std::collections::{BTreeMap, BTreeSet};

use tenure_core::family::Subtype;

use super::Oracle;
use crate::facts::Fact;
use crate::plan::{Persona, Plan};
use crate::server::Refresh;

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
    /// Stolen families: refreshes of the owner and of the thief since.
    stolen: BTreeMap<u64, (u32, u32)>,
    dead: BTreeSet<u64>,
    /// Only a thief's runs are held to this: there nothing else goes wrong.
    strict: bool,
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
            dead: BTreeSet::new(),
            strict: plan.faults.len() == 1,
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

    fn burnt_in_time(&self) -> Result<(), String> {
        for (family, (owner, thief)) in &self.stolen {
            if self.strict && !self.dead.contains(family) && (*owner).min(*thief) > 2 {
                return Err(format!(
                    "family {family} was stolen and lives on after {owner} refreshes of its owner and {thief} of the thief"
                ));
            }
        }
        Ok(())
    }
}

impl Oracle for Theft {
    fn see(&mut self, _at: u64, fact: &Fact) -> Result<(), String> {
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
                self.stolen.entry(family).or_default();
            }
            Fact::ThiefGranted { family, .. } => {
                if let Some((_, thief)) = self.stolen.get_mut(&family) {
                    *thief += 1;
                }
                self.burnt_in_time()?;
            }
            Fact::Acted {
                call,
                token: Some(token),
                granted,
                killed,
            } => {
                if let Some(access) = granted {
                    self.brought.entry(token).or_default().push(access);
                    if let Some((owner, _)) = self.stolen.get_mut(&token.family) {
                        *owner += 1;
                    }
                    self.burnt_in_time()?;
                }
                let Some(subtype) = killed else { return Ok(()) };
                self.dead.insert(token.family);
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
