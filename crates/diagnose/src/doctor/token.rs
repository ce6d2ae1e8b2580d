//! What a token says of itself, judged by the server's clock.

use super::issuer::differ;
use super::{Check, CheckId, Fix};
use crate::words::span;
use tenure_core::{Class, Code, Failure, Heal, Who};
use tenure_jose::{Malformed, Peek};

/// Servers forgive so many seconds, seldom more.
const LEEWAY_S: i64 = 60;
/// A lifetime below this is hardly meant.
const SHORT_S: u64 = 60;

/// What is known beside the token.
#[derive(Clone, Debug, Default)]
pub struct Around<'a> {
    /// Name of the session.
    pub session: &'a str,
    /// Server time if known, else ours, seconds since the epoch.
    pub now_s: i64,
    /// Whether it is the server's.
    pub by_server: bool,
    /// Seconds until the access token ends by what the store knows; negative when it has ended.
    pub left_s: Option<i64>,
    /// Something can renew it without a person.
    pub renewable: bool,
}

/// The token's times. An opaque token is judged by what the store knows of it.
pub fn times(peek: &Result<Peek, Malformed>, around: &Around<'_>) -> Check {
    let check = match peek {
        Ok(peek) => by_claims(peek, around),
        Err(Malformed::Segments { found: 1 }) => opaque("opaque", around),
        Err(Malformed::Segments { found: 5 }) => opaque("encrypted for the API", around),
        Err(malformed) => Check::warn(CheckId::Token, format!("it is no usual JWT: {malformed}")),
    };
    match peek {
        Ok(peek) => ["exp", "iat", "nbf"].iter().fold(check, |check, claim| {
            match peek.claims.get(*claim).and_then(serde_json::Value::as_i64) {
                Some(at) => check.fact(claim, at, "token"),
                None => check,
            }
        }),
        Err(_) => check,
    }
}

/// A length of time that is not negative where it is said.
fn words(seconds: i64) -> String {
    span(seconds.unsigned_abs())
}

fn opaque(kind: &str, around: &Around<'_>) -> Check {
    match around.left_s {
        Some(left) if left <= 0 => expired(-left, "store", around),
        Some(left) => Check::ok(CheckId::Token, format!("{kind}; ends in {}", words(left))),
        None => Check::ok(CheckId::Token, format!("{kind}; nobody says when it ends")),
    }
    .fact("kind", kind, "token")
}

fn by_claims(peek: &Peek, around: &Around<'_>) -> Check {
    if let Some(exp) = peek.exp().filter(|exp| *exp <= around.now_s) {
        return expired(around.now_s - exp, "exp against server time", around);
    }
    let begins = peek.nbf().into_iter().chain(peek.iat()).max();
    if let Some(begins) = begins.filter(|begins| *begins > around.now_s + LEEWAY_S) {
        let says = format!(
            "the token begins {} s in the server's future: one of the clocks was wrong when it was made",
            begins - around.now_s
        );
        let failure = Failure::new(
            Code::NotYetValid,
            Class::NotYetValid,
            "begins_in_the_future",
            Heal::RetryLater,
            Who::Tenure,
            says,
        )
        .with_rule("doctor.token");
        return Check::fail(CheckId::Token, failure);
    }
    let left = peek.exp().map(|exp| exp - around.now_s);
    match left {
        Some(left) => {
            let whose = if around.by_server {
                "the server's"
            } else {
                "this machine's"
            };
            Check::ok(
                CheckId::Token,
                format!("ends in {} by {whose} clock", words(left)),
            )
        }
        None => Check::ok(CheckId::Token, "it has no end of its own"),
    }
}

/// An access token that has ended is daily life where something renews it.
fn expired(by_s: i64, source: &str, around: &Around<'_>) -> Check {
    let says = format!("the access token ended {} ago", words(by_s));
    if around.renewable {
        return Check::warn(
            CheckId::Token,
            format!("{says}; it is renewed when it is next wanted"),
        )
        .fact("expired_for_s", by_s, source)
        .fix(
            Fix::new(Who::Tenure, "Nothing by hand: the next use renews it")
                .command(format!("tenure token {}", around.session)),
        );
    }
    let failure = Failure::new(
        Code::TokenExpired,
        Class::AccessExpired,
        "expired",
        Heal::Relogin,
        Who::User,
        format!("{says}, and nothing can renew it without a login"),
    )
    .with_rule("doctor.token")
    .with_command(format!("tenure login {}", around.session))
    .with_evidence("expired_for_s", by_s, source);
    Check::fail(CheckId::Token, failure)
}

