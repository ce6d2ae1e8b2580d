//! What becomes of refresh tokens: families, and five ways of rotating.
//!
//! No I/O and no clock: the time is an argument, in ms.

use std::collections::HashMap;

use crate::jwt::random_hex;

/// What a server does when a refresh token is used, and when a used one comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// Refresh tokens are used again and again.
    None,
    /// Every use gives a new one; a spent one that comes back revokes the family.
    Strict,
    /// A spent one is accepted for so many seconds after it was spent, each time for another new one;
    /// after that it revokes the family.
    Grace {
        /// Length of the grace, counted from the first use.
        seconds: u64,
    },
    /// The token spent last gives the same successor again, at any time; older ones revoke the family.
    SameSuccessor,
    /// A spent one stays good until its successor, or the access token that came with it, has been used;
    /// then it revokes the family.
    ParentUntilChildUsed,
}

/// How an exchange of a refresh token ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A good token was used (and spent, if the server rotates).
    Rotated,
    /// A spent token was accepted once more.
    Repeated,
    /// Refused: no such token.
    Unknown,
    /// Refused: the refresh token's own lifetime is over.
    Expired,
    /// Refused: spent before; its family was revoked for it.
    Reused,
    /// Refused: its family had been revoked before.
    Revoked,
}

impl Outcome {
    /// Whether tokens were given.
    pub fn granted(self) -> bool {
        matches!(self, Outcome::Rotated | Outcome::Repeated)
    }
}

/// One exchange that reached the token endpoint and was processed, whether its answer arrived or not.
#[derive(Clone, Debug)]
pub struct Exchanged {
    /// The refresh token presented.
    pub refresh_token: String,
    /// Its family, if known: one per login.
    pub family: Option<usize>,
    /// The token's place in its family, from 1.
    pub generation: u64,
    /// When, in ms of the server's true time.
    pub at_ms: i64,
    /// What became of it.
    pub outcome: Outcome,
}

/// A pair as given.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) family: usize,
    pub(crate) refresh: String,
    /// The token is another one than the one presented.
    pub(crate) rotated: bool,
}

#[derive(Debug)]
struct Member {
    family: usize,
    generation: u64,
    expires_ms: Option<i64>,
    /// First use.
    spent_ms: Option<i64>,
    successor: Option<String>,
    /// The token, or the access token that came with it, has been used.
    used: bool,
    /// Replaced by another successor of the same parent.
    void: bool,
}

#[derive(Debug, Default)]
struct Family {
    revoked: bool,
    generations: u64,
    /// The token spent last, the only one `SameSuccessor` takes back.
    spent_last: Option<String>,
}

/// All refresh tokens of one issuer.
#[derive(Debug)]
pub(crate) struct Families {
    pub(crate) rotation: Rotation,
    pub(crate) marker: String,
    logins: Vec<Family>,
    members: HashMap<String, Member>,
    pub(crate) log: Vec<Exchanged>,
}

impl Families {
    pub(crate) fn new(rotation: Rotation, marker: &str) -> Self {
        Families {
            rotation,
            marker: marker.to_owned(),
            logins: Vec::new(),
            members: HashMap::new(),
            log: Vec::new(),
        }
    }

    /// A login: a family with its first refresh token.
    pub(crate) fn login(&mut self, expires_ms: Option<i64>) -> Pair {
        self.logins.push(Family::default());
        let family = self.logins.len() - 1;
        Pair {
            family,
            refresh: self.mint(family, expires_ms),
            rotated: true,
        }
    }

