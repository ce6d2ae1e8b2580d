//! The rules a session's description must keep, wherever it is written: in `tenure.toml` or in a program.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use tenure_diagnose::Profile;
use tenure_diagnose::name::nearest;
use tenure_wire::{ClientAuth, Dialect, Server};
use url::{Host, Url};

use super::{Endpoints, Timing};

/// What is wrong with a value, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {fix}")]
pub struct Wrong {
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub fix: String,
}

impl Wrong {
    /// What is wrong and what would be right.
    pub fn new(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            fix: fix.into(),
        }
    }
}

/// Whether a session may have this name: it must be fit for a host name label.
///
/// # Errors
/// Which names are fit.
pub fn session_name(text: &str) -> Result<(), Wrong> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let hyphen_at_end = text.starts_with('-') || text.ends_with('-');
    if (1..=63).contains(&text.len()) && text.bytes().all(fits) && !hyphen_at_end {
        return Ok(());
    }
    Err(Wrong::new(
        format!("{text:?} cannot be a session's name"),
        "use 1 to 63 lower-case letters, digits and hyphens, with no hyphen at either end: it becomes a host name",
    ))
}

/// An absolute http or https URL with a host. Plain http only to loopback, or with `insecure`.
///
/// # Errors
/// What is wrong with it. A password in it is not repeated.
pub fn url(text: &str, insecure: bool) -> Result<Url, Wrong> {
    let url = Url::parse(text).map_err(|error| {
        Wrong::new(
            format!("{text:?} is no URL: {error}"),
            format!(
                "write an absolute URL, for example \"https://{}\"",
                bare_host(text)
            ),
        )
    })?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(Wrong::new(
            format!("{text:?} is neither https nor http"),
            "write an https URL",
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        // The text itself is not repeated: it holds a password.
        return Err(Wrong::new(
            "a URL must not carry a user name or password",
            "take them out: `tenure login` or `client_secret` is the place for them",
        ));
    }
    if url.fragment().is_some() {
        return Err(Wrong::new(
            format!("{text:?} has a fragment"),
            "remove everything from `#` on",
        ));
    }
    if url.scheme() == "http" && !insecure && !is_loopback(&url) {
        return Err(Wrong::new(
            format!("{text:?} would carry tokens over plain http"),
            "use https, or allow it for this session if the network between is yours: `insecure = true` in \
             tenure.toml, `.insecure()` in a program",
        ));
    }
    Ok(url)
}

/// Something like a host in a text that is no URL, for an example that helps.
fn bare_host(text: &str) -> &str {
    let looks_like_host = !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-._:/".contains(c))
        && !text.contains("//");
    if looks_like_host {
        text
    } else {
        "shop.example"
    }
}

/// Whether a URL's host is this machine.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::from(ip).to_canonical().is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

/// The profile with this name: one of `own`, else a shipped one. `elsewhere` ends the advice where no name is
/// near: how a profile of one's own is given.
///
/// # Errors
/// The names there are.
pub fn profile(
    name: &str,
    own: &BTreeMap<String, Arc<Profile>>,
    elsewhere: &str,
) -> Result<Arc<Profile>, Wrong> {
    if let Some(own) = own.get(name) {
        return Ok(Arc::clone(own));
    }
    if let Some(shipped) = tenure_diagnose::profile(name) {
        return Ok(Arc::new(shipped.clone()));
    }
    let own = own.keys().map(String::as_str);
    let names: Vec<&str> = own.chain(tenure_diagnose::profile_names()).collect();
    let known = names.join(", ");
    let fix = match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"? Known: {known}"),
        None => format!("known: {known}; or {elsewhere}"),
    };
    Err(Wrong::new(format!("no provider is called {name:?}"), fix))
}

/// Where a session's server listens, as far as somebody said.
#[derive(Clone, Debug, Default)]
pub struct GivenUrls {
    /// The issuer and its text as written: a slash at the end more or less is another issuer.
    pub issuer: Option<(Url, String)>,
    /// Where tokens are renewed. Turns discovery off.
    pub token: Option<Url>,
    /// Where a name and a password go.
    pub login: Option<Url>,
    /// Where a browser logs in.
    pub authorization: Option<Url>,
    /// RFC 8628.
    pub device_authorization: Option<Url>,
    /// RFC 7009.
    pub revocation: Option<Url>,
    /// RFC 7662.
    pub introspection: Option<Url>,
    /// Where a token is checked.
    pub validate: Option<Url>,
    /// Parameters to send with every refresh.
    pub refresh_params: Vec<(String, String)>,
}

impl GivenUrls {
    /// What is given, then what the profile's templates say; the rest is left to discovery. `None` when nothing
    /// says where the server is.
    pub fn endpoints(self, profile: &Profile) -> Option<Endpoints> {
        let templates = &profile.endpoints;
        let (issuer, issuer_text) = self.issuer.unzip();
        let from = |template: &Option<String>| {
            let template = template.as_deref()?;
            profile.resolve(template, issuer.as_ref(), None)
        };
        let discover = profile.discovery && self.token.is_none() && issuer.is_some();
        // With a discovery document, templates would hide what it says.
        let unless_found =
            |template: &Option<String>| (!discover).then(|| from(template)).flatten();
        let token = self.token.or_else(|| from(&templates.token));
        // The document will name it; until then nothing is sent.
        let token = token.or_else(|| issuer.clone().filter(|_| discover))?;
        let mut server = Server::new(profile.wire_dialect(), token);
        server.issuer = issuer_text;
        server.login_endpoint = self.login.or_else(|| from(&templates.login));
        server.authorization_endpoint = self
            .authorization
            .or_else(|| unless_found(&templates.authorization));
        server.device_authorization_endpoint = self
            .device_authorization
            .or_else(|| unless_found(&templates.device_authorization));
        server.revocation_endpoint = self
            .revocation
            .or_else(|| unless_found(&templates.revocation));
        server.introspection_endpoint = self
            .introspection
            .or_else(|| unless_found(&templates.introspection));
        server.validate_endpoint = self.validate.or_else(|| unless_found(&templates.validate));
        server.extra_refresh_params = self.refresh_params;
        server.expires_in_default = profile
            .lifetimes
            .access_s
            .and_then(|seconds| i64::try_from(seconds).ok());
        let known = Box::new(server);
        Some(match issuer {
            Some(issuer) if discover => Endpoints::Discover { issuer, known },
            _ => Endpoints::Known(known),
        })
    }
}

