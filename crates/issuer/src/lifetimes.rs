//! How long tokens and sessions live: as the settings say, or as an administrator decided since.
//!
//! What an administrator sets is stored, beats the settings of every process, and is known to all within a second.

use std::sync::{PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tenure_core::family;

use crate::admin::Admin;
use crate::audit::Act;
use crate::changes::{Change, Kind};
use crate::db::{Db, SqlResult, Tx, values};
use crate::error::IssuerError;
use crate::issuer::Issuer;
use crate::options::Options;

/// The longest life of an access token, in seconds: a day.
const LONGEST_ACCESS_S: u64 = 24 * 3_600;
/// The longest window, in seconds: whoever copied a token goes unseen for so long.
const LONGEST_WINDOW_S: u64 = 3_600;
/// The longest life of a session, in seconds: a hundred years.
const LONGEST_SESSION_S: u64 = 100 * 365 * 24 * 3_600;
/// The names of the rows.
const DECIDED: &str = "lifetimes";
const LONGEST: &str = "longest access token";

/// The end of a session, as an administrator decides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ends {
    /// After so many seconds.
    AfterS(u64),
    /// Not for this reason.
    Never,
}

impl Ends {
    fn ms(self) -> Option<u64> {
        match self {
            Ends::AfterS(seconds) => Some(seconds.saturating_mul(1000)),
            Ends::Never => None,
        }
    }
}

/// What an administrator decided; `None` leaves it to the settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// Lifetime of an access token in seconds: 1 to a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_s: Option<u64>,
    /// When a session ends that nobody uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<Ends>,
    /// When a session ends whatever its use, counted from its login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Ends>,
    /// How long after a rotation the token before still gets the same successor, in seconds: 0 to an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_s: Option<u64>,
}

/// What is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// Lifetime of an access token in seconds.
    pub access_s: u64,
    /// When a session ends that nobody uses, in seconds; `None`: never.
    pub idle_s: Option<u64>,
    /// When a session ends whatever its use, in seconds from its login; `None`: never.
    pub session_s: Option<u64>,
    /// How long after a rotation the token before still gets the same successor, in seconds.
    pub window_s: u64,
    /// What of it an administrator decided.
    pub decided: Decided,
}

/// How long access tokens may still live that were issued when they lived longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Longest {
    /// Lifetime of those that are issued now, in seconds.
    now_s: u64,
    /// Lifetime of those before, in seconds.
    before_s: u64,
    /// When the last of those before is expired, milliseconds since the epoch.
    until_ms: i64,
}

impl Longest {
    fn at(&self, now_ms: i64) -> u64 {
        if now_ms < self.until_ms {
            self.now_s.max(self.before_s)
        } else {
            self.now_s
        }
    }

    /// From now on tokens live for `access_s`.
    fn then(self, access_s: u64, now_ms: i64) -> Self {
        let before_s = self.at(now_ms);
        let until_ms = now_ms.saturating_add_unsigned(before_s.saturating_mul(1000));
        Self {
            now_s: access_s,
            before_s,
            // Before the first start there were none.
            until_ms: if before_s == 0 { now_ms } else { until_ms },
        }
    }
}

/// The same, as the issuer uses it.
#[derive(Clone, Copy)]
pub(crate) struct InForce {
    decided: Decided,
    pub(crate) access_s: u64,
    pub(crate) rotation: family::Options,
    longest: Longest,
}

impl InForce {
    fn new(options: &Options, decided: Decided, longest: Longest) -> Self {
        let configured = options.rotation;
        let ends = |decided: Option<Ends>, configured| decided.map_or(configured, Ends::ms);
        let window_s = decided.window_s;
        Self {
            decided,
            access_s: decided.access_s.unwrap_or(options.access_ttl_s),
            rotation: family::Options {
                window_ms: window_s.map_or(configured.window_ms, |s| s.saturating_mul(1000)),
                idle_ms: ends(decided.idle, configured.idle_ms),
                absolute_ms: ends(decided.session, configured.absolute_ms),
                ..configured
            },
            longest,
        }
    }
}

fn text(tx: &mut dyn Tx, name: &str) -> SqlResult<Option<String>> {
    tx.row("SELECT value FROM settings WHERE name = ?1", values![name])?
        .map(|row| row.get(0))
        .transpose()
}

fn keep(tx: &mut dyn Tx, name: &str, value: &str) -> SqlResult<()> {
    tx.execute(
        "INSERT INTO settings (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        values![name, value],
    )?;
    Ok(())
}

fn parse<T: Default + for<'de> Deserialize<'de>>(text: Option<&str>) -> Result<T, IssuerError> {
    let Some(text) = text else {
        return Ok(T::default());
    };
    serde_json::from_str(text).map_err(|error| IssuerError::Setting {
        name: "lifetimes",
        why: format!("they are stored in a form that cannot be read ({error}); set them again with `tenure issuer lifetimes reset`"),
    })
}

