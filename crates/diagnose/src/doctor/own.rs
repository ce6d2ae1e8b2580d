//! Tenure itself at the other end: a gateway or an admin address answers where a server was expected.

use http::HeaderMap;
use http::header::SERVER;
use tenure_core::{Class, Code, Failure, Heal, Who};
use url::Url;

use super::{Check, CheckId, Fix};

/// What the admin address calls itself in `Server`.
pub const ADMIN: &str = "tenure-admin";

/// What of Tenure answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Own {
    /// A gateway: only its own answers carry these fields, an upstream's are taken out.
    Gateway {
        /// The session that served the answer.
        session: Option<String>,
        /// What was wrong with its token.
        code: Option<String>,
    },
    /// The status page and the local API.
    Admin,
}

/// Whom the address was thought to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// The server that gives a session's tokens.
    Server(&'a str),
    /// The upstream of a session.
    Upstream(&'a str),
    /// An address that was named.
    Address,
}

/// What of Tenure answered, if it was Tenure.
pub fn own(headers: &HeaderMap) -> Option<Own> {
    let text = |name: &str| {
        let value = headers.get(name)?.to_str().ok()?;
        Some(value.chars().take(64).collect::<String>())
    };
    // The admin address words its refusals as the gateway does.
    if text(SERVER.as_str()).as_deref() == Some(ADMIN) {
        return Some(Own::Admin);
    }
    let (session, code) = (text("tenure-session"), text("tenure-code"));
    (session.is_some() || code.is_some()).then_some(Own::Gateway { session, code })
}

/// What that means there, and what to examine instead.
pub fn judge(own: &Own, url: &Url, place: Place<'_>) -> Check {
    let who = named(own);
    let check = match place {
        Place::Server(session) => return wrong(&who, session),
        Place::Upstream(session) => Check::warn(
            CheckId::Http,
            format!("{who} answers for the session's upstream and sends a token of its own: nothing is seen of the API"),
        )
        .fix(Fix::new(
            Who::Operator,
            format!("Set `upstream` of [sessions.{session}] to the API's own address"),
        )),
        Place::Address => Check::warn(
            CheckId::Http,
            format!("{who} answers there: what stands behind it is examined by its session"),
        ),
    };
    let check = match own {
        Own::Gateway { session, .. } => check
            .fix(examine(session.as_deref()))
            .fix(look(url, session.as_deref())),
        Own::Admin => check.fix(examine(None)),
    };
    check.blind()
}

fn named(own: &Own) -> String {
    match own {
        Own::Admin => "the admin address of a `tenure up`".to_owned(),
        Own::Gateway { session, code } => {
            let session = session.as_ref().map(|name| format!(" (session {name})"));
            let code = code.as_ref().map(|code| format!(" with {code}"));
            format!(
                "a Tenure gateway{}{}",
                session.unwrap_or_default(),
                code.unwrap_or_default()
            )
        }
    }
}

fn examine(session: Option<&str>) -> Fix {
    let step = "Examine the session itself, where that Tenure runs";
    match session {
        Some(name) => Fix::new(Who::Operator, step).command(format!("tenure doctor {name}")),
        None => Fix::new(
            Who::Operator,
            format!("{step}: `tenure status` lists its sessions"),
        )
        .command("tenure doctor SESSION"),
    }
}

fn look(url: &Url, session: Option<&str>) -> Fix {
    let address = match session {
        Some(_) => url.to_string(),
        None => format!("{}/SESSION/PATH", url.origin().ascii_serialization()),
    };
    Fix::new(
        Who::Operator,
        "Look at an answer through the gateway: `Tenure-Session` says who served it, `Tenure-Code` what was wrong with the token",
    )
    .command(format!("curl -si {address}"))
}

fn wrong(who: &str, session: &str) -> Check {
    let failure = Failure::new(
        Code::WrongServer,
        Class::WrongIssuer,
        "tenure_itself",
        Heal::FixConfig,
        Who::Operator,
        format!("{who} answers where the session gets its tokens"),
    )
    .with_rule("doctor.own");
    Check::fail(CheckId::Http, failure).fix(Fix::new(
        Who::Operator,
        format!("Set `issuer` or `token_endpoint` of [sessions.{session}] to the login server's own address"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;
    use http::{HeaderName, HeaderValue};

    fn fields(all: &[(&'static str, &'static str)]) -> HeaderMap {
        all.iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn tenure_is_known_by_its_own_fields() {
        assert_eq!(own(&fields(&[("server", "nginx")])), None);
        let admin = fields(&[("server", ADMIN), ("tenure-code", "API03001")]);
        assert_eq!(own(&admin), Some(Own::Admin));
        let gateway = own(&fields(&[("tenure-session", "shop")])).expect("a gateway");
        let url = Url::parse("http://127.0.0.1:7878/shop/").expect("a URL");
        let check = judge(&gateway, &url, Place::Address);
        assert_eq!(check.outcome, Outcome::Warn);
        let command = check.fixes[0].command.as_deref();
        assert_eq!(command, Some("tenure doctor shop"));
        let check = judge(&gateway, &url, Place::Server("till"));
        assert_eq!(check.failure.expect("a failure").code, Code::WrongServer);
    }
}