    /// An exchange. The successor lives until `expires_ms`.
    pub(crate) fn exchange(
        &mut self,
        token: &str,
        now: i64,
        expires_ms: Option<i64>,
    ) -> Result<Pair, Outcome> {
        let outcome = self.judge(token, now);
        let member = self.members.get(token);
        self.log.push(Exchanged {
            refresh_token: token.to_owned(),
            family: member.map(|member| member.family),
            generation: member.map_or(0, |member| member.generation),
            at_ms: now,
            outcome,
        });
        let Some(family) = member.map(|member| member.family) else {
            return Err(outcome);
        };
        match outcome {
            Outcome::Rotated | Outcome::Repeated => Ok(self.rotate(token, family, now, expires_ms)),
            Outcome::Reused => {
                self.revoke(family);
                Err(outcome)
            }
            _ => Err(outcome),
        }
    }

    fn judge(&self, token: &str, now: i64) -> Outcome {
        let Some(member) = self.members.get(token) else {
            return Outcome::Unknown;
        };
        let family = &self.logins[member.family];
        if family.revoked {
            return Outcome::Revoked;
        }
        if member.expires_ms.is_some_and(|expires| now >= expires) {
            return Outcome::Expired;
        }
        if member.void {
            return Outcome::Reused;
        }
        let Some(spent) = member.spent_ms else {
            return Outcome::Rotated;
        };
        let accepted = match self.rotation {
            Rotation::None => return Outcome::Rotated,
            Rotation::Strict => false,
            Rotation::Grace { seconds } => {
                now - spent <= i64::try_from(seconds).unwrap_or(i64::MAX / 1000) * 1000
            }
            Rotation::SameSuccessor => family.spent_last.as_deref() == Some(token),
            Rotation::ParentUntilChildUsed => !self.successor_used(member),
        };
        if accepted {
            Outcome::Repeated
        } else {
            Outcome::Reused
        }
    }

    fn successor_used(&self, member: &Member) -> bool {
        let successor = member
            .successor
            .as_ref()
            .and_then(|token| self.members.get(token));
        successor.is_some_and(|successor| successor.used)
    }

    fn rotate(&mut self, token: &str, family: usize, now: i64, expires_ms: Option<i64>) -> Pair {
        let earlier = self.members.get_mut(token).and_then(|member| {
            member.spent_ms.get_or_insert(now);
            member.used = true;
            member.successor.clone()
        });
        if self.rotation == Rotation::None {
            return Pair {
                family,
                refresh: token.to_owned(),
                rotated: false,
            };
        }
        self.logins[family].spent_last = Some(token.to_owned());
        if let Some(earlier) = &earlier {
            if self.rotation == Rotation::SameSuccessor {
                return Pair {
                    family,
                    refresh: earlier.clone(),
                    rotated: true,
                };
            }
            if let (Rotation::ParentUntilChildUsed, Some(earlier)) =
                (self.rotation, self.members.get_mut(earlier))
            {
                earlier.void = true;
            }
        }
        let refresh = self.mint(family, expires_ms);
        if let Some(member) = self.members.get_mut(token) {
            member.successor = Some(refresh.clone());
        }
        Pair {
            family,
            refresh,
            rotated: true,
        }
    }

    fn mint(&mut self, family: usize, expires_ms: Option<i64>) -> String {
        self.logins[family].generations += 1;
        let generation = self.logins[family].generations;
        let token = format!("{}rt-{family}-{generation}-{}", self.marker, random_hex(16));
        let member = Member {
            family,
            generation,
            expires_ms,
            spent_ms: None,
            successor: None,
            used: false,
            void: false,
        };
        self.members.insert(token.clone(), member);
        token
    }

    /// The access token that came with this refresh token was used.
    pub(crate) fn note_use(&mut self, refresh: &str) {
        if let Some(member) = self.members.get_mut(refresh) {
            member.used = true;
        }
    }

    pub(crate) fn revoke(&mut self, family: usize) {
        if let Some(family) = self.logins.get_mut(family) {
            family.revoked = true;
        }
    }

    pub(crate) fn revoke_all(&mut self) {
        for family in &mut self.logins {
            family.revoked = true;
        }
    }

    /// The refresh token's own lifetime ends now, for all there are.
    pub(crate) fn expire_all(&mut self, now: i64) {
        for member in self.members.values_mut() {
            member.expires_ms = Some(now);
        }
    }

