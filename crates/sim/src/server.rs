//! The authorization server and its API: families by the rotation rule or by another persona's.

use std::collections::BTreeMap;

use tenure_core::family::{self, Decision, Family, Options, Presented, Subtype};

use crate::plan::Persona;

/// A refresh token: which login, and the how-manieth of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Refresh {
    /// The login.
    pub family: u64,
    /// Counted from 1.
    pub number: u64,
}

/// What an exchange brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grant {
    /// `None` with client credentials.
    pub refresh: Option<Refresh>,
    /// Serial number of the access token.
    pub access: u64,
}

/// What the server does with a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// New tokens; `late` when a late retry was forgiven, `again` when the same successor was handed out.
    Granted {
        /// The tokens.
        grant: Grant,
        /// They were handed out before.
        again: bool,
    },
    /// Final: refused.
    Refused {
        /// The refusal ended the family just now.
        killed: Option<Subtype>,
    },
}

struct Access {
    family: u64,
    number: u64,
    ends: u64,
    revoked: bool,
}

/// The server.
pub struct Server {
    persona: Persona,
    life_ms: u64,
    families: BTreeMap<u64, Family>,
    tokens: BTreeMap<u64, Access>,
    next: u64,
}

impl Server {
    pub(crate) fn new(persona: Persona, life_ms: u64) -> Self {
        Self {
            persona,
            life_ms,
            families: BTreeMap::new(),
            tokens: BTreeMap::new(),
            next: 0,
        }
    }

    fn serial(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn grant(&mut self, now: u64, refresh: Refresh) -> Grant {
        let access = self.serial();
        self.tokens.insert(
            access,
            Access {
                family: refresh.family,
                number: refresh.number,
                ends: now + self.life_ms,
                revoked: false,
            },
        );
        Grant {
            refresh: (self.persona != Persona::ClientCredentials).then_some(refresh),
            access,
        }
    }

    /// A person logs in.
    pub(crate) fn login(&mut self, now: u64) -> Grant {
        let family = self.serial();
        self.families.insert(family, Family::new(now as i64));
        self.grant(now, Refresh { family, number: 1 })
    }

    /// A client presents itself (`None`) or a refresh token.
    pub(crate) fn exchange(&mut self, now: u64, refresh: Option<Refresh>) -> Verdict {
        let Some(refresh) = refresh else {
            return Verdict::Granted {
                grant: self.login(now),
                again: false,
            };
        };
        let family = self.families[&refresh.family];
        let (family, killed, granted) = match self.decide(&family, refresh.number, now as i64) {
            Decision::Rotate(family) => (family, None, Some(false)),
            Decision::SameSuccessor(family) => (family, None, Some(true)),
            Decision::Kill { family, subtype } => (family, Some(subtype), None),
            _ => (family, None, None),
        };
        self.families.insert(refresh.family, family);
        match granted {
            Some(again) => {
                let number = family.generation;
                let grant = self.grant(now, Refresh { number, ..refresh });
                Verdict::Granted { grant, again }
            }
            None => Verdict::Refused { killed },
        }
    }

    fn decide(&self, family: &Family, number: u64, now: i64) -> Decision {
        let (use_visible, rotate) = match self.persona {
            Persona::Issuer { use_visible } => (use_visible, true),
            persona => (false, persona != Persona::NonRotating),
        };
        let options = Options {
            use_visible,
            rotate,
            ..Options::default()
        };
        let presented = Presented {
            generation: number,
            matches: true,
        };
        let old = family.revoked.is_none() && number < family.generation;
        match self.persona {
            Persona::Strict if old => Decision::Kill {
                subtype: Subtype::StaleGeneration,
                family: family.revoke(Subtype::StaleGeneration),
            },
            Persona::SameSuccessor if old && number + 1 == family.generation => {
                Decision::SameSuccessor(*family)
            }
            Persona::SameSuccessor if old => Decision::Unknown,
            _ => family::decide(family, presented, now, &options),
        }
    }

    /// The API is shown an access token. A token of a dead family still works until it ends: nobody asks.
    pub(crate) fn accepts(&mut self, now: u64, access: u64) -> bool {
        let Some(token) = self.tokens.get(&access) else {
            return false;
        };
        let good = now < token.ends && !token.revoked;
        if good && let Some(family) = self.families.get_mut(&token.family) {
            *family = family.confirm(token.number);
        }
        good
    }

    /// Whether an access token is past its life.
    pub(crate) fn expired(&self, now: u64, access: u64) -> bool {
        self.tokens
            .get(&access)
            .is_none_or(|token| token.ends <= now)
    }

    /// Access tokens of this login stop working.
    pub(crate) fn revoke_access(&mut self, family: u64) {
        for token in self.tokens.values_mut() {
            token.revoked |= token.family == family;
        }
    }

    /// An administrator ends a login.
    pub(crate) fn revoke_family(&mut self, family: u64) {
        if let Some(found) = self.families.get_mut(&family) {
            *found = found.revoke(Subtype::Administrator);
        }
    }

    /// Whether this refresh token can never yield anything any more.
    pub(crate) fn dead(&self, refresh: Refresh) -> bool {
        let Some(family) = self.families.get(&refresh.family) else {
            return true;
        };
        family.revoked.is_some() || refresh.number + 1 < family.generation
    }
}
