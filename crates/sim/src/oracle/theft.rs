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
    /// Which grants a token brought: the call and its access token.
    brought: BTreeMap<Refresh, Vec<(u64, u64)>>,
    open: BTreeMap<u64, (usize, u32)>,
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
            durable: BTreeSet::new(),
            stolen: BTreeMap::new(),
            dead: BTreeSet::new(),
            strict: plan.faults.len() == 1,
        }
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
            Fact::Sent { call, process, .. } => {
                self.open.insert(call, process);
            }
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
                    self.brought.entry(token).or_default().push((call, access));
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
                let earlier = self.brought.get(&token).into_iter().flatten();
                for (call, access) in earlier {
                    if self.durable.contains(access) {
                        return Err(format!(
                            "{token:?} was spent although its successor was stored: the family is dead ({subtype:?})"
                        ));
                    }
                    if self.open.contains_key(call) {
                        return Err(format!(
                            "{token:?} was spent twice at a time: the family is dead ({subtype:?})"
                        ));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