/// Whether its whole life is long enough to be of use.
pub fn lifetime(life_s: Option<u64>) -> Check {
    match life_s {
        None => Check::skipped(CheckId::Lifetime, "nothing says how long it lives"),
        Some(life) if life < SHORT_S => Check::warn(
            CheckId::Lifetime,
            format!("access tokens live {life} s: requests that take longer, and clocks that differ a little, fail"),
        )
        .fact("lifetime_s", life, "token response")
        .fix(Fix::new(
            Who::ServerAdmin,
            "Let access tokens live longer; five minutes are usual",
        )),
        Some(life) => Check::ok(CheckId::Lifetime, format!("access tokens live {}", span(life)))
            .fact("lifetime_s", life, "token response"),
    }
}

/// Whether the token is this server's and for this API. `issuer` is the one expected, `audience` those that would do.
pub fn origin(peek: &Peek, issuer: Option<&str>, audience: Option<&str>) -> Check {
    if let (Some(expected), Some(found)) = (issuer, peek.iss())
        && let Some(part) = differ(expected, found)
    {
        let failure = Failure::new(
            Code::WrongServer,
            Class::WrongIssuer,
            "token_of_another_issuer",
            Heal::FixConfig,
            Who::Operator,
            format!(
                "the token was issued by `{found}`, and the session is at `{expected}`: they differ in {part}"
            ),
        )
        .with_rule("doctor.issuer")
        .with_evidence("iss", found, "token")
        .with_evidence("issuer", expected, "configuration");
        return Check::fail(CheckId::Audience, failure).fix(Fix::new(
            Who::Operator,
            format!("Set issuer = \"{found}\" if that is the right server, else log in again at `{expected}`"),
        ));
    }
    let aud = peek.aud();
    let check = match (peek.iss(), aud.as_slice()) {
        (None, []) => Check::skipped(
            CheckId::Audience,
            "the token names neither issuer nor audience",
        ),
        (_, []) => Check::ok(
            CheckId::Audience,
            "the issuer fits; the token names no audience",
        ),
        (_, aud) => match audience {
            Some(wanted) if !aud.contains(&wanted) => Check::warn(
                CheckId::Audience,
                format!(
                    "the token is for `{}`; whether the API at {wanted} is meant, only the API knows",
                    aud.join(", ")
                ),
            ),
            _ => Check::ok(
                CheckId::Audience,
                format!("issuer fits; for `{}`", aud.join(", ")),
            ),
        },
    };
    let check = match peek.iss() {
        Some(iss) => check.fact("iss", iss, "token"),
        None => check,
    };
    if aud.is_empty() {
        check
    } else {
        check.fact("aud", aud.join(", "), "token")
    }
}

/// Scopes granted against scopes that a challenge asks for (RFC 6750 §3.1).
pub fn scopes(session: &str, granted: &str, wanted: &str) -> Check {
    let has: Vec<&str> = granted.split_whitespace().collect();
    let missing: Vec<&str> = wanted
        .split_whitespace()
        .filter(|scope| !has.contains(scope))
        .collect();
    if missing.is_empty() {
        return Check::warn(
            CheckId::Scopes,
            "the API says that a scope is missing, and every scope it names was granted: it is a role or permission of the account",
        )
        .fact("granted", granted, "token response")
        .fact("wanted", wanted, "challenge")
        .fix(Fix::new(Who::ServerAdmin, "Give the account the right that the API asks for"));
    }
    let missing = missing.join(" ");
    let failure = Failure::new(
        Code::InsufficientPermissions,
        Class::InsufficientScope,
        "scope_missing",
        Heal::RequestScope,
        Who::Operator,
        format!("the API wants the scope `{missing}`, which was not granted"),
    )
    .with_rule("doctor.scopes")
    .with_command(format!("tenure login {session}"))
    .with_evidence("granted", granted, "token response")
    .with_evidence("wanted", wanted, "challenge");
    Check::fail(CheckId::Scopes, failure).fix(
        Fix::new(
            Who::Operator,
            format!("Add `{missing}` to `scopes` of [sessions.{session}], then log in again"),
        )
        .command(format!("tenure login {session}")),
    )
}

