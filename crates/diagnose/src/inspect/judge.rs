//! What is wrong with a token that can be read: its kind, its algorithm, its issuer, its audience, its times.

use serde_json::{Map, Value};
use tenure_core::{Class, Code, Failure, Heal, Who};

use super::times::{self, Times};
use super::{Given, Kind, issuer, show};
use crate::words::{relative, rfc3339, span, utc};

/// A clock this far ahead is no accident of rounding, in seconds.
pub(super) const USUAL_LEEWAY_S: i64 = 60;
/// Access tokens that live longer are a risk, in seconds.
const LONG_S: i64 = 86_400;
/// Tokens that live shorter leave no time for a refresh, in seconds.
const SHORT_S: i64 = 60;
/// A key's name with so few characters looks like one that somebody typed.
const SHORT_NAME: usize = 4;
/// A year of the calendar's mean length, in seconds.
const YEAR_S: i64 = 31_556_952;
const MOST_SHOWN: usize = 5;
/// Causes of [`kind`].
const KINDS: [&str; 5] = [
    "id_token",
    "refresh_token",
    "logout_token",
    "dpop_proof",
    "client_assertion",
];

pub(super) fn fail(
    code: Code,
    class: Class,
    cause: &'static str,
    (heal, who): (Heal, Who),
    detail: impl Into<String>,
) -> Failure {
    Failure::new(code, class, cause, heal, who, detail).with_rule(&format!("inspect.{cause}"))
}

/// `API02003` for whoever sends or configures.
pub(super) fn invalid(cause: &'static str, detail: impl Into<String>) -> Failure {
    fail(
        Code::TokenInvalid,
        Class::AccessInvalid,
        cause,
        (Heal::FixConfig, Who::Operator),
        detail,
    )
}

/// A token of another kind stands in an access token's place.
pub(super) fn kind(kind: Kind, why: &str) -> Option<Failure> {
    let (cause, place) = match kind {
        Kind::IdToken => (
            "id_token",
            "It tells the client who logged in; an API wants the access token of the same answer.",
        ),
        Kind::RefreshToken => (
            "refresh_token",
            "It goes to the token endpoint and nowhere else; an API wants the access token.",
        ),
        Kind::LogoutToken => ("logout_token", "It tells a client that a session is over."),
        Kind::DpopProof => (
            "dpop_proof",
            "It goes into the `DPoP` header of one request, beside the access token.",
        ),
        Kind::ClientAssertion => (
            "client_assertion",
            "It proves a client at the token endpoint.",
        ),
        _ => return None,
    };
    let detail = format!("This is {} ({why}). {place}", kind.words());
    Some(invalid(cause, detail))
}

/// What the header shows, apart from the signature.
pub(super) fn header(header: &Map<String, Value>, remarks: &mut Vec<String>) -> Option<Failure> {
    let text = |name: &str| header.get(name).and_then(Value::as_str);
    let alg = text("alg").unwrap_or_default();
    let kid = text("kid");
    if alg.starts_with("HS") {
        let short = kid.is_some_and(|kid| kid.len() <= SHORT_NAME);
        remarks.push(format!(
            "{} is a shared secret: whoever can check the token can also make one{}",
            show::text(alg),
            if short {
                "; its key's name is short, and a secret as short could be guessed"
            } else {
                ""
            }
        ));
    }
    match text("typ") {
        None => remarks.push(
            "`typ` is missing: nothing in the header tells an access token from others (RFC 9068 wants `at+jwt`)"
                .to_owned(),
        ),
        Some("") => remarks.push("`typ` is empty".to_owned()),
        Some(_) => {}
    }
    for name in ["jku", "x5u", "jwk", "x5c"] {
        if header.contains_key(name) {
            remarks.push(format!(
                "`{name}` points to a key of the token's own choice; verifiers must not follow it"
            ));
        }
    }
    if alg.eq_ignore_ascii_case("none") {
        return Some(invalid(
            "alg_none",
            "It is not signed (`alg` is `none`): anybody can write such a token, and no server may accept it.",
        ));
    }
    (header.contains_key("crit") || header.contains_key("b64")).then(|| {
        invalid(
            "critical_header",
            "Its header demands extensions (`crit`) that verifiers do not know, so they must refuse it.",
        )
    })
}

