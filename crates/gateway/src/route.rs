//! Which session a request is for, and which URL it goes to.
//!
//! The path is passed on byte for byte. What is checked is only that the upstream cannot read it as leaving
//! the configured base path: under `https://api.example/v1` the request `/shop/../admin` is refused.

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{StatusCode, Uri};
use tenure_core::Who;
use url::Url;

use crate::host::Address;
use crate::problem::Problem;

/// Where one session's requests go.
#[derive(Clone, Debug)]
pub struct Upstream {
    scheme: Scheme,
    authority: Authority,
    /// The base path as configured.
    base: String,
}

impl Upstream {
    /// Takes the configured URL apart.
    ///
    /// # Errors
    /// What is wrong with the URL.
    pub fn new(url: &Url) -> Result<Self, &'static str> {
        let scheme = match url.scheme() {
            "http" => Scheme::HTTP,
            "https" => Scheme::HTTPS,
            _ => return Err("it is neither http nor https"),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it holds a user name or password");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("it has a query or a fragment");
        }
        let host = url.host_str().ok_or("it names no host")?;
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let authority = authority
            .parse()
            .map_err(|_| "its host cannot be written in a request")?;
        Ok(Self {
            scheme,
            authority,
            base: url.path().to_owned(),
        })
    }

    /// The URL for the rest of a request's path and query.
    ///
    /// # Errors
    /// 400 when the path leaves the base path.
    pub fn join(&self, rest: &Rest<'_>) -> Result<Uri, Problem> {
        let base = self.base.trim_end_matches('/');
        if !base.is_empty() && climbs_out(rest.path) {
            return Err(leaves());
        }
        let path = if rest.path.is_empty() {
            &self.base
        } else {
            rest.path
        };
        let mut text = String::with_capacity(
            base.len() + path.len() + rest.query.map_or(0, |query| query.len() + 1),
        );
        if !rest.path.is_empty() {
            text.push_str(base);
        }
        text.push_str(path);
        if let Some(query) = rest.query {
            text.push('?');
            text.push_str(query);
        }
        let path =
            PathAndQuery::from_maybe_shared(bytes::Bytes::from(text)).map_err(|_| leaves())?;
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(path)
            .build()
            .map_err(|_| leaves())
    }

    /// Whether `uri` has this upstream's origin: the one place a session's token may go (I15).
    pub fn owns(&self, uri: &Uri) -> bool {
        uri.scheme() == Some(&self.scheme) && uri.authority() == Some(&self.authority)
    }

    /// Whether TLS is used.
    pub fn is_tls(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// The host without its port.
    pub fn host(&self) -> &str {
        self.authority.host()
    }
}

/// What follows the session's name in the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest<'a> {
    /// Empty, or begins with a slash.
    pub path: &'a str,
    /// Without the question mark.
    pub query: Option<&'a str>,
}

/// Finds the session's name: the host's if it has one, else the first segment of the path.
///
/// # Errors
/// 404 when there is no name, 400 for a request target without a path.
pub fn split<'a>(address: &'a Address, uri: &'a Uri) -> Result<(&'a str, Rest<'a>), Problem> {
    let path = uri.path();
    let Some(relative) = path.strip_prefix('/') else {
        let detail = "the request target has no path; `OPTIONS *` and the like concern no session";
        return Err(Problem::request(
            StatusCode::BAD_REQUEST,
            "no_path",
            Who::User,
            detail,
        ));
    };
    if let Some(session) = &address.session {
        return Ok((
            session,
            Rest {
                path,
                query: uri.query(),
            },
        ));
    }
    let name = &relative[..relative.find('/').unwrap_or(relative.len())];
    if name.is_empty() {
        return Err(unknown(""));
    }
    Ok((
        name,
        Rest {
            path: &relative[name.len()..],
            query: uri.query(),
        },
    ))
}

/// The cause of the answer to an address without a name.
pub const NO_NAME: &str = "no_session";

/// The answer for a name that is not a session's. It does not tell the names there are.
pub fn unknown(name: &str) -> Problem {
    let (cause, detail) = if name.is_empty() {
        (
            NO_NAME,
            "this is Tenure's gateway, and the address names no session: what comes first in the path is the \
             session, then comes the API's path, as in /shop/orders; `tenure status` lists the sessions"
                .to_owned(),
        )
    } else {
        let shown: String = name.chars().take(63).collect();
        (
            "unknown_session",
            format!("there is no session \"{shown}\"; `tenure status` lists those there are"),
        )
    };
    Problem::request(StatusCode::NOT_FOUND, cause, Who::User, detail).command("tenure status")
}

