//! Not shipped: a deterministic simulator of the session machine against the family machine (DESIGN §13).
//!
//! Single-threaded, from a seed: processes with machines of their own share a model of the store, speak to a
//! server persona over a faulty network, are killed, stopped and woken. Oracles watch. A seed always gives the
//! same run; [`check`] runs each twice and compares the traces, and shrinks what fails.
#![forbid(unsafe_code)]

mod effects;
mod facts;
pub mod oracle;
mod plan;
mod process;
mod rng;
mod server;
mod store;
mod world;

use std::fmt;

pub use facts::Fact;
pub use plan::{Fault, Guard, Persona, Plan};
pub use world::{Run, run, run_logged, run_unwatched};

/// A run that an oracle objected to.
#[derive(Clone, Debug)]
pub struct Broken {
    /// The smallest run found that still fails.
    pub plan: Plan,
    /// What does not hold.
    pub why: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.why)?;
        writeln!(f, "seed {}, shrunk to: {:?}", self.plan.seed, self.plan)?;
        writeln!(f, "its last facts:")?;
        let log = run_logged(&self.plan).log;
        for (at, fact) in &log[log.len().saturating_sub(60)..] {
            writeln!(f, "  {at:>8} {fact:?}")?;
        }
        Ok(())
    }
}

/// Runs a plan twice.
///
/// # Errors
/// What an oracle objected to, or that the traces differ.
pub fn once(plan: &Plan) -> Result<Run, String> {
    let (first, second) = (run(plan), run(plan));
    if first.trace != second.trace {
        return Err("two runs of one seed differ".to_owned());
    }
    match first.broken {
        Some(why) => Err(why),
        None => Ok(first),
    }
}

/// Runs a plan twice and shrinks it if it fails.
///
/// # Errors
/// The smallest failing run found.
pub fn check(plan: &Plan) -> Result<Run, Box<Broken>> {
    once(plan).map_err(|why| Box::new(shrink(plan, why)))
}

fn shrink(plan: &Plan, why: String) -> Broken {
    let mut smallest = Broken {
        plan: plan.clone(),
        why,
    };
    'again: loop {
        for plan in smallest.plan.smaller() {
            if let Err(why) = once(&plan) {
                smallest = Broken { plan, why };
                continue 'again;
            }
        }
        return smallest;
    }
}
