//! What a client is.

use serde::{Deserialize, Serialize};
use tenure_core::Secret;
use tenure_jose::{JwkSet, KeySet, b64url, random};
use url::{Host, Url};

use crate::error::{IssuerError, OAuthError};
use crate::params::printable;
use crate::scope;

/// Longer addresses are nobody's; the index of what is to be told has room for no more.
const LONGEST_URI: usize = 2_000;
/// How much of an address that is refused is shown.
const LONGEST_SHOWN: usize = 200;

/// What a client may ask the token endpoint for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// RFC 6749 §4.1, with PKCE.
    AuthorizationCode,
    /// RFC 6749 §6.
    RefreshToken,
    /// RFC 6749 §4.4.
    ClientCredentials,
    /// RFC 8628.
    DeviceCode,
    /// RFC 6749 §4.3; for the built-in first-party client only.
    Password,
}

impl Grant {
    pub(crate) const ALL: [Grant; 5] = [
        Grant::AuthorizationCode,
        Grant::RefreshToken,
        Grant::ClientCredentials,
        Grant::DeviceCode,
        Grant::Password,
    ];

    /// The value of `grant_type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Grant::AuthorizationCode => "authorization_code",
            Grant::RefreshToken => "refresh_token",
            Grant::ClientCredentials => "client_credentials",
            Grant::DeviceCode => "urn:ietf:params:oauth:grant-type:device_code",
            Grant::Password => "password",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Grant> {
        Self::ALL.into_iter().find(|grant| grant.as_str() == text)
    }
}

/// A secret for a client, made of 256 bits of chance.
pub fn fresh_secret() -> Secret {
    Secret::new(b64url(random::<32>()))
}

/// A client as it is registered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClientRegistration {
    /// `client_id`.
    pub id: String,
    /// Its name, as shown on the login page.
    pub name: String,
    /// Its secret (`client_secret_basic` or `client_secret_post`). With neither secret nor keys it is public.
    #[serde(skip)]
    pub secret: Option<Secret>,
    /// Its public keys (`private_key_jwt`, RFC 7523).
    #[serde(default)]
    pub keys: Option<JwkSet>,
    /// Where codes may be sent. Compared exactly, but for the port of loopback addresses (RFC 8252 §7.3).
    #[serde(default)]
    pub redirect_uris: Vec<String>,
    /// What it may ask for.
    pub grants: Vec<Grant>,
    /// Whether every token it gets must be bound to a key (`dpop_bound_access_tokens`, RFC 9449 §5.2).
    #[serde(default)]
    pub dpop_bound: bool,
    /// Whether each refresh yields a new refresh token (RFC 9700 §4.14). Without, one token lives as long as the session,
    /// and a copy of it is noticed by nobody: for clients that cannot store what they get.
    #[serde(default = "yes")]
    pub rotate: bool,
    /// Whether authorization requests must be handed in beforehand (RFC 9126 §6).
    #[serde(default)]
    pub par_required: bool,
    /// Where a browser may be sent after a logout. Compared exactly.
    #[serde(default)]
    pub post_logout_redirect_uris: Vec<String>,
    /// Where it is told which of its sessions ended (OpenID Connect Back-Channel Logout 1.0 §2.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backchannel_logout_uri: Option<String>,
    /// Whether it needs `sid` for that; every logout token has it.
    #[serde(default)]
    pub backchannel_logout_session_required: bool,
    /// Scopes it may ask for, besides the built-in `openid`, `profile` and `offline_access`.
    #[serde(default)]
    pub scopes: Vec<String>,
}