/// Whether a client of this server has a registered name.
pub fn needs_client_id(profile: &Profile) -> bool {
    profile.wire_dialect() == Dialect::OAuth2
}

/// What a client has to prove itself with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proofs {
    /// A secret.
    pub secret: bool,
    /// A private key.
    pub key: bool,
}

/// A client is to prove itself with something that it was not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingProof {
    /// How it is to prove itself.
    pub auth: ClientAuth,
    /// What that takes: `client_secret` or `client_key`.
    pub key: &'static str,
}

/// How a client proves itself: as `chosen`, else by the profile's first method for which there is what it takes.
///
/// # Errors
/// What the chosen method takes and is not there.
pub fn client_auth(
    profile: &Profile,
    chosen: Option<ClientAuth>,
    has: Proofs,
) -> Result<ClientAuth, MissingProof> {
    let missing = |auth: ClientAuth| match auth {
        ClientAuth::Basic | ClientAuth::Post if !has.secret => Some("client_secret"),
        ClientAuth::PrivateKeyJwt if !has.key => Some("client_key"),
        _ => None,
    };
    let Some(auth) = chosen else {
        // A client with a proof does not hide it.
        let public = !has.secret && !has.key;
        let fits =
            |auth: &ClientAuth| (*auth != ClientAuth::None || public) && missing(*auth).is_none();
        let mut methods = profile.client_auth.iter().copied().map(ClientAuth::from);
        return Ok(methods.find(fits).unwrap_or(ClientAuth::None));
    };
    missing(auth).map_or(Ok(auth), |key| Err(MissingProof { auth, key }))
}

/// Whether the waits of a timing fit together.
///
/// # Errors
/// When the first wait is longer than the longest.
pub fn waits(timing: &Timing) -> Result<(), Wrong> {
    if timing.backoff_min <= timing.backoff_max {
        return Ok(());
    }
    Err(Wrong::new(
        "the first wait (`backoff_min`) is longer than the longest (`backoff_max`)",
        "make `backoff_min` the smaller of the two",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_stays_at_home() {
        for home in [
            "http://127.0.0.1:1/x",
            "http://localhost",
            "http://shop.localhost:7",
            "http://[::1]:9",
            "https://a.example",
        ] {
            assert!(url(home, false).is_ok(), "{home}");
        }
        for away in [
            "http://a.example",
            "http://10.0.0.1",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
        ] {
            assert!(url(away, false).is_err(), "{away}");
            assert!(url(away, true).is_ok(), "{away}");
        }
        for bad in [
            "shop.example",
            "ftp://a.example",
            "https://",
            "https://a.example/#x",
        ] {
            assert!(url(bad, true).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_refused_and_not_repeated() {
        let wrong = url("https://me:canary-1f@a.example", false).expect_err("refused");
        assert!(!wrong.to_string().contains("canary"), "{wrong}");
    }

    #[test]
    fn names_are_host_labels() {
        for good in ["shop", "a", "till-7", "0"] {
            assert!(session_name(good).is_ok(), "{good}");
        }
        for bad in ["", "Shop", "a.b", "-a", "a-", "a_b", "é", &"x".repeat(64)] {
            assert!(session_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_client_proves_itself_with_what_it_has() {
        let profile = tenure_diagnose::profile("oauth2").expect("shipped");
        let (none, secret) = (
            Proofs::default(),
            Proofs {
                secret: true,
                key: false,
            },
        );
        assert_eq!(client_auth(profile, None, none), Ok(ClientAuth::None));
        assert_eq!(client_auth(profile, None, secret), Ok(ClientAuth::Basic));
        for (auth, key) in [
            (ClientAuth::Post, "client_secret"),
            (ClientAuth::PrivateKeyJwt, "client_key"),
        ] {
            assert_eq!(
                client_auth(profile, Some(auth), none),
                Err(MissingProof { auth, key })
            );
        }
        assert_eq!(
            client_auth(profile, Some(ClientAuth::None), secret),
            Ok(ClientAuth::None)
        );
    }

    #[test]
    fn an_issuer_keeps_its_spelling() {
        let profile = tenure_diagnose::profile("oauth2").expect("shipped");
        for text in ["https://login.example", "https://login.example/"] {
            let given = GivenUrls {
                issuer: Some((url(text, false).expect("a URL"), text.to_owned())),
                ..GivenUrls::default()
            };
            let endpoints = given.endpoints(profile).expect("discovery");
            assert_eq!(endpoints.known().issuer.as_deref(), Some(text));
        }
        assert!(GivenUrls::default().endpoints(profile).is_none());
    }
}
