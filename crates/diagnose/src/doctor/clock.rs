//! Which clock is wrong, and by how much.

use tenure_core::{Class, Code, Failure, Heal, Who};

use super::{Check, CheckId, Fix};

/// Servers forgive a minute, seldom more.
const FAIL_S: i64 = 60;
/// Beyond this a `Date` that counts whole seconds proves a difference worth knowing.
const WARN_S: i64 = 5;

/// What was measured, in seconds: another clock minus ours, and only what is proven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    /// The server's clock minus ours.
    pub server: i64,
    /// A third clock minus ours, when one was asked.
    pub third: Option<i64>,
}

/// Which side a third clock finds wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Unknown,
    Ours,
    Theirs,
    Both,
}

impl Offsets {
    fn side(self) -> Side {
        let Some(third) = self.third else {
            return Side::Unknown;
        };
        match (third.abs() > WARN_S, (self.server - third).abs() > WARN_S) {
            (true, true) => Side::Both,
            (true, false) => Side::Ours,
            (false, true) => Side::Theirs,
            (false, false) => Side::Unknown,
        }
    }
}

/// Judges the clock of the server at `host`.
pub fn judge(host: &str, offsets: Offsets) -> Check {
    let by = offsets.server;
    let check = if by.abs() > FAIL_S {
        Check::fail(CheckId::Clock, failure(host, offsets))
    } else if by.abs() > WARN_S {
        Check::warn(CheckId::Clock, sentence(host, by)).fact("clock_offset_s", by, "Date header")
    } else {
        Check::ok(CheckId::Clock, format!("{host} and this machine agree")).fact(
            "clock_offset_s",
            by,
            "Date header",
        )
    };
    if by.abs() > WARN_S {
        check.fix(fix(host, offsets.side()))
    } else {
        check
    }
    .at(host)
}

/// Judges our own clock by a third one.
pub fn ours(third: &str, offset_s: i64) -> Check {
    let check = if offset_s.abs() > FAIL_S {
        let word = if offset_s < 0 { "ahead" } else { "behind" };
        let says = format!("this machine's clock is {} s {word}", offset_s.abs());
        let failure = skew("local_clock_wrong", Who::Operator, says).with_evidence(
            "clock_offset_s",
            offset_s,
            third,
        );
        Check::fail(CheckId::ThirdClock, failure)
    } else {
        Check::ok(
            CheckId::ThirdClock,
            format!(
                "this machine's clock is right to {} s",
                offset_s.abs().max(1)
            ),
        )
        .fact("clock_offset_s", offset_s, third)
    };
    let check = check.at(third);
    if offset_s.abs() > FAIL_S {
        check.fix(fix("", Side::Ours))
    } else {
        check
    }
}

fn failure(host: &str, offsets: Offsets) -> Failure {
    let (cause, who) = match offsets.side() {
        Side::Unknown => ("clocks_differ", Who::Operator),
        Side::Ours => ("local_clock_wrong", Who::Operator),
        Side::Theirs => ("server_clock_wrong", Who::ServerAdmin),
        Side::Both => ("both_clocks_wrong", Who::Operator),
    };
    let side = match offsets.side() {
        Side::Unknown => {
            "; which of the two is wrong cannot be told without a third clock (`--sntp`)"
        }
        Side::Ours => "; a third clock says that this machine's is wrong",
        Side::Theirs => "; a third clock says that the server's is wrong",
        Side::Both => "; a third clock agrees with neither",
    };
    let says = format!("{}{side}", sentence(host, offsets.server));
    let failure =
        skew(cause, who, says).with_evidence("clock_offset_s", offsets.server, "Date header");
    match offsets.third {
        Some(third) => failure.with_evidence("third_clock_offset_s", third, "SNTP"),
        None => failure,
    }
}

fn skew(cause: &str, who: Who, says: String) -> Failure {
    Failure::new(
        Code::ClockSkew,
        Class::ClockSkew,
        cause,
        Heal::FixClock,
        who,
        says,
    )
    .with_rule("doctor.clock")
}

fn sentence(host: &str, by: i64) -> String {
    let word = if by >= 0 { "ahead of" } else { "behind" };
    format!(
        "the clock of {host} is {} s {word} this machine's",
        by.abs()
    )
}

fn fix(host: &str, side: Side) -> Fix {
    let ours = "Set this machine's clock by time synchronisation (chrony, systemd-timesyncd)";
    match side {
        Side::Ours => Fix::new(Who::Operator, ours).command("timedatectl set-ntp true"),
        Side::Theirs => Fix::new(
            Who::ServerAdmin,
            format!("Set the clock of {host} by time synchronisation"),
        ),
        Side::Unknown => Fix::new(
            Who::Operator,
            "Find out which clock is wrong with a third one, then set it by time synchronisation",
        )
        .command("tenure doctor --sntp"),
        Side::Both => Fix::new(
            Who::Operator,
            format!("{ours}, and have the clock of {host} set, too"),
        )
        .command("timedatectl set-ntp true"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;

    fn cause(server: i64, third: Option<i64>) -> String {
        let check = judge("id.example", Offsets { server, third });
        check.failure.expect("a failure").cause
    }

    #[test]
    fn a_third_clock_says_which_side_is_wrong() {
        assert_eq!(cause(3_600, None), "clocks_differ");
        assert_eq!(cause(3_600, Some(3_600)), "local_clock_wrong");
        assert_eq!(cause(-3_600, Some(0)), "server_clock_wrong");
        assert_eq!(cause(-3_600, Some(3_600)), "both_clocks_wrong");
    }

    #[test]
    fn sign_and_size_are_said() {
        let of = |server| {
            judge(
                "id.example",
                Offsets {
                    server,
                    third: None,
                },
            )
        };
        assert!(of(3_600).says.contains("3600 s ahead of this machine's"));
        assert!(of(-3_600).says.contains("3600 s behind this machine's"));
        assert_eq!(of(30).outcome, Outcome::Warn);
        assert_eq!(of(-2).outcome, Outcome::Ok);
    }
}
