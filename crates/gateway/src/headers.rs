//! Which header fields travel, and which are the gateway's own.
//!
//! - Hop-by-hop fields (RFC 9110 §7.6.1) end here in both directions, with whatever `Connection` names. Of `TE`
//!   only `trailers` goes on. An upgrade is asked for anew by [`ask_upgrade`].
//! - The caller's `Authorization` is replaced by the session's (unless the route keeps it). `Cookie` is dropped
//!   where the upstream is also the host that logs people in: a stale login cookie would outrank the token.
//! - `Via: <version> tenure` is added to requests, as RFC 9110 §7.6.3 demands of a gateway; it names the program,
//!   not the machine. No `Forwarded` or `X-Forwarded-*` is added: they would tell the upstream about this machine.
//! - `Tenure-*` is the gateway's: the caller's are not sent on, the upstream's are not believed.
//! - `Alt-Svc` of an answer is dropped: it would send the caller past the gateway, without a token.

use http::header::{
    ACCEPT_ENCODING, ALT_SVC, AUTHORIZATION, CONNECTION, COOKIE, EXPECT, HOST, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Version};
use tenure_core::Who;

use crate::problem::Problem;
use crate::route::Upstream;

/// The session that served an answer.
pub const TENURE_SESSION: HeaderName = HeaderName::from_static("tenure-session");
/// The generation of the token that was sent.
pub const TENURE_GENERATION: HeaderName = HeaderName::from_static("tenure-generation");
/// `1` when the request was sent twice.
pub const TENURE_REPLAYED: HeaderName = HeaderName::from_static("tenure-replayed");
/// The code of the token failure that was seen.
pub const TENURE_CODE: HeaderName = HeaderName::from_static("tenure-code");
/// A caller's key.
pub const TENURE_KEY: HeaderName = HeaderName::from_static("tenure-key");

const HOP_BY_HOP: [HeaderName; 10] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-authentication-info"),
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("http2-settings"),
];

/// How often a request may pass through gateways before it is taken for a loop.
const MAX_HOPS: usize = 4;

/// What the caller's fields become on their way to the upstream.
pub struct Rules {
    /// The upstream uses TLS; then it is not known yet whether HTTP/1.1 or HTTP/2 will be spoken.
    pub tls: bool,
    /// A caller's own `Authorization` stays.
    pub keep_authorization: bool,
    /// Cookies stay.
    pub keep_cookies: bool,
}

/// Turns the caller's fields into those of the upstream request, without a token yet.
///
/// # Errors
/// 508 when the request has passed through too many gateways.
pub fn to_upstream(
    headers: &mut HeaderMap,
    version: Version,
    rules: &Rules,
) -> Result<(), Problem> {
    let trailers = wants_trailers(headers);
    strip_hop_by_hop(headers);
    strip_own(headers);
    headers.remove(HOST);
    headers.remove(EXPECT);
    if !rules.keep_authorization {
        headers.remove(AUTHORIZATION);
    }
    if !rules.keep_cookies {
        headers.remove(COOKIE);
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        if !rules.tls {
            // RFC 9110 §10.1.4; HTTP/2, which TLS may bring, has no Connection field.
            headers.insert(CONNECTION, HeaderValue::from_static("TE"));
        }
    }
    readable_encodings(headers);
    add_via(headers, version)
}

/// Leaves of `Accept-Encoding` what the gateway can read, so that a refusal is known in a compressed body too.
fn readable_encodings(headers: &mut HeaderMap) {
    if !headers.contains_key(ACCEPT_ENCODING) {
        return;
    }
    let gzip = list(headers, &ACCEPT_ENCODING).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let named = parts
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case("gzip") || name == "*");
        let zero = parts.next().is_some_and(|weight| {
            let digits = weight
                .strip_prefix("q=")
                .or_else(|| weight.strip_prefix("Q="));
            digits.is_some_and(|digits| digits.parse() == Ok(0.0_f32))
        });
        named && !zero
    });
    headers.insert(
        ACCEPT_ENCODING,
        HeaderValue::from_static(if gzip { "gzip" } else { "identity" }),
    );
}