fn leaves() -> Problem {
    let detail = "the path leads out of the base path of the session's upstream; a session is good for that path only";
    Problem::request(StatusCode::BAD_REQUEST, "path_escapes", Who::User, detail)
}

/// Whether any server could read the path as leading above its start.
///
/// Servers differ in whether `%2F` and `\` separate, whether `%2E` is a dot, whether `//` is one slash and
/// whether `..;x` is `..`. Each step is counted in the reading that comes out lowest: every piece that may be
/// a `..` leads up, and only a segment that holds none of them leads down.
fn climbs_out(path: &str) -> bool {
    let mut depth = 0_i64;
    for segment in path.split('/') {
        let pieces = pieces(segment);
        let ups = pieces.iter().filter(|piece| *piece == b"..").count() as i64;
        if ups > 0 {
            depth -= ups;
        } else if pieces
            .iter()
            .any(|piece| !piece.is_empty() && piece != b".")
        {
            depth += 1;
        }
        if depth < 0 {
            return true;
        }
    }
    false
}

/// The segment's parts, should the server take encoded slashes and backslashes for separators, each without
/// its path parameters.
fn pieces(segment: &str) -> Vec<Vec<u8>> {
    let decoded = percent_encoding::percent_decode_str(segment).collect::<Vec<u8>>();
    let parts = decoded.split(|byte| matches!(byte, b'/' | b'\\'));
    parts
        .map(|part| {
            part.iter()
                .copied()
                .take_while(|byte| *byte != b';')
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::HOST;
    use http::{HeaderMap, HeaderValue, Method};
    use proptest::prelude::*;

    fn upstream(url: &str) -> Upstream {
        Upstream::new(&Url::parse(url).expect("a URL")).expect("an upstream")
    }

    /// What a request for `target` at `host` becomes: session and URL.
    fn through(
        host: &'static str,
        target: &str,
        base: &str,
    ) -> Result<(String, String), StatusCode> {
        let headers: HeaderMap = [(HOST, HeaderValue::from_static(host))]
            .into_iter()
            .collect();
        let uri: Uri = target.parse().expect("a target");
        let address = crate::host::address(&Method::GET, &uri, &headers, false)
            .map_err(|problem| problem.status)?;
        let (session, rest) = split(&address, &uri).map_err(|problem| problem.status)?;
        let url = upstream(base)
            .join(&rest)
            .map_err(|problem| problem.status)?;
        Ok((session.to_owned(), url.to_string()))
    }

    #[test]
    fn both_forms_of_address_reach_the_same_url() {
        let expected = Ok((
            "shop".to_owned(),
            "https://api.example/v1/orders/7?a=b%20c&d".to_owned(),
        ));
        let base = "https://api.example/v1/";
        assert_eq!(
            through("127.0.0.1:1", "/shop/orders/7?a=b%20c&d", base),
            expected
        );
        assert_eq!(
            through("shop.localhost:1", "/orders/7?a=b%20c&d", base),
            expected
        );
    }

    #[test]
    fn the_bare_session_is_the_base_itself() {
        let url = |target, base| through("127.0.0.1", target, base).map(|(_, url)| url);
        assert_eq!(
            url("/shop", "https://api.example/v1"),
            Ok("https://api.example/v1".to_owned())
        );
        assert_eq!(
            url("/shop?x", "https://api.example/v1/"),
            Ok("https://api.example/v1/?x".to_owned())
        );
        assert_eq!(
            url("/shop/", "https://api.example/v1"),
            Ok("https://api.example/v1/".to_owned())
        );
        assert_eq!(
            url("/shop", "https://api.example"),
            Ok("https://api.example/".to_owned())
        );
    }

    #[test]
    fn odd_paths_pass_unchanged() {
        for path in [
            "/a%2Fb",
            "/a//b",
            "//b",
            "/%E2%82%AC",
            "/a/./b/../c",
            "/a;v=1/b",
            "/a%00",
            "/~x/:y@z",
            "/..a",
            "/...",
            "/a|b\"{}",
        ] {
            let (_, url) = through(
                "127.0.0.1",
                &format!("/shop{path}"),
                "http://up.example:81/base",
            )
            .expect(path);
            assert_eq!(url, format!("http://up.example:81/base{path}"));
        }
    }

    #[test]
    fn no_path_leaves_the_base() {
        for path in [
            "/..",
            "/../x",
            "/a/../../x",
            "/%2e%2e/x",
            "/.%2E/x",
            "/a/%2e./../x",
            "/..%2fx",
            "/a%2f../../x",
            "/..%5cx",
            "/..\\x",
            "/a//../../x",
            "/..;/x",
            "/a/..;p=1/..;/x",
            "/%2f../x",
            "/./../x",
            "/;/../x",
            "/;a/../x",
            "/a%2f..%2f..",
        ] {
            let got = through(
                "127.0.0.1",
                &format!("/shop{path}"),
                "https://up.example/base",
            );
            assert_eq!(got, Err(StatusCode::BAD_REQUEST), "{path}");
        }
    }

    #[test]
    fn an_origin_without_a_base_path_cannot_be_left() {
        let (_, url) = through("127.0.0.1", "/shop/../x", "https://up.example").expect("passed on");
        assert_eq!(url, "https://up.example/../x");
        let (_, url) =
            through("127.0.0.1", "/shop//evil.example/x", "https://up.example").expect("passed on");
        assert_eq!(url, "https://up.example//evil.example/x");
    }

    #[test]
    fn an_address_without_a_session_is_not_found() {
        assert_eq!(
            through("127.0.0.1", "/", "https://up.example"),
            Err(StatusCode::NOT_FOUND)
        );
        assert_eq!(
            through("127.0.0.1", "//x", "https://up.example"),
            Err(StatusCode::NOT_FOUND)
        );
        assert_eq!(
            through("127.0.0.1", "*", "https://up.example"),
            Err(StatusCode::BAD_REQUEST)
        );
    }

    #[test]
    fn upstreams_that_cannot_be_forwarded_to_are_refused() {
        for url in [
            "ftp://up.example",
            "https://u:p@up.example",
            "https://u@up.example",
            "https://up.example/?q",
            "https://up.example/#f",
        ] {
            assert!(
                Upstream::new(&Url::parse(url).expect("a URL")).is_err(),
                "{url}"
            );
        }
        assert_eq!(
            upstream("https://up.example:443/x").authority.as_str(),
            "up.example"
        );
        assert_eq!(upstream("http://[::1]:81").authority.as_str(), "[::1]:81");
    }

    #[test]
    fn the_token_belongs_to_one_origin() {
        let upstream = upstream("https://up.example/base");
        assert!(upstream.owns(&Uri::from_static("https://up.example/else")));
        for other in [
            "http://up.example/",
            "https://up.example:444/",
            "https://up.example.evil/",
            "https://evil/",
            "/x",
        ] {
            assert!(!upstream.owns(&other.parse().expect("a URI")), "{other}");
        }
    }

    /// What a server makes of a path that decodes it once and then resolves dot segments.
    fn resolve(path: &str, collapse: bool) -> String {
        let decoded = percent_encoding::percent_decode_str(path)
            .decode_utf8_lossy()
            .replace('\\', "/");
        let mut out: Vec<&str> = Vec::new();
        for segment in decoded.split('/').skip(1) {
            match segment.split(';').next().unwrap_or_default() {
                "." => {}
                "" if collapse => {}
                ".." => {
                    out.pop();
                }
                _ => out.push(segment),
            }
        }
        format!("/{}", out.join("/"))
    }

    proptest! {
        #[test]
        fn whatever_the_path_the_origin_and_the_base_stay(
            pieces in prop::collection::vec(prop::sample::select(vec![
                "/", "..", ".", "a", "%2e", "%2E", "%2f", "%5C", "\\", ";", "//", "%25", "@", ":", "b", "/../",
            ]), 0..12),
            collapse: bool,
        ) {
            let path = format!("/{}", pieces.concat());
            let upstream = upstream("https://up.example/in/base");
            if let Ok(uri) = upstream.join(&Rest { path: &path, query: None }) {
                prop_assert!(upstream.owns(&uri));
                prop_assert_eq!(uri.path(), format!("/in/base{path}"));
                let seen = resolve(uri.path(), collapse);
                prop_assert!(seen == "/in/base" || seen.starts_with("/in/base/"), "{} became {}", path, seen);
            }
        }
    }
}
