//! The store protocol as a model: compare-and-swap on generation and epoch, leases by the store's clock.

use std::collections::{BTreeMap, BTreeSet};

use tenure_core::session::Trouble;
use tenure_core::{Anchor, Failure, Generation};

use crate::facts::Fact;
use crate::plan::Guard;
use crate::server::Refresh;

/// A token pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Its generation.
    pub generation: Generation,
    /// What renews it.
    pub refresh: Option<Refresh>,
    /// Serial number of the access token.
    pub access: u64,
    /// When its request was sent.
    pub issued: Anchor,
    /// Its life, if the server said.
    pub life_ms: Option<u64>,
}

/// A lease that was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// Process and its life.
    pub holder: (usize, u32),
    /// The epoch it was granted in.
    pub epoch: u64,
}

/// One session's row.
#[derive(Clone, Debug, Default)]
pub struct Row {
    pub(crate) generation: Generation,
    pub(crate) pair: Option<Pair>,
    pub(crate) intent: Option<(Generation, u32)>,
    pub(crate) latch: Option<(Option<Refresh>, Failure)>,
    /// What somebody met with this generation, and until when, in the world's time, nobody is to ask.
    pub(crate) trouble: Option<(u64, Trouble)>,
    /// That time as the holder of the lease read it.
    pause: u64,
    epoch: u64,
    lease: Option<((usize, u32), u64)>,
}

impl Row {
    /// Whether somebody has taken the lease since.
    pub(crate) fn is_held_by_other_than(&self, lease: Lease) -> bool {
        self.lease
            .is_some_and(|(holder, _)| holder != lease.holder || self.epoch != lease.epoch)
    }
}

/// Why an operation changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Out of reach, or a planned fault.
    Unavailable,
    /// The lease is somebody else's.
    Fenced,
    /// Another generation than expected.
    Moved,
}

/// The store.
pub struct Store {
    rows: BTreeMap<usize, Row>,
    spare: BTreeMap<usize, Pair>,
    without: BTreeSet<Guard>,
    /// What happened, for the oracles.
    pub(crate) facts: Vec<Fact>,
    /// Bumped by every write.
    pub(crate) changes: u64,
}

/// What a claim yields.
pub enum Claim {
    /// The lease, and the row under it.
    Granted(Lease, Box<Row>),
    /// Somebody else has it, for so many milliseconds at most.
    Held(u64),
}

impl Store {
    pub(crate) fn new(without: BTreeSet<Guard>) -> Self {
        Self {
            rows: BTreeMap::new(),
            spare: BTreeMap::new(),
            without,
            facts: Vec::new(),
            changes: 0,
        }
    }

    fn row(&mut self, session: usize) -> &mut Row {
        self.rows.entry(session).or_default()
    }

    fn durable(&mut self, session: usize, access: u64) {
        self.facts.push(Fact::Durable { session, access });
    }

    /// The row without the spare slot.
    pub(crate) fn row_as_is(&mut self, session: usize) -> &Row {
        self.row(session)
    }

    /// The row, with a newer pair from the spare slot laid over it.
    pub(crate) fn load(&mut self, session: usize) -> Row {
        let spare = self.spare.get(&session).copied();
        let mut row = self.row(session).clone();
        if let Some(pair) = spare.filter(|pair| pair.generation > row.generation) {
            row.generation = pair.generation;
            row.pair = Some(pair);
            row.intent = None;
            row.latch = None;
            row.trouble = None;
        }
        row
    }

    pub(crate) fn claim(
        &mut self,
        now: u64,
        session: usize,
        holder: (usize, u32),
        ttl: u64,
    ) -> Claim {
        let guarded = !self.without.contains(&Guard::Lease);
        let spare = self.spare.get(&session).copied();
        let row = self.row(session);
        if let Some((_, until)) = row.lease.filter(|(_, until)| guarded && *until > now) {
            return Claim::Held(until - now);
        }
        row.epoch += 1;
        row.lease = Some((holder, now + ttl));
        if let Some(pair) = spare.filter(|pair| pair.generation > row.generation) {
            row.generation = pair.generation;
            row.pair = Some(pair);
            row.intent = None;
            row.latch = None;
            row.trouble = None;
        }
        // Without a failed exchange it is an API's answer, and no pause.
        let failed = row.trouble.as_ref().filter(|(_, it)| it.failures > 0);
        row.pause = failed.map_or(0, |(until, _)| *until);
        let (lease, row) = (
            Lease {
                holder,
                epoch: row.epoch,
            },
            row.clone(),
        );
        if let Some(pair) = row.pair {
            self.durable(session, pair.access);
        }
        self.changes += 1;
        Claim::Granted(lease, Box::new(row))
    }

