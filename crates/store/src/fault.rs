//! Named fault points for tests: an explicit plan says at which point, and which time round, what goes wrong.
//! Release builds have no fault points: there a plan is always empty and a point does nothing.
//!
//! A plan is written `store.commit.after:abort@3,store.intent.before:full`: at the third passing of
//! `store.commit.after` the process dies without unwinding, as by SIGKILL; at the first passing of
//! `store.intent.before` the disk is full. `@3+` means the third and every later time.
//!
//! The store's own points: `store.load`, `store.probe`, `store.renew`, `store.release`,
//! `store.claim.before|after`, `store.intent.before|after`, `store.clear.before`, `store.commit.before|after`,
//! `store.latch.before|after`, `store.login.before|after`, `store.logout.before|after`, `store.info.before`,
//! `store.event.before`, `store.spare.before|after`, `store.rekey.made|sealed`. "After" means durable.

use crate::error::StoreError;

/// What happens at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The operation fails this way.
    Fail(Kind),
    /// The process ends at once, without destructors.
    Abort,
}

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`StoreError::Fault`].
    Error,
    /// [`StoreError::Full`].
    Full,
    /// [`StoreError::ReadOnly`].
    ReadOnly,
    /// [`StoreError::Busy`].
    Busy,
    /// [`StoreError::Unavailable`].
    Unavailable,
}

#[cfg(any(test, debug_assertions))]
impl Kind {
    fn error(self, point: &str) -> StoreError {
        let path = std::path::PathBuf::from(format!("(fault point {point})"));
        let detail = "asked for by the fault plan".to_owned();
        match self {
            Kind::Error => StoreError::Fault {
                point: point.to_owned(),
                detail,
            },
            Kind::Full => StoreError::Full { path, detail },
            Kind::ReadOnly => StoreError::ReadOnly { path, detail },
            Kind::Busy => StoreError::Busy { path, waited_ms: 0 },
            Kind::Unavailable => StoreError::Unavailable { path, detail },
        }
    }
}

/// Why a plan's text is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// This build has no fault points.
    #[error("fault points exist in debug builds only; this is a release build")]
    Release,
    /// The text is wrong.
    #[error(
        "bad fault {0:?}: expected POINT:ACTION[@N[+]] with ACTION abort, error, full, readonly, busy or unavailable"
    )]
    Syntax(String),
}

pub use plan::FaultPlan;

/// Passes a named point: does what the plan says.
pub fn point(plan: &FaultPlan, name: &str) -> Result<(), StoreError> {
    plan.point(name)
}

#[cfg(not(any(test, debug_assertions)))]
mod plan {
    use super::{PlanError, StoreError};

    /// No plan: this is a release build.
    #[derive(Clone, Debug, Default)]
    pub struct FaultPlan;

    impl FaultPlan {
        /// Always an error: release builds have no fault points.
        pub fn parse(_: &str) -> Result<Self, PlanError> {
            Err(PlanError::Release)
        }

        /// Does nothing.
        #[inline]
        pub fn point(&self, _: &str) -> Result<(), StoreError> {
            Ok(())
        }
    }
}

#[cfg(any(test, debug_assertions))]
mod plan {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::{Action, Kind, PlanError, StoreError};

    #[derive(Debug)]
    struct Fault {
        point: String,
        action: Action,
        /// The passing, counted from 1, at which it happens.
        nth: u32,
        /// Whether it happens at every later passing, too.
        onwards: bool,
        passed: AtomicU32,
    }

    /// Which faults happen when. Clones share their counters. The default has none.
    #[derive(Clone, Debug, Default)]
    pub struct FaultPlan(Arc<Vec<Fault>>);

    impl FaultPlan {
        /// Reads a plan from text; empty text is an empty plan.
        pub fn parse(text: &str) -> Result<Self, PlanError> {
            text.split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(|part| parse(part).ok_or_else(|| PlanError::Syntax(part.to_owned())))
                .collect::<Result<Vec<_>, _>>()
                .map(|faults| Self(Arc::new(faults)))
        }

        /// Passes a named point: does what the plan says.
        pub fn point(&self, name: &str) -> Result<(), StoreError> {
            for fault in self.0.iter().filter(|fault| fault.point == name) {
                let now = fault.passed.fetch_add(1, Ordering::SeqCst) + 1;
                if now == fault.nth || (fault.onwards && now > fault.nth) {
                    match fault.action {
                        Action::Abort => std::process::abort(),
                        Action::Fail(kind) => return Err(kind.error(name)),
                    }
                }
            }
            Ok(())
        }
    }

    fn parse(part: &str) -> Option<Fault> {
        let (point, rest) = part.split_once(':')?;
        let (action, count) = rest.split_once('@').unwrap_or((rest, "1"));
        let action = match action {
            "abort" => Action::Abort,
            "error" => Action::Fail(Kind::Error),
            "full" => Action::Fail(Kind::Full),
            "readonly" => Action::Fail(Kind::ReadOnly),
            "busy" => Action::Fail(Kind::Busy),
            "unavailable" => Action::Fail(Kind::Unavailable),
            _ => return None,
        };
        let (nth, onwards) = match count.strip_suffix('+') {
            Some(nth) => (nth, true),
            None => (count, false),
        };
        let nth = nth.parse().ok().filter(|nth| *nth > 0)?;
        (!point.is_empty()).then(|| Fault {
            point: point.to_owned(),
            action,
            nth,
            onwards,
            passed: AtomicU32::new(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_happens_at_its_time_only() {
        let plan = FaultPlan::parse("a.b:full@2, c:busy@2+").expect("a plan");
        assert_eq!(plan.point("a.b"), Ok(()));
        assert!(matches!(plan.point("a.b"), Err(StoreError::Full { .. })));
        assert_eq!(plan.point("a.b"), Ok(()));
        assert_eq!(plan.point("elsewhere"), Ok(()));
        assert_eq!(point(&plan, "c"), Ok(()));
        assert!(point(&plan, "c").is_err());
        assert!(point(&plan, "c").is_err());
    }

    #[test]
    fn a_misspelt_plan_is_refused() {
        for text in ["a", "a:explode", "a:abort@0", "a:abort@x", ":abort"] {
            assert!(
                matches!(FaultPlan::parse(text), Err(PlanError::Syntax(_))),
                "{text}"
            );
        }
        assert_eq!(FaultPlan::default().point("a"), Ok(()));
    }
}