fn add_via(headers: &mut HeaderMap, version: Version) -> Result<(), Problem> {
    let hops = list(headers, &VIA)
        .filter(|hop| hop.split_ascii_whitespace().nth(1) == Some("tenure"))
        .count();
    if hops >= MAX_HOPS {
        return Err(Problem::request(
            StatusCode::LOOP_DETECTED,
            "loop",
            Who::Operator,
            "the request comes back to this gateway; the session's upstream must be the API, not a gateway's address",
        ));
    }
    let via = match version {
        Version::HTTP_2 => HeaderValue::from_static("2 tenure"),
        Version::HTTP_10 => HeaderValue::from_static("1.0 tenure"),
        _ => HeaderValue::from_static("1.1 tenure"),
    };
    headers.append(VIA, via);
    Ok(())
}

/// Asks the upstream for the upgrade the caller asked for.
pub fn ask_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
}

/// The protocol a caller asks to switch to; HTTP/2 is not among them (RFC 9113 §3.1 abandons it).
pub fn wanted_upgrade<B>(request: &Request<B>) -> Option<HeaderValue> {
    if request.version() != Version::HTTP_11 {
        return None;
    }
    let asked =
        list(request.headers(), &CONNECTION).any(|option| option.eq_ignore_ascii_case("upgrade"));
    let protocol = request.headers().get(UPGRADE).filter(|_| asked)?;
    let http =
        list(request.headers(), &UPGRADE).any(|name| name.to_ascii_lowercase().starts_with("h2"));
    (!http).then(|| protocol.clone())
}