impl ClientRegistration {
    /// A public client for people: code with PKCE, device flow, refresh.
    pub fn public(id: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            secret: None,
            keys: None,
            redirect_uris: Vec::new(),
            grants: vec![
                Grant::AuthorizationCode,
                Grant::RefreshToken,
                Grant::DeviceCode,
            ],
            dpop_bound: false,
            rotate: true,
            par_required: false,
            post_logout_redirect_uris: Vec::new(),
            backchannel_logout_uri: None,
            backchannel_logout_session_required: false,
            scopes: Vec::new(),
        }
    }

    /// A confidential client for programs: client credentials.
    pub fn confidential(id: impl Into<String>, name: impl Into<String>, secret: Secret) -> Self {
        Self {
            secret: Some(secret),
            grants: vec![Grant::ClientCredentials],
            ..Self::public(id, name)
        }
    }

    pub(crate) fn check(&self) -> Result<(), IssuerError> {
        let setting = |name, why: String| Err(IssuerError::Setting { name, why });
        if self.id.is_empty() || !self.id.bytes().all(|b| (0x20..=0x7e).contains(&b)) {
            return setting(
                "client id",
                "must be printable ASCII, at least one character (RFC 6749 appendix A.1)".into(),
            );
        }
        for uri in self
            .redirect_uris
            .iter()
            .chain(&self.post_logout_redirect_uris)
        {
            match Url::parse(uri) {
                Ok(url) if url.fragment().is_none() => {}
                _ => {
                    return setting(
                        "redirect_uris",
                        format!(
                            "`{uri}` is not an absolute URL without fragment (RFC 6749 §3.1.2)"
                        ),
                    );
                }
            }
        }
        self.check_backchannel()?;
        if self.secret.is_none()
            && self.keys.is_none()
            && self.grants.contains(&Grant::ClientCredentials)
        {
            return setting(
                "grants",
                "client_credentials needs a client with a secret or keys (RFC 6749 §4.4)".into(),
            );
        }
        Ok(())
    }

    fn check_backchannel(&self) -> Result<(), IssuerError> {
        let setting = |name, why: String| Err(IssuerError::Setting { name, why });
        let Some(uri) = &self.backchannel_logout_uri else {
            if self.backchannel_logout_session_required {
                return setting(
                    "backchannel_logout_session_required",
                    "goes with a backchannel_logout_uri only".into(),
                );
            }
            return Ok(());
        };
        if uri.len() > LONGEST_URI || !Url::parse(uri).is_ok_and(|url| may_be_told(&url)) {
            let shown: String = uri.chars().take(LONGEST_SHOWN).collect();
            return setting(
                "backchannel_logout_uri",
                format!(
                    "`{shown}` is not an https URL (http for this machine's own addresses only) without fragment, name and password, \
                     of at most {LONGEST_URI} bytes"
                ),
            );
        }
        Ok(())
    }
}

/// Whether logout tokens may be sent there: where TLS proves the name, or where nothing leaves the machine.
fn may_be_told(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    let plain = url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    plain && (url.scheme() == "https" || (url.scheme() == "http" && loopback))
}

fn yes() -> bool {
    true
}

/// A client as it is held in memory.
pub(crate) struct Client {
    pub(crate) registration: ClientRegistration,
    pub(crate) secret_mac: Option<Vec<u8>>,
    pub(crate) keys: Option<KeySet>,
}

impl Client {
    pub(crate) fn new(registration: ClientRegistration, secret_mac: Option<Vec<u8>>) -> Self {
        let keys = registration.keys.as_ref().map(KeySet::from_jwks);
        Self {
            registration,
            secret_mac,
            keys,
        }
    }

    pub(crate) fn id(&self) -> &str {
        &self.registration.id
    }

    /// Whether it can prove who it is.
    pub(crate) fn is_confidential(&self) -> bool {
        self.secret_mac.is_some() || self.keys.is_some()
    }

    pub(crate) fn may(&self, grant: Grant) -> bool {
        self.registration.grants.contains(&grant)
    }

    /// The scope it gets for what it asked; everything it may have when it asked for nothing.
    pub(crate) fn allowed_scope(&self, asked: Option<&str>) -> Result<String, OAuthError> {
        let own = &self.registration.scopes;
        let Some(asked) = asked else {
            return Ok(own.join(" "));
        };
        for word in scope::words(asked) {
            if !own.iter().any(|known| known == word) && !scope::BUILT_IN.contains(&word) {
                return Err(OAuthError::invalid_scope(&printable(word)));
            }
        }
        Ok(scope::normal(asked))
    }

    /// Whether a code may be sent to `uri`.
    pub(crate) fn redirects_to(&self, uri: &str) -> bool {
        self.registration
            .redirect_uris
            .iter()
            .any(|known| known == uri || same_but_loopback_port(known, uri))
    }
}

