//! From all checks to the one cause underneath, and the steps that heal, in order.

use serde::Serialize;
use tenure_core::{Code, Failure};

use super::{Check, Fix, Outcome};

/// What follows from all checks.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// The root cause; `None` when nothing wrong was found.
    pub failure: Option<Failure>,
    /// One sentence.
    pub says: String,
    /// What else is wrong, most of it for that cause: code and title.
    pub also: Vec<String>,
    /// What to do, first things first.
    pub fixes: Vec<Fix>,
}

/// How deep a failure lies: what lies deeper explains what lies above it.
fn depth(failure: &Failure) -> u8 {
    let code = match failure.code {
        Code::RefreshFailed => failure.root().code,
        code => code,
    };
    match code {
        Code::DnsFailed | Code::DeviceOffline | Code::NetworkUnreachable => 0,
        Code::ConnectionRefused | Code::ConnectionTimeout | Code::ConnectionReset => 1,
        // A wrong clock here makes good certificates look bad.
        Code::ClockSkew if failure.cause == "local_clock_wrong" => 2,
        Code::TlsError => 3,
        Code::AnswerIntercepted => 4,
        Code::StoreUnavailable => 5,
        Code::WebsiteUnavailable | Code::ServerError => 6,
        Code::ClockSkew => 7,
        Code::WrongServer => 8,
        Code::InvalidRequest
        | Code::ClientRejected
        | Code::ClientNotAllowed
        | Code::ApiKeyInvalid => 9,
        Code::HeaderLost => 10,
        Code::AccountDisabled | Code::ConsentRequired | Code::SessionEnded => 11,
        Code::RefreshRevoked | Code::RefreshReused | Code::ReplyLost | Code::RefreshExpired => 12,
        Code::RefreshInvalid | Code::InvalidCredentials => 13,
        Code::SigningKeyChanged => 14,
        Code::AccessTokenRevoked | Code::TokenExpired | Code::NotYetValid => 15,
        Code::TokenInvalid => 16,
        Code::StrongerSignIn | Code::InsufficientPermissions | Code::UserNotAuthorized => 17,
        Code::RateLimited => 18,
        Code::AuthRequired => 19,
        Code::RefreshFailed | Code::Unrecognised => 20,
    }
}

/// The verdict.
pub fn verdict(checks: &[Check]) -> Verdict {
    let mut failed: Vec<&Check> = checks
        .iter()
        .filter(|check| check.outcome == Outcome::Fail)
        .collect();
    failed.sort_by_key(|check| check.failure.as_ref().map_or(u8::MAX, depth));
    let root = failed.first().and_then(|check| check.failure.clone());
    let warned = checks.iter().filter(|check| check.outcome == Outcome::Warn);
    let mut fixes: Vec<Fix> = Vec::new();
    for check in failed.iter().copied().chain(warned) {
        let own = match (&check.failure, check.outcome) {
            (Some(failure), Outcome::Fail) if check.fixes.is_empty() => vec![Fix::of(failure)],
            _ => check.fixes.clone(),
        };
        for fix in own {
            if !fixes.iter().any(|known| known.step == fix.step) {
                fixes.push(fix);
            }
        }
    }
    let mut also: Vec<String> = Vec::new();
    for failure in failed
        .iter()
        .skip(1)
        .filter_map(|check| check.failure.as_ref())
    {
        let name = format!("{} {}", failure.code, failure.title);
        let of_root = root.as_ref().is_some_and(|root| root.code == failure.code);
        if !of_root && !also.contains(&name) {
            also.push(name);
        }
    }
    Verdict {
        says: says(root.as_ref(), checks),
        failure: root,
        also,
        fixes,
    }
}