/// Reads what is decided, and notes how long tokens live from now on: a process may have been started with another
/// lifetime than the one before.
pub(crate) async fn load(db: &Db, options: &Options) -> Result<InForce, IssuerError> {
    let (decided, longest) = db
        .read(|tx| Ok((text(tx, DECIDED)?, text(tx, LONGEST)?)))
        .await?;
    let decided: Decided = parse(decided.as_deref())?;
    let longest: Longest = parse(longest.as_deref())?;
    let in_force = InForce::new(options, decided, longest);
    if longest.now_s == in_force.access_s {
        return Ok(in_force);
    }
    let longest = longest.then(in_force.access_s, (options.clock)());
    note_longest(db, longest).await?;
    Ok(InForce {
        longest,
        ..in_force
    })
}

async fn note_longest(db: &Db, longest: Longest) -> Result<(), IssuerError> {
    let value = json!(longest).to_string();
    Ok(db.write(move |tx| keep(tx, LONGEST, &value)).await?)
}

fn check(decided: &Decided) -> Result<(), IssuerError> {
    let wrong = |why: String| {
        Err(IssuerError::Setting {
            name: "lifetimes",
            why,
        })
    };
    if let Some(s) = decided.access_s
        && !(1..=LONGEST_ACCESS_S).contains(&s)
    {
        return wrong(format!(
            "an access token cannot live for {s} s; choose 1 to {LONGEST_ACCESS_S} s"
        ));
    }
    if let Some(s) = decided.window_s
        && s > LONGEST_WINDOW_S
    {
        return wrong(format!(
            "the window cannot be {s} s, for as long a copied token goes unseen; choose at most {LONGEST_WINDOW_S} s"
        ));
    }
    for (what, ends) in [("idle", decided.idle), ("session", decided.session)] {
        if let Some(Ends::AfterS(s)) = ends
            && !(1..=LONGEST_SESSION_S).contains(&s)
        {
            return wrong(format!(
                "`{what}` cannot be {s} s; choose 1 s to 100 years, or never"
            ));
        }
    }
    Ok(())
}

impl Issuer {
    /// The lifetimes in force.
    pub fn lifetimes(&self) -> Lifetimes {
        let in_force = self.in_force();
        let rotation = in_force.rotation;
        Lifetimes {
            access_s: in_force.access_s,
            idle_s: rotation.idle_ms.map(|ms| ms / 1000),
            session_s: rotation.absolute_ms.map(|ms| ms / 1000),
            window_s: rotation.window_ms / 1000,
            decided: in_force.decided,
        }
    }

    pub(crate) fn in_force(&self) -> InForce {
        *self
            .lifetimes
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The rotation rule of sessions that no dialect and no client has its own for.
    pub(crate) fn rotation(&self) -> family::Options {
        self.in_force().rotation
    }

    /// How long an access token of any kind lives at most that may be about, in seconds.
    pub(crate) fn longest_access_s(&self) -> u64 {
        let wordpress = self
            .options
            .wordpress
            .map_or(0, |speaks| speaks.access_ttl_s);
        self.in_force().longest.at(self.now()).max(wordpress)
    }

    pub(crate) async fn reload_lifetimes(&self) -> Result<(), IssuerError> {
        let read = load(&self.db, &self.options).await?;
        *self
            .lifetimes
            .write()
            .unwrap_or_else(PoisonError::into_inner) = read;
        Ok(())
    }
}

impl Admin<'_> {
    /// Decides lifetimes for every process of this issuer, in place of all that was decided before. Tokens that are
    /// about keep theirs; sessions are measured by the new ones from their next refresh on.
    ///
    /// # Errors
    /// When one is out of range or the database fails.
    pub async fn decide_lifetimes(&self, decided: Decided) -> Result<Lifetimes, IssuerError> {
        check(&decided)?;
        let (value, pen) = (json!(decided), self.pen());
        self.issuer()
            .db
            .write(move |tx| {
                keep(tx, DECIDED, &value.to_string())?;
                let act = Act {
                    detail: value.clone(),
                    ..Act::new("lifetimes.decided")
                };
                pen.note(tx, &act)?;
                Change::reload(Kind::Lifetimes, pen.now_ms).append(tx)
            })
            .await?;
        self.issuer().reload_lifetimes().await?;
        self.issuer().nudge();
        Ok(self.issuer().lifetimes())
    }
}

/// What [`Issuer`] holds.
pub(crate) type Held = RwLock<InForce>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_a_longer_life_are_reckoned_with_until_the_last_is_gone() {
        let first = Longest::default().then(3_600, 0);
        assert_eq!(first.at(1), 3_600);
        let shorter = first.then(300, 10_000);
        assert_eq!(shorter.at(10_001), 3_600);
        assert_eq!(shorter.at(10_000 + 3_600_000), 300);
        let again = shorter.then(60, 20_000);
        assert_eq!(again.at(20_001), 3_600, "the first ones still live");
        let longer = shorter.then(7_200, 20_000);
        assert_eq!(longer.at(20_001), 7_200);
    }
}