/// How long the refresh token may lie, and how long it has lain. Seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct RefreshAge {
    /// Since the pair came.
    pub age_s: u64,
    /// Until its stated end; negative when past.
    pub left_s: Option<i64>,
    /// How long the server keeps one that is not used, by the profile.
    pub idle_s: Option<u64>,
}

/// Whether the refresh token is still within its time.
pub fn refresh_age(session: &str, age: RefreshAge) -> Check {
    let ended = |why: String| {
        let failure = Failure::new(
            Code::RefreshExpired,
            Class::RefreshExpired,
            "past_its_time",
            Heal::Relogin,
            Who::User,
            why,
        )
        .with_rule("doctor.refresh_token")
        .with_command(format!("tenure login {session}"))
        .with_evidence("age_s", age.age_s, "store");
        Check::fail(CheckId::Refresh, failure)
    };
    match (age.left_s, age.idle_s) {
        (Some(left), _) if left <= 0 => {
            ended(format!("the refresh token ended {} ago", words(-left)))
        }
        (_, Some(idle)) if age.age_s >= idle => Check::warn(
            CheckId::Refresh,
            format!(
                "unused for {}; such servers end it after {} without use",
                span(age.age_s),
                span(idle)
            ),
        )
        .fix(
            Fix::new(Who::User, "If the next refresh is refused: log in again")
                .command(format!("tenure login {session}")),
        ),
        (Some(left), _) => Check::ok(
            CheckId::Refresh,
            format!("{} old, ends in {}", span(age.age_s), words(left)),
        ),
        (None, Some(idle)) => Check::ok(
            CheckId::Refresh,
            format!("{} old; kept {} without use", span(age.age_s), span(idle)),
        ),
        (None, None) => Check::ok(
            CheckId::Refresh,
            format!("{} old; no end is known", span(age.age_s)),
        ),
    }
    .fact("age_s", age.age_s, "store")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;
    use serde_json::json;
    use tenure_jose::Header;

    fn jwt(claims: serde_json::Value) -> Peek {
        Peek {
            header: Header {
                alg: "ES256".into(),
                kid: None,
                typ: None,
            },
            claims: claims.as_object().cloned().expect("an object"),
        }
    }

    fn around(renewable: bool) -> Around<'static> {
        Around {
            session: "shop",
            now_s: 1_000,
            by_server: true,
            left_s: None,
            renewable,
        }
    }

    #[test]
    fn an_end_is_daily_life_only_where_it_can_be_renewed() {
        let old = Ok(jwt(json!({ "exp": 900 })));
        assert_eq!(times(&old, &around(true)).outcome, Outcome::Warn);
        let check = times(&old, &around(false));
        assert_eq!(check.failure.expect("a failure").code, Code::TokenExpired);
        let future = Ok(jwt(json!({ "exp": 9_000, "nbf": 4_600 })));
        let check = times(&future, &around(true));
        assert_eq!(check.failure.expect("a failure").code, Code::NotYetValid);
    }

    #[test]
    fn the_issuer_is_compared_to_the_letter() {
        let peek = jwt(json!({ "iss": "https://id.example/", "aud": "orders" }));
        let check = origin(&peek, Some("https://id.example"), None);
        assert_eq!(check.outcome, Outcome::Fail);
        assert!(
            check.says.contains("the slash at the end"),
            "{}",
            check.says
        );
        assert_eq!(
            origin(&peek, Some("https://id.example/"), None).outcome,
            Outcome::Ok
        );
    }

    #[test]
    fn missing_scopes_are_named() {
        let check = scopes("shop", "orders", "orders orders:write");
        assert_eq!(check.outcome, Outcome::Fail);
        assert!(check.says.contains("`orders:write`"), "{}", check.says);
        assert_eq!(scopes("shop", "a b", "b").outcome, Outcome::Warn);
    }

    #[test]
    fn a_refresh_token_ends_by_what_was_said_and_idles_by_the_profile() {
        let of = |left_s, idle_s| {
            refresh_age(
                "shop",
                RefreshAge {
                    age_s: 100,
                    left_s,
                    idle_s,
                },
            )
            .outcome
        };
        assert_eq!(of(Some(-1), None), Outcome::Fail);
        assert_eq!(of(Some(5), Some(50)), Outcome::Warn);
        assert_eq!(of(Some(5), Some(500)), Outcome::Ok);
        assert_eq!(lifetime(Some(20)).outcome, Outcome::Warn);
        assert_eq!(lifetime(Some(300)).outcome, Outcome::Ok);
    }
}
