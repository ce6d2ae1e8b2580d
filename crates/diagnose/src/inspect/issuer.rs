//! In what exactly two issuers differ. Issuers are compared character by character (OpenID Connect Core §3.1.3.7),
//! so the smallest difference makes a token another server's.

use url::Url;

/// The differences, each in words; empty when the two are equal.
pub(super) fn differences(found: &str, wanted: &str) -> Vec<String> {
    if found == wanted {
        return Vec::new();
    }
    let (Some(a), Some(b)) = (address(found), address(wanted)) else {
        return vec!["they are different names".to_owned()];
    };
    let mut all = Vec::new();
    all.extend(scheme(found, wanted, &a, &b));
    all.extend(host(&a, &b));
    if a.port_or_known_default() != b.port_or_known_default() && a.scheme() == b.scheme() {
        all.push("the port".to_owned());
    }
    all.extend(path(found, wanted, &a, &b));
    if a.query() != b.query() || a.fragment() != b.fragment() {
        all.push("what follows the path (`?` or `#`)".to_owned());
    }
    if all.is_empty() {
        all.push("the spelling only (capital letters, a default port or an escape)".to_owned());
    }
    all
}

/// An issuer as an address; some are written without a scheme.
fn address(text: &str) -> Option<Url> {
    if text.contains("://") {
        return Url::parse(text).ok();
    }
    let bare = text.contains('.') && !text.contains([' ', ':']);
    bare.then(|| Url::parse(&format!("https://{text}")).ok())
        .flatten()
}

fn scheme(found: &str, wanted: &str, a: &Url, b: &Url) -> Option<String> {
    match (found.contains("://"), wanted.contains("://")) {
        (true, true) if a.scheme() == b.scheme() => None,
        (true, true) => Some(format!(
            "the scheme (the token says {}, expected is {})",
            super::show::text(a.scheme()),
            super::show::text(b.scheme())
        )),
        (false, true) => Some("the scheme (the token names none)".to_owned()),
        (true, false) => Some("the scheme (none is expected)".to_owned()),
        (false, false) => None,
    }
}

fn host(a: &Url, b: &Url) -> Option<String> {
    let (a, b) = (
        a.host_str().unwrap_or_default(),
        b.host_str().unwrap_or_default(),
    );
    if a == b {
        return None;
    }
    Some(if a.strip_prefix("www.") == Some(b) {
        "`www.` (the token has it, it is not expected)".to_owned()
    } else if b.strip_prefix("www.") == Some(a) {
        "`www.` (the token lacks it)".to_owned()
    } else {
        "the host: it is another server".to_owned()
    })
}

fn path(found: &str, wanted: &str, a: &Url, b: &Url) -> Option<String> {
    let bare = |url: &Url| url.path().trim_end_matches('/').to_owned();
    if bare(a) != bare(b) {
        let (a, b) = (bare(a), bare(b));
        let how = if b.starts_with(&a) {
            "the token's is shorter: a site or realm above it"
        } else if a.starts_with(&b) {
            "the token's is longer: a sub-site or realm"
        } else {
            "another site or realm of the same server"
        };
        return Some(format!("the path ({how})"));
    }
    match (found.ends_with('/'), wanted.ends_with('/')) {
        (true, false) => Some("the trailing slash (the token has one)".to_owned()),
        (false, true) => Some("the trailing slash (the token has none)".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exact_difference_is_named() {
        let wanted = "https://shop.example";
        for (found, words) in [
            ("http://shop.example", "scheme"),
            ("shop.example", "names none"),
            ("https://www.shop.example", "`www.`"),
            ("https://shop.example/", "trailing slash"),
            ("https://shop.example/nl", "longer"),
            ("https://shop.example:8443", "port"),
            ("https://staging.example", "another server"),
            ("https://shop.example?x=1", "follows"),
            ("https://SHOP.example", "spelling"),
            ("a name", "different names"),
        ] {
            let all = differences(found, wanted);
            assert_eq!(all.len(), 1, "{found}: {all:?}");
            assert!(all[0].contains(words), "{found}: {all:?}");
        }
        assert_eq!(
            differences("http://www.shop.example/nl/", wanted).len(),
            3,
            "scheme, www and path"
        );
        assert!(differences(wanted, wanted).is_empty());
    }
}
