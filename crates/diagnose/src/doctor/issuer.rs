//! In what two names of one server differ, in words that tell where to look.

use tenure_wire::discovery::{Difference, difference};
use url::Url;

/// In what they differ; `None` when they are the same.
pub fn differ(configured: &str, found: &str) -> Option<String> {
    let part = difference(configured, found)?;
    let (Ok(a), Ok(b)) = (Url::parse(configured), Url::parse(found)) else {
        return Some(part.to_string());
    };
    Some(match part {
        Difference::Scheme if bare(&a) != bare(&b) => format!("{part} and {}", Difference::Host),
        Difference::Host if bare(&a) == bare(&b) => "`www.`".to_owned(),
        Difference::Path if below(&a, &b) || below(&b, &a) => {
            "the path: one of them is a sub-site, realm or tenant of the other".to_owned()
        }
        other => other.to_string(),
    })
}

/// The host without `www.`.
fn bare(url: &Url) -> &str {
    let host = url.host_str().unwrap_or_default();
    host.strip_prefix("www.").unwrap_or(host)
}

fn below(parent: &Url, child: &Url) -> bool {
    let parent = parent.path().trim_end_matches('/');
    child
        .path()
        .strip_prefix(parent)
        .is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usual_slip_has_its_word() {
        for (configured, found, word) in [
            (
                "http://a.example",
                "https://a.example",
                "the scheme (http/https)",
            ),
            ("https://a.example", "https://www.a.example", "`www.`"),
            ("https://a.example", "https://b.example", "the host"),
            (
                "http://a.example",
                "https://b.example",
                "the scheme (http/https) and the host",
            ),
            (
                "https://a.example",
                "https://a.example/",
                "the slash at the end",
            ),
            ("https://a.example:1", "https://a.example:2", "the port"),
        ] {
            assert_eq!(differ(configured, found).as_deref(), Some(word));
        }
        let site = differ("https://a.example", "https://a.example/nl").expect("they differ");
        assert!(site.contains("sub-site"), "{site}");
        let other = differ("https://a.example/x", "https://a.example/y").expect("they differ");
        assert_eq!(other, "the path");
        assert_eq!(differ("https://a.example", "https://a.example"), None);
    }
}
