//! Logins that were refused, counted, for the audit log.
//!
//! They are written once a minute and not as they come: writing at once would take longer for a name that exists than for
//! one that does not, and whoever guesses could fill the disk.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde_json::json;

use crate::audit::{Act, Who};
use crate::error::IssuerError;
use crate::issuer::Issuer;

/// How many are told apart between two writings; more are counted together.
const CAPACITY: usize = 100;

/// The user, where the name is one's, and the address.
type Guess = (Option<String>, Option<String>);

/// What was refused since the last writing.
#[derive(Default)]
pub(crate) struct Refusals {
    counts: Mutex<HashMap<Guess, u64>>,
}

impl Refusals {
    pub(crate) fn count(&self, user: Option<&str>, address: Option<&str>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut guess = (user.map(str::to_owned), address.map(str::to_owned));
        if counts.len() >= CAPACITY && !counts.contains_key(&guess) {
            guess = (None, None);
        }
        *counts.entry(guess).or_default() += 1;
    }

    fn take(&self) -> HashMap<Guess, u64> {
        std::mem::take(&mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn give_back(&self, counts: &[(Guess, u64)]) {
        let mut all = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for (guess, count) in counts {
            *all.entry(guess.clone()).or_default() += count;
        }
    }
}

impl Issuer {
    /// Writes down which logins were refused since this was last done. [`Issuer::tend`] does it every minute.
    ///
    /// # Errors
    /// When the database fails; they are kept for the next time.
    pub async fn note_refusals(&self) -> Result<(), IssuerError> {
        let mut counts: Vec<_> = self.refusals.take().into_iter().collect();
        if counts.is_empty() {
            return Ok(());
        }
        counts.sort();
        let (pen, stored) = (self.pen(Who::here("somebody")), counts.clone());
        let done = self
            .db
            .write(move |tx| {
                stored.iter().try_for_each(|((user, address), count)| {
                    let who = Who {
                        address: address.clone(),
                        ..pen.who.clone()
                    };
                    let act = Act {
                        user: user.as_deref(),
                        detail: json!({ "times": count }),
                        ..Act::new("login.refused")
                    };
                    pen.of(who).note(tx, &act)
                })
            })
            .await;
        if done.is_err() {
            self.refusals.give_back(&counts);
        }
        Ok(done?)
    }
}