    /// The row if the lease still holds, and the generation is the expected one.
    fn under(
        &mut self,
        session: usize,
        lease: Lease,
        expect: Option<Generation>,
        what: &'static str,
    ) -> Result<&mut Row, Refused> {
        let fenced = !self.without.contains(&Guard::Fence);
        // Without leases there is no epoch to be stale either; only the generation counts.
        let leased = !self.without.contains(&Guard::Lease);
        let row = self.rows.entry(session).or_default();
        let held =
            row.epoch == lease.epoch && row.lease.is_some_and(|(holder, _)| holder == lease.holder);
        if leased && fenced && !held {
            return Err(Refused::Fenced);
        }
        if fenced && expect.is_some_and(|expect| expect != row.generation) {
            return Err(Refused::Moved);
        }
        self.facts.push(Fact::Wrote {
            session,
            what,
            stale: leased && !held,
        });
        self.changes += 1;
        Ok(row)
    }

    pub(crate) fn renew(&mut self, now: u64, session: usize, lease: Lease, ttl: u64) -> bool {
        self.under(session, lease, None, "renew")
            .map(|row| row.lease = Some((lease.holder, now + ttl)))
            .is_ok()
    }

    pub(crate) fn release(&mut self, session: usize, lease: Lease) {
        let row = self.row(session);
        if row.epoch == lease.epoch && row.lease.is_some_and(|(holder, _)| holder == lease.holder) {
            row.lease = None;
            self.changes += 1;
        }
    }

    /// Advice: it needs no lease.
    pub(crate) fn note(
        &mut self,
        session: usize,
        generation: Generation,
        trouble: Option<(u64, Trouble)>,
    ) {
        let guarded = !self.without.contains(&Guard::Trouble);
        let row = self.row(session);
        if row.generation == generation {
            row.trouble = trouble.map(|(until, mut trouble)| {
                if !guarded {
                    // Written, and read by nobody.
                    trouble.generation = Generation(u64::MAX);
                }
                (until, trouble)
            });
            self.changes += 1;
        }
    }

    pub(crate) fn write_intent(
        &mut self,
        now: u64,
        session: usize,
        lease: Lease,
        generation: Generation,
        attempts: u32,
    ) -> Result<(), Refused> {
        let row = self.under(session, lease, Some(generation), "intent")?;
        row.intent = Some((generation, attempts));
        let hurried = row.pause > now;
        if hurried && attempts == 1 {
            self.facts.push(Fact::Hurried { session });
        }
        Ok(())
    }

    pub(crate) fn clear_intent(
        &mut self,
        session: usize,
        lease: Lease,
        generation: Generation,
    ) -> Result<(), Refused> {
        let row = self.under(session, lease, None, "clear")?;
        if row.generation == generation {
            row.intent = None;
        }
        Ok(())
    }

    pub(crate) fn commit(
        &mut self,
        session: usize,
        lease: Lease,
        expect: Generation,
        pair: Pair,
    ) -> Result<(), Refused> {
        let row = self.under(session, lease, Some(expect), "commit")?;
        row.generation = expect.next();
        row.pair = Some(Pair {
            generation: expect.next(),
            ..pair
        });
        row.intent = None;
        row.latch = None;
        row.trouble = None;
        self.durable(session, pair.access);
        Ok(())
    }

    pub(crate) fn latch(
        &mut self,
        session: usize,
        lease: Lease,
        expect: Generation,
        token: Option<Refresh>,
        failure: Failure,
    ) -> Result<(), Refused> {
        let row = self.under(session, lease, Some(expect), "latch")?;
        row.latch = Some((token, failure));
        row.intent = None;
        row.trouble = None;
        Ok(())
    }

    pub(crate) fn login(&mut self, session: usize, pair: Pair) {
        let spare = self.spare.get(&session).map(|pair| pair.generation);
        let row = self.row(session);
        // Above whatever anybody may have adopted from the spare slot.
        row.generation = row.generation.max(spare.unwrap_or_default()).next();
        row.pair = Some(Pair {
            generation: row.generation,
            ..pair
        });
        (row.intent, row.latch, row.trouble, row.lease) = (None, None, None, None);
        row.epoch += 1;
        self.spare.remove(&session);
        self.changes += 1;
        self.durable(session, pair.access);
    }

    pub(crate) fn logout(&mut self, session: usize) {
        self.spare.remove(&session);
        let row = self.row(session);
        (row.pair, row.intent, row.latch, row.trouble, row.lease) = (None, None, None, None, None);
        row.epoch += 1;
        self.changes += 1;
    }

    pub(crate) fn save_spare(&mut self, session: usize, pair: Pair) {
        self.spare.insert(session, pair);
        self.facts.push(Fact::Spared {
            session,
            access: pair.access,
        });
    }

    /// Whether the dead holder's lease is freed at once, as on one host with a lock per holder.
    pub(crate) fn free_leases_of(&mut self, process: usize) {
        for row in self.rows.values_mut() {
            if row.lease.is_some_and(|((holder, _), _)| holder == process) {
                row.lease = None;
            }
        }
    }
}
