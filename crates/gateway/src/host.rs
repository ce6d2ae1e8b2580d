//! Which name a request came for, and whether a web page may have sent it.
//!
//! A gateway on the loopback interface is reachable from every web page a person opens. Two doors are shut:
//! a `Host` that is neither loopback nor a session name (DNS rebinding: a foreign name that resolves to
//! 127.0.0.1), and requests a browser marks as coming from another site (`Origin`, `Sec-Fetch-Site`).

use std::net::{Ipv4Addr, Ipv6Addr};

use http::header::{HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, Method, StatusCode, Uri};
use tenure_core::Who;

use crate::problem::Problem;

/// Fetch Metadata; sent by every current browser and not settable by a page.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The name a request was made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Host and port as sent, in lower case.
    authority: String,
    /// The session, when the host is `<session>.localhost`.
    pub session: Option<String>,
}

/// Reads the address of a request.
///
/// `any_host` is for gateways that ask every caller for a key: a page of another site cannot present one, and
/// names of this machine in its network are not known here.
///
/// # Errors
/// 400 for a missing or ambiguous host, 421 for one that is not this gateway's, 501 for CONNECT and TRACE.
pub fn address(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    any_host: bool,
) -> Result<Address, Problem> {
    if matches!(*method, Method::CONNECT | Method::TRACE) {
        // TRACE would show the token to the caller: it echoes the request as the upstream received it.
        let detail = format!("{method} is not forwarded; send the request itself to the gateway");
        return Err(Problem::request(
            StatusCode::NOT_IMPLEMENTED,
            "method",
            Who::User,
            detail,
        ));
    }
    if uri.scheme_str().is_some_and(|scheme| scheme != "http") {
        return Err(misdirected(uri.authority().map_or("", Authority::as_str)));
    }
    let authority = authority(uri, headers)?;
    let text = authority.as_str().to_ascii_lowercase();
    if text.contains('@') {
        return Err(bad_host("the host holds a user name"));
    }
    let host = authority.host().to_ascii_lowercase();
    let session = host
        .strip_suffix(".localhost")
        .filter(|label| !label.is_empty() && !label.contains('.'));
    if session.is_none() && !any_host && !is_loopback(&host) {
        return Err(misdirected(&text));
    }
    Ok(Address {
        session: session.map(str::to_owned),
        authority: text,
    })
}

/// The authority of the request target if it has one (absolute form, HTTP/2), else of the Host field
/// (RFC 9112 §3.2, RFC 9113 §8.3.1). Two that differ are refused rather than ranked.
fn authority(uri: &Uri, headers: &HeaderMap) -> Result<Authority, Problem> {
    let mut fields = headers.get_all(HOST).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return Err(bad_host("there is more than one Host field"));
    }
    let field = field
        .map(|value| {
            Authority::try_from(value.as_bytes())
                .map_err(|_| bad_host("the Host field is no host and port"))
        })
        .transpose()?;
    match (uri.authority().cloned(), field) {
        (Some(target), Some(field)) if target != field => {
            Err(bad_host("the request target and the Host field differ"))
        }
        (Some(authority), _) | (None, Some(authority)) => Ok(authority),
        (None, None) => Err(bad_host("there is no Host field")),
    }
}

fn is_loopback(host: &str) -> bool {
    if let Some(literal) = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        return literal
            .parse::<Ipv6Addr>()
            .is_ok_and(|address| address.is_loopback());
    }
    host == "localhost"
        || host
            .parse::<Ipv4Addr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Refuses what a browser sends for a page of another origin.
