//! Addresses as people type them.

use tenure_keeper::checks;
use url::Url;

use crate::config::value::Wrong;

/// A server's address, and whether its scheme was typed or is a guess.
#[derive(Clone, Debug)]
pub struct Address {
    /// The address, with a scheme.
    pub url: Url,
    /// Nothing stood before the host.
    bare: bool,
}

impl Address {
    /// As [`address`] reads it.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        Ok(Self {
            url: address(text)?,
            bare: !text.contains("://"),
        })
    }

    /// What to ask when nothing answers at [`Address::url`]: https, where http was a guess.
    pub fn otherwise(&self) -> Option<Url> {
        if !self.bare || self.url.scheme() != "http" {
            return None;
        }
        let mut url = self.url.clone();
        url.set_scheme("https").ok().map(|()| url)
    }

    /// Whether the scheme was not typed.
    pub fn is_bare(&self) -> bool {
        self.bare
    }
}

/// An address as people type it: with http or https, or from the host on. Servers elsewhere are then asked over
/// https, servers of this machine over http, for hardly one of them has a certificate. A name and password in it
/// are not repeated.
pub fn address(text: &str) -> Result<Url, Wrong> {
    let wrong = |what: String| Wrong::new(what, "write the whole address, as https://shop.example");
    let not_one = |why: &str| wrong(format!("{text:?} is no address: {why}"));
    let parsed = |written: &str| Url::parse(written).map_err(|error| not_one(&error.to_string()));
    let url = match text.split_once("://") {
        Some((scheme, rest))
            if ["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()) =>
        {
            if rest.starts_with(['/', '\\']) {
                // A parser of URLs skips what is too much, and takes the first directory for a host.
                return Err(not_one("no host stands after the ://"));
            }
            parsed(text)?
        }
        Some((scheme, _)) => {
            return Err(wrong(format!(
                "servers are asked over https (or http on this machine), not {scheme}"
            )));
        }
        None if text.starts_with(['/', '.', '~', '\\']) => {
            return Err(not_one("it looks like a path of a file"));
        }
        None if is_host_and_port(text) => {
            let secure = parsed(&format!("https://{text}"))?;
            if checks::is_loopback(&secure) {
                parsed(&format!("http://{text}"))?
            } else {
                secure
            }
        }
        None => {
            return Err(not_one(
                "what stands before the colon is no host with a port",
            ));
        }
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(
            "the address holds a user name or password".to_owned(),
        ));
    }
    Ok(url)
}

/// Whether a colon before the path, if there is one, is followed by a port: else it ends a misspelt scheme.
fn is_host_and_port(text: &str) -> bool {
    let host = text.split(['/', '?', '#']).next().unwrap_or_default();
    let after = match host.rsplit_once(']') {
        Some((_, after)) => after,
        None => host,
    };
    let digits = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    host.contains('@') || after.split(':').skip(1).all(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_scheme_this_machine_is_asked_over_http() {
        for (text, url) in [
            ("127.0.0.1:7880", "http://127.0.0.1:7880/"),
            ("localhost:7880/api", "http://localhost:7880/api"),
            ("[::1]:7880", "http://[::1]:7880/"),
            ("shop.example", "https://shop.example/"),
            ("shop.example:8443", "https://shop.example:8443/"),
            ("https://127.0.0.1:7880", "https://127.0.0.1:7880/"),
        ] {
            assert_eq!(address(text).expect(text).as_str(), url);
        }
        let guessed = Address::parse("localhost:7880").expect("an address");
        let other = guessed.otherwise().map(String::from);
        assert_eq!(other.as_deref(), Some("https://localhost:7880/"));
        for typed in ["http://localhost:7880", "shop.example"] {
            let typed = Address::parse(typed).expect("an address");
            assert_eq!(typed.otherwise(), None);
        }
    }

    #[test]
    fn a_path_is_no_address() {
        for path in ["/etc/passwd", "./tenure.toml", "~/x", "https:///etc/passwd"] {
            let wrong = address(path).expect_err(path);
            assert!(wrong.what.contains("is no address"), "{wrong}");
        }
    }
}