/// RFC 8252 §7.3: the port of a loopback redirect is the client's choice at each request.
fn same_but_loopback_port(known: &str, uri: &str) -> bool {
    let (Ok(mut known), Ok(mut asked)) = (Url::parse(known), Url::parse(uri)) else {
        return false;
    };
    let loopback = matches!(known.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"))
        && known.scheme() == "http";
    // The text must be in normal form, or two parsers might read two different places out of it.
    let plain = asked.as_str() == uri
        && asked.username().is_empty()
        && asked.password().is_none()
        && asked.fragment().is_none();
    if !loopback || !plain {
        return false;
    }
    let known_set = known.set_port(None).is_ok();
    known_set && asked.set_port(None).is_ok() && known == asked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(uri: &str) -> Client {
        Client::new(
            ClientRegistration {
                redirect_uris: vec![uri.into()],
                ..ClientRegistration::public("c", "C")
            },
            None,
        )
    }

    #[test]
    fn redirects_match_exactly_but_for_the_loopback_port() {
        let native = client("http://127.0.0.1/callback");
        assert!(native.redirects_to("http://127.0.0.1:49152/callback"));
        assert!(native.redirects_to("http://127.0.0.1/callback"));
        for other in [
            "http://127.0.0.1:49152/callback/",
            "http://127.0.0.1:49152/callback?x=1",
            "http://127.0.0.1:49152/other",
            "http://localhost:49152/callback",
            "https://127.0.0.1:49152/callback",
            "http://127.0.0.1:49152/a/../callback",
            "http://user@127.0.0.1:49152/callback",
            "http://127.0.0.1:49152/callback#f",
            "http://127.0.0.1.evil.example/callback",
        ] {
            assert!(!native.redirects_to(other), "{other}");
        }
        let web = client("https://app.example/cb");
        assert!(web.redirects_to("https://app.example/cb"));
        assert!(
            !web.redirects_to("https://app.example:8443/cb")
                && !web.redirects_to("https://app.example/cb/")
        );
    }

    #[test]
    fn logouts_are_told_to_https_and_to_this_machine_only() {
        let with = |uri: &str| ClientRegistration {
            backchannel_logout_uri: Some(uri.into()),
            ..ClientRegistration::public("c", "C")
        };
        for uri in [
            "https://shop.example/logout?tenant=1",
            "https://10.0.0.7:8443/logout",
            "http://127.0.0.1:8080/logout",
            "http://127.8.8.8/logout",
            "http://[::1]:8080/logout",
            "http://localhost/logout",
        ] {
            assert!(with(uri).check().is_ok(), "{uri}");
        }
        for uri in [
            "http://shop.example/logout",
            "http://169.254.169.254/latest",
            "http://0.0.0.0/logout",
            "http://[::ffff:10.0.0.1]/logout",
            "http://localhost.evil.example/logout",
            "https://user@shop.example/logout",
            "https://:secret@shop.example/logout",
            "https://shop.example/logout#here",
            "ftp://127.0.0.1/logout",
            "file:///etc/passwd",
            "/logout",
            "",
            &format!("https://shop.example/{}", "x".repeat(LONGEST_URI)),
        ] {
            assert!(with(uri).check().is_err(), "{uri}");
        }
        let alone = ClientRegistration {
            backchannel_logout_session_required: true,
            ..ClientRegistration::public("c", "C")
        };
        assert!(alone.check().is_err());
    }

    #[test]
    fn registrations_from_before_are_read_as_they_were_meant() {
        let stored = r#"{"id":"c","name":"C","grants":["authorization_code"]}"#;
        let client: ClientRegistration = serde_json::from_str(stored).expect("readable");
        assert_eq!(client.backchannel_logout_uri, None);
        assert!(!client.backchannel_logout_session_required);
    }

    #[test]
    fn registrations_that_cannot_work_are_refused() {
        let relative = ClientRegistration {
            redirect_uris: vec!["/cb".into()],
            ..ClientRegistration::public("c", "C")
        };
        assert!(relative.check().is_err());
        let public = ClientRegistration {
            grants: vec![Grant::ClientCredentials],
            ..ClientRegistration::public("c", "C")
        };
        assert!(public.check().is_err());
        assert!(ClientRegistration::public("", "C").check().is_err());
        assert!(ClientRegistration::public("c", "C").check().is_ok());
    }
}
