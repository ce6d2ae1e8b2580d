//! What must hold, each in a file of its own, apart from what makes things happen.

mod busy;
mod cause;
mod durable;
mod exchange;
mod fence;
mod final_word;
mod hurry;
mod latch;
mod live;
mod theft;
mod valid;
mod waiters;

use crate::facts::Fact;
use crate::plan::Plan;

/// Watches the facts of a run.
pub trait Oracle {
    /// Takes one fact.
    ///
    /// # Errors
    /// What does not hold.
    fn see(&mut self, at: u64, fact: &Fact) -> Result<(), String>;

    /// The run is over.
    ///
    /// # Errors
    /// What does not hold.
    fn end(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// All oracles, with their names.
pub fn all(plan: &Plan) -> Vec<(&'static str, Box<dyn Oracle>)> {
    vec![
        ("one exchange (I1)", Box::<exchange::OneExchange>::default()),
        ("durable first (I2)", Box::<durable::Durable>::default()),
        (
            "final word (I5, I6)",
            Box::<final_word::FinalWord>::default(),
        ),
        (
            "a valid token is served (I7, I11)",
            Box::new(valid::Valid::new(plan)),
        ),
        ("latched (I8)", Box::<latch::Latched>::default()),
        ("cause (I13)", Box::new(cause::Cause::new(plan))),
        ("fenced writes never land", Box::<fence::Fence>::default()),
        ("paced together (I14)", Box::<hurry::Hurry>::default()),
        ("theft", Box::new(theft::Theft::new(plan))),
        (
            "every waiter is answered",
            Box::<waiters::Waiters>::default(),
        ),
        ("no busy loop", Box::<busy::Busy>::default()),
        ("healthy in the end", Box::new(live::Live::new(plan))),
    ]
}