pub(super) fn issuer(
    claims: &Map<String, Value>,
    given: &Given<'_>,
    remarks: &mut Vec<String>,
) -> Option<Failure> {
    let wanted = given.issuer?;
    let Some(found) = claims.get("iss").and_then(Value::as_str) else {
        return Some(wrong_server(
            "issuer_missing",
            "It does not say who issued it (`iss`), so it cannot be told whether it is this server's.".to_owned(),
        ));
    };
    let differences = issuer::differences(found, wanted);
    if differences.is_empty() {
        return None;
    }
    if let Some(profile) = given.profile.filter(|own| own.issues_as(wanted, found)) {
        remarks.push(format!(
            "its issuer is {}, as in some tokens of {}",
            quoted(found, given),
            profile.title
        ));
        return None;
    }
    let source = match given.profile {
        Some(_) => "configuration",
        None => "command line",
    };
    let detail = format!(
        "It was issued by {}, not by {}. They differ in {}.",
        quoted(found, given),
        quoted(wanted, given),
        listed(&differences)
    );
    let failure = wrong_server("issuer_differs", detail)
        .with_evidence("iss", plain(found, given), "token")
        .with_evidence("issuer", plain(wanted, given), source);
    Some(failure)
}

fn wrong_server(cause: &'static str, detail: String) -> Failure {
    fail(
        Code::WrongServer,
        Class::WrongIssuer,
        cause,
        (Heal::FixConfig, Who::Operator),
        detail,
    )
}

pub(super) fn audience(claims: &Map<String, Value>, given: &Given<'_>) -> Option<Failure> {
    let wanted = given.audience?;
    let found: Vec<&str> = match claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if found.contains(&wanted) {
        return None;
    }
    if found.is_empty() {
        let detail = format!(
            "It names no audience (`aud`), and {} is expected.",
            quoted(wanted, given)
        );
        return Some(invalid("audience_missing", detail));
    }
    let near = found
        .iter()
        .map(|one| issuer::differences(one, wanted))
        .find(|all| all.len() == 1 && !all[0].contains("another") && !all[0].contains("names"))
        .map(|all| format!(" It differs in {}.", all[0]))
        .unwrap_or_default();
    let names: Vec<String> = found
        .iter()
        .take(MOST_SHOWN)
        .map(|one| quoted(one, given))
        .collect();
    let detail = format!(
        "It is meant for {}, and {} is not among them.{near}",
        names.join(", "),
        quoted(wanted, given)
    );
    let failure = invalid("wrong_audience", detail)
        .with_evidence("aud", names.join(" ").replace('`', ""), "token")
        .with_evidence("audience", plain(wanted, given), "command line");
    Some(failure)
}

/// What the times say, most telling first.
pub(super) fn times(times: &Times, now: i64) -> Vec<Failure> {
    let mut all = Vec::new();
    for claim in &times.unreadable {
        all.push(invalid(
            "time_not_a_number",
            format!("`{claim}` is not a number of seconds since 1970, so strict servers refuse the token."),
        ));
    }
    let ahead = times.iat.map_or(0, |iat| iat.saturating_sub(now));
    if ahead > USUAL_LEEWAY_S {
        all.push(
            skew(ahead)
                .with_evidence("iat", utc(now.saturating_add(ahead)), "token")
                .with_evidence("now", utc(now), "local clock"),
        );
    }
    if let Some(nbf) = times.nbf.filter(|nbf| *nbf > now) {
        all.push(
            fail(
                Code::NotYetValid,
                Class::NotYetValid,
                "not_before",
                (Heal::RetryLater, Who::Tenure),
                format!(
                    "It becomes valid in {}.",
                    span(nbf.saturating_sub(now).unsigned_abs())
                ),
            )
            .with_evidence("nbf", utc(nbf), "token")
            .with_evidence("now", utc(now), "local clock"),
        );
    }
    if let Some(exp) = times.exp.filter(|exp| *exp <= now) {
        all.push(expired(times, exp, now));
    }
    all
}

fn skew(ahead: i64) -> Failure {
    fail(
        Code::ClockSkew,
        Class::ClockSkew,
        "issued_in_future",
        (Heal::FixClock, Who::Operator),
        format!(
            "It was issued {} in the future: this machine's clock is behind the server's, or the server's is ahead.",
            span(ahead.unsigned_abs())
        ),
    )
}

fn expired(times: &Times, exp: i64, now: i64) -> Failure {
    let renew = (Heal::Refresh, Who::Tenure);
    let (cause, detail, heal) = if times.exp_is_duration {
        // Every token of this server is like that: no refresh brings a better one.
        let heal = (Heal::FixConfig, Who::ServerAdmin);
        ("exp_is_duration", no_instant(times, exp), heal)
    } else {
        let ago = ago(now.saturating_sub(exp));
        let detail = match times.unit_of("exp") {
            None => format!("It expired {ago}."),
            Some(unit) => format!(
                "It expired {ago}, if its `exp` is meant in {unit}; servers that read it as seconds let it never end."
            ),
        };
        ("expired", detail, renew)
    };
    fail(
        Code::TokenExpired,
        Class::AccessExpired,
        cause,
        heal,
        detail,
    )
    .with_evidence("exp", utc(exp), "token")
    .with_evidence("now", utc(now), "local clock")
}