    pub(crate) fn is_revoked(&self, family: usize) -> bool {
        self.logins.get(family).is_some_and(|family| family.revoked)
    }

    pub(crate) fn count(&self) -> usize {
        self.logins.len()
    }

    /// The family of a refresh token.
    pub(crate) fn family_of(&self, token: &str) -> Option<usize> {
        self.members.get(token).map(|member| member.family)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(rotation: Rotation) -> (Families, String) {
        let mut families = Families::new(rotation, "");
        let first = families.login(None).refresh;
        (families, first)
    }

    fn go(families: &mut Families, token: &str, now: i64) -> Result<String, Outcome> {
        families.exchange(token, now, None).map(|pair| pair.refresh)
    }

    #[test]
    fn none_takes_the_same_token_for_ever() {
        let (mut families, first) = start(Rotation::None);
        for now in 0..3 {
            assert_eq!(go(&mut families, &first, now).as_deref(), Ok(&*first));
        }
    }

    #[test]
    fn strict_reuse_revokes_the_family() {
        let (mut families, first) = start(Rotation::Strict);
        let second = go(&mut families, &first, 0).expect("good");
        assert_ne!(first, second);
        assert_eq!(go(&mut families, &first, 1), Err(Outcome::Reused));
        assert_eq!(go(&mut families, &second, 2), Err(Outcome::Revoked));
        assert_eq!(go(&mut families, "rt-made-up", 3), Err(Outcome::Unknown));
        let outcomes: Vec<Outcome> = families
            .log
            .iter()
            .map(|exchange| exchange.outcome)
            .collect();
        assert_eq!(
            outcomes,
            [
                Outcome::Rotated,
                Outcome::Reused,
                Outcome::Revoked,
                Outcome::Unknown
            ]
        );
    }

    #[test]
    fn grace_counts_from_the_first_use() {
        let (mut families, first) = start(Rotation::Grace { seconds: 30 });
        let second = go(&mut families, &first, 0).expect("good");
        let sibling = go(&mut families, &first, 30_000).expect("inside the grace");
        assert_ne!(second, sibling);
        assert!(go(&mut families, &second, 30_000).is_ok());
        assert_eq!(go(&mut families, &first, 30_001), Err(Outcome::Reused));
        assert_eq!(go(&mut families, &sibling, 30_002), Err(Outcome::Revoked));
    }

    #[test]
    fn same_successor_repeats_only_the_last_step() {
        let (mut families, first) = start(Rotation::SameSuccessor);
        let second = go(&mut families, &first, 0).expect("good");
        assert_eq!(go(&mut families, &first, 9_999_999), Ok(second.clone()));
        let third = go(&mut families, &second, 10_000_000).expect("good");
        assert_eq!(go(&mut families, &second, 10_000_001), Ok(third.clone()));
        assert_eq!(go(&mut families, &first, 10_000_002), Err(Outcome::Reused));
        assert_eq!(go(&mut families, &third, 10_000_003), Err(Outcome::Revoked));
    }

    #[test]
    fn a_parent_is_good_until_its_child_is_used() {
        let (mut families, first) = start(Rotation::ParentUntilChildUsed);
        let lost = go(&mut families, &first, 0).expect("good");
        let second = go(&mut families, &first, 1).expect("the first child was never used");
        families.note_use(&second);
        assert_eq!(go(&mut families, &first, 2), Err(Outcome::Reused));
        assert_eq!(go(&mut families, &lost, 3), Err(Outcome::Revoked));
    }

    #[test]
    fn a_refresh_token_ends_with_its_lifetime() {
        let mut families = Families::new(Rotation::Strict, "canary-");
        let first = families.login(Some(100)).refresh;
        assert!(first.starts_with("canary-rt-0-1-"));
        assert_eq!(
            families.exchange(&first, 100, None).map(|_| ()),
            Err(Outcome::Expired)
        );
    }
}
