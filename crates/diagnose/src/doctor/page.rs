//! Whose answer it is: the server's own, a captive portal's, a bot check's; and where a redirect leads.

use http::HeaderMap;
use http::header::{CONTENT_TYPE, SERVER};
use url::Url;

/// How much of a body is looked through.
const LOOKED_AT: usize = 64 * 1024;

/// Marks of pages that want a browser to prove that it is one.
const CHALLENGES: &[&str] = &[
    "cf-chl",
    "cf_chl",
    "challenge-platform",
    "turnstile",
    "captcha",
    "just a moment",
    "checking your browser",
    "sucuri website firewall",
    "ddos-guard",
    "_incapsula_",
    "aws-waf",
];

/// Marks of pages that want a guest to sign in to a network.
const PORTALS: &[&str] = &[
    "sign in to the network",
    "captive portal",
    "wi-fi login",
    "wifi login",
    "hotspot",
    "guest access",
    "accept the terms",
    "wisptr",
    "wispaccessgateway",
];

/// What kind of page answered where a machine was to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A bot check.
    Challenge,
    /// A network's sign-in page.
    Portal,
    /// Some page.
    Html,
}

/// A page, and by which sign it was known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Its kind.
    pub kind: Kind,
    /// The sign.
    pub sign: String,
}

/// The page an answer is; `None` when it is none.
pub fn page(status: u16, headers: &HeaderMap, body: &[u8]) -> Option<Page> {
    let found = |kind, sign: &str| {
        Some(Page {
            kind,
            sign: sign.to_owned(),
        })
    };
    if headers
        .get("cf-mitigated")
        .is_some_and(|value| value == "challenge")
    {
        return found(Kind::Challenge, "cf-mitigated: challenge");
    }
    if status == 511 {
        return found(Kind::Portal, "status 511");
    }
    let text = String::from_utf8_lossy(&body[..body.len().min(LOOKED_AT)]).to_lowercase();
    let typed = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.to_ascii_lowercase().contains("html"));
    if !typed && !text.trim_start().starts_with('<') {
        return None;
    }
    let marked = |marks: &[&'static str]| marks.iter().find(|mark| text.contains(**mark)).copied();
    if let Some(sign) = marked(CHALLENGES) {
        return found(Kind::Challenge, sign);
    }
    if let Some(sign) = marked(PORTALS) {
        return found(Kind::Portal, sign);
    }
    found(Kind::Html, "HTML")
}

/// What the answering software calls itself.
pub fn software(headers: &HeaderMap) -> Option<String> {
    let name = headers.get(SERVER)?.to_str().ok()?;
    (!name.is_empty() && name.len() <= 80).then(|| name.to_owned())
}

/// Where a redirect leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// From http to https, at the same host.
    ToHttps,
    /// From https to http.
    ToHttp,
    /// With `www.` more or less.
    Www,
    /// Only a slash at the end more or less.
    Slash,
    /// Elsewhere at the same host.
    SameHost,
    /// To another host.
    OtherHost,
}

/// How `to` differs from `from`.
pub fn moved(from: &Url, to: &Url) -> Moved {
    let bare = |url: &Url| {
        let host = url.host_str().unwrap_or_default();
        host.strip_prefix("www.").unwrap_or(host).to_owned()
    };
    if bare(from) != bare(to) {
        return Moved::OtherHost;
    }
    if from.host_str() != to.host_str() {
        return Moved::Www;
    }
    match (from.scheme(), to.scheme()) {
        ("http", "https") => return Moved::ToHttps,
        ("https", "http") => return Moved::ToHttp,
        _ => {}
    }
    if from.port_or_known_default() != to.port_or_known_default() {
        return Moved::OtherHost;
    }
    let path = |url: &Url| url.path().trim_end_matches('/').to_owned();
    if from.path() != to.path() && path(from) == path(to) {
        return Moved::Slash;
    }
    Moved::SameHost
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn html() -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("text/html"))])
    }

    #[test]
    fn pages_are_told_apart() {
        let kind = |body: &str| page(200, &html(), body.as_bytes()).map(|page| page.kind);
        assert_eq!(
            kind("<title>Just a moment...</title>"),
            Some(Kind::Challenge)
        );
        assert_eq!(
            kind("<title>Sign in to the network</title>"),
            Some(Kind::Portal)
        );
        assert_eq!(kind("<p>hello</p>"), Some(Kind::Html));
        let json = HeaderMap::new();
        assert_eq!(page(200, &json, b"{\"captcha\":1}"), None);
        assert_eq!(page(200, &json, b"\xff\xfe"), None);
        assert_eq!(
            page(511, &json, b"").map(|page| page.kind),
            Some(Kind::Portal)
        );
    }

    #[test]
    fn redirects_are_told_apart() {
        let moved = |from: &str, to: &str| {
            moved(
                &Url::parse(from).expect("a URL"),
                &Url::parse(to).expect("a URL"),
            )
        };
        assert_eq!(
            moved("http://a.example/x", "https://a.example/x"),
            Moved::ToHttps
        );
        assert_eq!(
            moved("https://a.example/x", "http://a.example/x"),
            Moved::ToHttp
        );
        assert_eq!(
            moved("https://a.example/", "https://www.a.example/"),
            Moved::Www
        );
        assert_eq!(
            moved("https://a.example/x", "https://a.example/x/"),
            Moved::Slash
        );
        assert_eq!(
            moved("https://a.example/x", "https://a.example/login"),
            Moved::SameHost
        );
        assert_eq!(
            moved("https://a.example/", "https://portal.example/"),
            Moved::OtherHost
        );
        assert_eq!(
            moved("http://a.example:1/", "http://a.example:2/"),
            Moved::OtherHost
        );
    }
}