/// Whether the caller wants to be asked for its body.
pub fn expects_continue(headers: &HeaderMap) -> bool {
    headers
        .get(EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Puts the token on a request: the only place where that happens (I15).
///
/// # Errors
/// 500 when the request does not go to the session's own upstream. Nothing is sent then.
pub fn authorize<B>(
    request: &mut Request<B>,
    token: &HeaderValue,
    upstream: &Upstream,
) -> Result<(), Problem> {
    if !upstream.owns(request.uri()) {
        return Err(Problem::request(
            StatusCode::INTERNAL_SERVER_ERROR,
            "foreign_origin",
            Who::Operator,
            "the request would have carried the token to an origin that is not the session's upstream; it was not sent",
        ));
    }
    request.headers_mut().insert(AUTHORIZATION, token.clone());
    Ok(())
}

/// Turns the upstream's fields into those of the answer to the caller, without the gateway's own yet.
pub fn to_caller(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    strip_own(headers);
    headers.remove(ALT_SVC);
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = list(headers, &CONNECTION)
            .filter_map(|name| name.parse().ok())
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

fn strip_own(headers: &mut HeaderMap) {
    let own: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("tenure-"))
        .cloned()
        .collect();
    for name in own {
        headers.remove(name);
    }
}

fn wants_trailers(headers: &HeaderMap) -> bool {
    list(headers, &TE).any(|coding| coding.eq_ignore_ascii_case("trailers"))
}

/// The members of a comma-separated field (RFC 9110 §5.6.1); values that are no text are skipped.
fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use url::Url;

    const RULES: Rules = Rules {
        tls: false,
        keep_authorization: false,
        keep_cookies: true,
    };

    fn fields(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    fn sent(from: &[(&'static str, &'static str)], rules: &Rules) -> Vec<(String, String)> {
        let mut headers = fields(from);
        to_upstream(&mut headers, Version::HTTP_11, rules).expect("no loop");
        headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().expect("text").to_owned()))
            .collect()
    }

    fn names(from: &[(&'static str, &'static str)]) -> Vec<String> {
        sent(from, &RULES)
            .into_iter()
            .map(|(name, _)| name)
            .collect()
    }

    #[test]
    fn hop_by_hop_fields_end_here() {
        let mut names = names(&[
            ("connection", "keep-alive, X-Hop"),
            ("connection", "x-other"),
            ("x-hop", "1"),
            ("x-other", "2"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "x"),
            ("proxy-authorization", "Basic eA=="),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("http2-settings", "x"),
            ("te", "gzip"),
            ("x-stays", "3"),
            ("trailer", "x-sum"),
        ]);
        names.sort_unstable();
        assert_eq!(names, ["trailer", "via", "x-stays"]);
    }

    #[test]
    fn te_keeps_trailers_only() {
        let sent = sent(
            &[("te", "gzip;q=0.5, Trailers"), ("connection", "te")],
            &RULES,
        );
        assert!(sent.contains(&("te".to_owned(), "trailers".to_owned())));
        assert!(sent.contains(&("connection".to_owned(), "TE".to_owned())));
        let tls = Rules { tls: true, ..RULES };
        assert!(
            !super::tests::sent(&[("te", "trailers")], &tls)
                .iter()
                .any(|(name, _)| name == "connection")
        );
    }

    #[test]
    fn the_callers_credentials_and_keys_are_not_sent_on() {
        let from = [
            ("authorization", "Bearer own"),
            ("cookie", "a=b"),
            ("tenure-key", "k"),
            ("tenure-session", "x"),
            ("host", "127.0.0.1"),
            ("expect", "100-continue"),
        ];
        assert_eq!(names(&from), ["cookie", "via"]);
        let strict = Rules {
            keep_cookies: false,
            ..RULES
        };
        assert_eq!(sent(&from, &strict).len(), 1);
        let kept = Rules {
            keep_authorization: true,
            ..RULES
        };
        assert!(
            sent(&from, &kept).contains(&("authorization".to_owned(), "Bearer own".to_owned()))
        );
    }

    #[test]
    fn codings_that_cannot_be_read_are_not_asked_for() {
        let coding = |value| sent(&[("accept-encoding", value)], &RULES)[0].1.clone();
        assert_eq!(coding("gzip, deflate, br, zstd"), "gzip");
        assert_eq!(coding("*"), "gzip");
        assert_eq!(coding("br;q=1, gzip;q=0.2"), "gzip");
        assert_eq!(coding("br"), "identity");
        assert_eq!(coding("gzip;q=0"), "identity");
        assert_eq!(names(&[("accept", "*/*")]), ["accept", "via"]);
    }

    #[test]
    fn a_loop_ends() {
        let mut headers = HeaderMap::new();
        for _ in 0..MAX_HOPS {
            to_upstream(&mut headers, Version::HTTP_2, &RULES).expect("still fine");
        }
        let problem = to_upstream(&mut headers, Version::HTTP_11, &RULES).expect_err("a loop");
        assert_eq!(problem.status, 508);
    }

    #[test]
    fn the_upstreams_own_tenure_fields_are_not_believed() {
        let mut headers = fields(&[
            ("tenure-code", "API02009"),
            ("alt-svc", "h3=\":443\""),
            ("connection", "x"),
            ("x", "1"),
            ("set-cookie", "a=b"),
        ]);
        to_caller(&mut headers);
        assert_eq!(headers, fields(&[("set-cookie", "a=b")]));
    }

    #[test]
    fn a_token_goes_to_its_upstream_only() {
        let upstream = Upstream::new(&Url::parse("https://api.example/v1").expect("a URL"))
            .expect("an upstream");
        let token = HeaderValue::from_static("Bearer t");
        let mut request = Request::get("https://api.example/v1/x")
            .body(())
            .expect("a request");
        authorize(&mut request, &token, &upstream).expect("its own");
        assert_eq!(request.headers()[AUTHORIZATION], "Bearer t");
        for foreign in [
            "http://api.example/v1/x",
            "https://evil.example/v1/x",
            "https://api.example:8443/",
        ] {
            let mut request = Request::get(foreign).body(()).expect("a request");
            assert!(
                authorize(&mut request, &token, &upstream).is_err(),
                "{foreign}"
            );
            assert!(request.headers().is_empty());
        }
    }

    #[test]
    fn only_http_11_asks_for_an_upgrade() {
        let mut request = Request::get("/")
            .header("connection", "keep-alive, Upgrade")
            .header("upgrade", "websocket")
            .body(())
            .expect("a request");
        assert_eq!(
            wanted_upgrade(&request),
            Some(HeaderValue::from_static("websocket"))
        );
        *request.version_mut() = Version::HTTP_2;
        assert_eq!(wanted_upgrade(&request), None);
        *request.version_mut() = Version::HTTP_11;
        request
            .headers_mut()
            .insert(UPGRADE, HeaderValue::from_static("h2c"));
        assert_eq!(wanted_upgrade(&request), None);
        request
            .headers_mut()
            .insert(UPGRADE, HeaderValue::from_static("websocket"));
        request.headers_mut().remove(CONNECTION);
        assert_eq!(wanted_upgrade(&request), None);
    }
}