fn says(root: Option<&Failure>, checks: &[Check]) -> String {
    if let Some(failure) = root {
        return failure.detail.clone();
    }
    if let Some(blind) = checks.iter().find(|check| check.blind) {
        let command = blind.fixes.iter().find_map(|fix| fix.command.as_deref());
        let run = command.map(|command| format!("; run `{command}`"));
        return format!(
            "nothing wrong found, but {}{}",
            blind.says,
            run.unwrap_or_default()
        );
    }
    let count = |outcome| {
        checks
            .iter()
            .filter(|check| check.outcome == outcome)
            .count()
    };
    match count(Outcome::Warn) {
        0 => "nothing wrong found".to_owned(),
        1 => "nothing wrong found; one thing is worth knowing".to_owned(),
        warned => format!("nothing wrong found; {warned} things are worth knowing"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::CheckId;
    use tenure_core::{Class, Heal, Who};

    fn fail(id: CheckId, code: Code, heal: Heal) -> Check {
        let failure = Failure::new(
            code,
            Class::Unknown,
            "test",
            heal,
            Who::Operator,
            code.title(),
        );
        Check::fail(id, failure)
    }

    fn root(checks: &[Check]) -> Option<Code> {
        verdict(checks).failure.map(|failure| failure.code)
    }

    #[test]
    fn the_deeper_cause_wins_whatever_the_order() {
        let pairs = [
            (Code::ClockSkew, Code::TokenExpired),
            (Code::HeaderLost, Code::AuthRequired),
            (Code::WrongServer, Code::SigningKeyChanged),
            (Code::DnsFailed, Code::StoreUnavailable),
            (Code::TlsError, Code::ClockSkew),
            (Code::ClientRejected, Code::RefreshInvalid),
            (Code::RefreshRevoked, Code::AccessTokenRevoked),
        ];
        for (deep, shallow) in pairs {
            let a = fail(CheckId::Api, shallow, Heal::Relogin);
            let b = fail(CheckId::Clock, deep, Heal::FixConfig);
            assert_eq!(root(&[a.clone(), b.clone()]), Some(deep));
            assert_eq!(root(&[b, a]), Some(deep));
        }
    }

    #[test]
    fn our_wrong_clock_explains_a_certificate_that_seems_expired() {
        let mut clock = fail(CheckId::ThirdClock, Code::ClockSkew, Heal::FixClock);
        if let Some(failure) = &mut clock.failure {
            failure.cause = "local_clock_wrong".to_owned();
        }
        let tls = fail(CheckId::Tls, Code::TlsError, Heal::FixConfig);
        assert_eq!(root(&[tls, clock]), Some(Code::ClockSkew));
    }

    #[test]
    fn nothing_wrong_is_a_verdict_and_remarks_stay() {
        let remark = Check::warn(CheckId::Proxy, "x").fix(Fix::new(Who::Operator, "look"));
        let verdict = verdict(&[Check::ok(CheckId::Dns, "y"), remark]);
        assert!(verdict.failure.is_none());
        assert!(verdict.says.starts_with("nothing wrong found"));
        assert_eq!(verdict.fixes.len(), 1);
    }

    #[test]
    fn what_was_not_seen_is_said_with_what_to_type() {
        let check = Check::warn(CheckId::Header, "it was not seen")
            .fix(Fix::new(Who::Operator, "look").command("tenure doctor shop --path /PATH"));
        let checks = [Check::ok(CheckId::Dns, "y"), check.blind()];
        assert_eq!(
            verdict(&checks).says,
            "nothing wrong found, but it was not seen; run `tenure doctor shop --path /PATH`"
        );
    }

    #[test]
    fn steps_stand_in_the_order_of_depth_and_once() {
        let checks = [
            fail(CheckId::Api, Code::TokenInvalid, Heal::Relogin),
            fail(CheckId::Validate, Code::TokenInvalid, Heal::Relogin),
            fail(CheckId::Clock, Code::ClockSkew, Heal::FixClock),
        ];
        let verdict = verdict(&checks);
        let steps: Vec<_> = verdict.fixes.iter().map(|fix| fix.step.as_str()).collect();
        assert_eq!(steps.len(), 2, "{steps:?}");
        assert!(steps[0].starts_with("Set the clock"), "{steps:?}");
        assert_eq!(verdict.also, ["API02003 Token Invalid"]);
    }
}