///
/// `same-site` is refused as well: to a browser every port of localhost is one site, and so is whatever else
/// runs there. `none` is a person typing the address.
///
/// # Errors
/// 403.
pub fn same_origin(headers: &HeaderMap, address: &Address) -> Result<(), Problem> {
    let foreign_fetch = headers
        .get_all(SEC_FETCH_SITE)
        .iter()
        .any(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"));
    let foreign_origin = headers
        .get_all(ORIGIN)
        .iter()
        .any(|origin| !is_own(origin.as_bytes(), address));
    if foreign_fetch || foreign_origin {
        return Err(Problem::request(
            StatusCode::FORBIDDEN,
            "cross_site",
            Who::User,
            "a web page of another origin asked; pages may not spend a session. Call the gateway from a program, \
             or serve the page through the gateway",
        ));
    }
    Ok(())
}

fn is_own(origin: &[u8], address: &Address) -> bool {
    let Some(host) = std::str::from_utf8(origin)
        .ok()
        .and_then(|origin| origin.strip_prefix("http://"))
    else {
        return false;
    };
    let own = address
        .authority
        .strip_suffix(":80")
        .unwrap_or(&address.authority);
    host.strip_suffix(":80")
        .unwrap_or(host)
        .eq_ignore_ascii_case(own)
}

fn bad_host(why: &str) -> Problem {
    Problem::request(
        StatusCode::BAD_REQUEST,
        "bad_host",
        Who::User,
        format!("{why}; send exactly one, e.g. `Host: 127.0.0.1:7878`"),
    )
}

fn misdirected(host: &str) -> Problem {
    let shown: String = host.chars().take(100).collect();
    Problem::request(
        StatusCode::MISDIRECTED_REQUEST,
        "foreign_host",
        Who::User,
        format!(
            "\"{shown}\" is not a name of this gateway; use http://127.0.0.1:<port>/<session>/<path> \
             or http://<session>.localhost:<port>/<path>"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn of(target: &str, host: &[&str]) -> Result<Address, StatusCode> {
        let headers = host
            .iter()
            .map(|host| (HOST, HeaderValue::from_str(host).expect("a value")))
            .collect();
        address(
            &Method::GET,
            &target.parse().expect("a target"),
            &headers,
            false,
        )
        .map_err(|problem| problem.status)
    }

    #[test]
    fn loopback_names_are_served() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:7878",
            "127.8.8.8:1",
            "[::1]",
            "[::1]:7878",
            "localhost",
            "LOCALHOST:80",
        ] {
            assert_eq!(
                of("/x", &[host]).map(|address| address.session),
                Ok(None),
                "{host}"
            );
        }
    }

    #[test]
    fn a_session_name_is_taken_from_the_host() {
        assert_eq!(
            of("/x", &["Shop.localhost:7878"]).map(|address| address.session),
            Ok(Some("shop".to_owned()))
        );
        assert_eq!(
            of("http://shop.localhost/x", &[]).map(|address| address.session),
            Ok(Some("shop".to_owned()))
        );
    }

    #[test]
    fn every_other_name_is_misdirected() {
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "a.b.localhost",
            ".localhost",
            "192.0.2.1:7878",
            "0.0.0.0",
            "[::]",
            "[::ffff:127.0.0.1]",
            "2130706433",
            "0x7f.1",
            "localhost.",
            "127.1",
        ] {
            assert_eq!(
                of("/x", &[host]),
                Err(StatusCode::MISDIRECTED_REQUEST),
                "{host}"
            );
        }
        assert_eq!(
            of("http://evil.example/x", &[]),
            Err(StatusCode::MISDIRECTED_REQUEST)
        );
        assert_eq!(
            of("https://127.0.0.1/x", &[]),
            Err(StatusCode::MISDIRECTED_REQUEST)
        );
    }

    #[test]
    fn missing_and_ambiguous_hosts_are_bad_requests() {
        for hosts in [
            &[][..],
            &["127.0.0.1", "127.0.0.1"],
            &["a b"],
            &[""],
            &["user@127.0.0.1"],
        ] {
            assert_eq!(of("/x", hosts), Err(StatusCode::BAD_REQUEST), "{hosts:?}");
        }
        assert_eq!(
            of("http://127.0.0.1/x", &["evil.example"]),
            Err(StatusCode::BAD_REQUEST)
        );
    }

    #[test]
    fn connect_and_trace_are_not_forwarded() {
        for method in [Method::CONNECT, Method::TRACE] {
            let headers = [(HOST, HeaderValue::from_static("127.0.0.1"))]
                .into_iter()
                .collect();
            let problem =
                address(&method, &Uri::from_static("/"), &headers, false).expect_err("refused");
            assert_eq!(problem.status, 501);
        }
    }

    fn browser(fields: &[(&'static str, &'static str)]) -> bool {
        let headers = fields
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect();
        let address = of("/x", &["shop.localhost:7878"]).expect("an address");
        same_origin(&headers, &address).is_ok()
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        assert!(browser(&[]));
        assert!(browser(&[("sec-fetch-site", "none")]));
        assert!(browser(&[
            ("sec-fetch-site", "same-origin"),
            ("origin", "http://shop.localhost:7878")
        ]));
        for site in ["cross-site", "same-site", "", "nonsense"] {
            assert!(!browser(&[("sec-fetch-site", site)]), "{site}");
        }
        for origin in [
            "null",
            "http://evil.example",
            "https://shop.localhost:7878",
            "http://shop.localhost:7879",
            "http://other.localhost:7878",
            "http://127.0.0.1:7878",
            "http://shop.localhost",
        ] {
            assert!(!browser(&[("origin", origin)]), "{origin}");
        }
    }
}