/// An `exp` before there were such tokens.
fn no_instant(times: &Times, exp: i64) -> String {
    let why = match times.iat {
        Some(iat) if iat < times::INSTANT_FROM => {
            "so is `iat`, and probably the clock of whoever issued it was not set".to_owned()
        }
        _ if exp > 0 => format!(
            "probably a length of time ({}) or another unit stands where seconds since 1970 belong, or the clock of \
             whoever issued it was not set",
            span(exp.unsigned_abs())
        ),
        _ => "probably a value was missing where it was made, or its clock was not set".to_owned(),
    };
    format!(
        "`exp` is {exp}, a time in {} ({}): {why}. Servers read it as long past.",
        year(exp),
        utc(exp)
    )
}

/// The year of an instant near 1970.
fn year(at_s: i64) -> String {
    let date = rfc3339(at_s).unwrap_or_default();
    date.split('-').next().unwrap_or_default().to_owned()
}

/// What becomes of a time that is in another unit than seconds.
fn in_other_unit(claim: &str, number: i64, unit: &str) -> String {
    let year = number / YEAR_S + 1_970;
    let then = match claim {
        "exp" => "the token never ends for them",
        "nbf" => "strict ones refuse the token as not yet valid",
        _ => "strict ones refuse the token as issued in the future",
    };
    format!(
        "`{claim}` is in {unit} where seconds belong: servers read it as about the year {year}, so {then}; here it is \
         taken as it is meant"
    )
}

/// What is odd about the times and not wrong.
pub(super) fn odd_times(kind: Kind, times: &Times, now: i64, remarks: &mut Vec<String>) {
    let ahead = times.iat.map_or(0, |iat| iat.saturating_sub(now));
    if (1..=USUAL_LEEWAY_S).contains(&ahead) {
        remarks.push(format!(
            "it was issued {} in the future by this clock; servers without leeway refuse it until then",
            span(ahead.unsigned_abs())
        ));
    }
    for (claim, number, unit) in &times.in_other_units {
        remarks.push(in_other_unit(claim, *number, unit));
    }
    if times.exp.is_none() && times.unreadable.is_empty() {
        remarks.push("it has no end (`exp`): only its server can end it".to_owned());
    }
    let access = matches!(kind, Kind::AccessToken | Kind::Jwt);
    match times.lifetime_s() {
        _ if times.exp_is_duration => {}
        Some(life) if life <= 0 => {
            remarks.push("it ends before it was issued: its times contradict each other".to_owned());
        }
        Some(life) if life < SHORT_S => remarks.push(format!(
            "its lifetime of {} is suspiciously short: a slow answer or a clock a little off ends it",
            span(life.unsigned_abs())
        )),
        Some(life) if life > LONG_S && access => remarks.push(format!(
            "its lifetime of {} is long for an access token: a stolen one is good until then",
            span(life.unsigned_abs())
        )),
        _ => {}
    }
}

/// What to say about it in half a sentence: `an access token that expired 3 min ago`.
pub(super) fn summary(kind: Kind, times: &Times, failures: &[Failure], now: i64) -> String {
    let what = kind.words();
    if times.exp_is_duration {
        let exp = times.exp.unwrap_or_default();
        return format!("{what} whose `exp` is a time in {}", year(exp));
    }
    let validity = match (times.nbf, times.exp) {
        (_, Some(exp)) if exp <= now => format!("expired {}", ago(now.saturating_sub(exp))),
        (Some(nbf), _) if nbf > now => {
            format!("becomes valid {}", relative(nbf.saturating_sub(now)))
        }
        (_, Some(exp)) => format!("ends {}", relative(exp.saturating_sub(now))),
        (_, None) => "has no end".to_owned(),
    };
    // The kind is said already; so are the times.
    let other = failures.iter().find(|failure| {
        let times = matches!(failure.code, Code::TokenExpired | Code::NotYetValid);
        !times && !KINDS.contains(&failure.cause.as_str())
    });
    let over = times.exp.is_some_and(|exp| exp <= now);
    match other {
        Some(failure) if over => format!(
            "{what} that {validity}, and fails for another reason ({})",
            failure.cause
        ),
        Some(failure) => format!(
            "{what} that {validity}, but fails for another reason ({})",
            failure.cause
        ),
        None => format!("{what} that {validity}"),
    }
}

fn ago(seconds: i64) -> String {
    match seconds {
        0 => "just now".to_owned(),
        _ => relative(seconds.saturating_neg()),
    }
}

fn listed(all: &[String]) -> String {
    match all {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// A name as it may stand in a sentence.
fn plain(name: &str, given: &Given<'_>) -> String {
    if given.redact && name.contains('@') {
        return "[hidden]".to_owned();
    }
    show::text(name)
}

fn quoted(name: &str, given: &Given<'_>) -> String {
    format!("`{}`", plain(name, given))
}
