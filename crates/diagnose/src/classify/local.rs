//! What is known without the answer.

use tenure_core::{Class, Heal, Who};

use super::finding::Found;

/// What the token request was for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grant {
    /// A refresh.
    #[default]
    RefreshToken,
    /// An authorization code.
    AuthorizationCode,
    /// A device code (RFC 8628).
    DeviceCode,
    /// User name and password.
    Password,
    /// Client credentials.
    ClientCredentials,
    /// Any other, e.g. an assertion.
    Other,
}

impl Grant {
    /// The grant of this `grant_type`; a URN's last part counts.
    pub fn parse(name: &str) -> Self {
        match name.rsplit(':').next().unwrap_or(name) {
            "refresh_token" => Grant::RefreshToken,
            "authorization_code" => Grant::AuthorizationCode,
            "device_code" => Grant::DeviceCode,
            "password" => Grant::Password,
            "client_credentials" => Grant::ClientCredentials,
            _ => Grant::Other,
        }
    }
}

/// What is known without the answer. Everything may be left at its default when it is not known.
#[derive(Clone, Debug, Default)]
pub struct Local {
    /// The request carried an access token.
    pub token_sent: bool,
    /// Nobody knows whether the request carried a token; `token_sent` is then a guess.
    pub token_sent_unknown: bool,
    /// The access token's own time is over, by the best clock there is.
    pub token_expired: Option<bool>,
    /// The same, judged by the server's `Date`.
    pub token_expired_by_server: Option<bool>,
    /// Seconds since the access token was obtained.
    pub token_age_s: Option<i64>,
    /// The token refused is the fruit of a refresh a moment ago.
    pub just_refreshed: bool,
    /// Server time minus local time, as far as it is proven, in milliseconds.
    pub clock_offset_ms: i64,
    /// There is something to refresh with.
    pub has_refresh: bool,
    /// Nobody knows whether there is; `has_refresh` is then a guess.
    pub has_refresh_unknown: bool,
    /// The refresh token's own time is over.
    pub refresh_expired: bool,
    /// The reply of an earlier exchange with this refresh token was lost (I10).
    pub unknown_outcome: bool,
    /// The refresh token came with an import, and may have been used where it came from.
    pub imported: bool,
    /// `iss` of the access token.
    pub token_issuer: Option<String>,
    /// The issuer that is configured.
    pub issuer: Option<String>,
    /// Key id of the access token.
    pub token_kid: Option<String>,
    /// Key ids the issuer publishes now.
    pub jwks_kids: Option<Vec<String>>,
    /// Host that was asked.
    pub request_host: Option<String>,
    /// Host that answered, after redirects.
    pub final_host: Option<String>,
    /// Method of the request, upper case.
    pub request_method: Option<String>,
    /// The API asks for an anti-forgery token beside the access token.
    pub antiforgery: bool,
    /// Name of the session, for the command to type.
    pub session: String,
    /// What the token request was for.
    pub grant: Grant,
    /// Server time if known, else local wall time, seconds since the epoch; needed to read a `Retry-After` date.
    pub now_s: Option<i64>,
}

impl Local {
    /// Whether a refresh has a chance.
    pub(crate) fn can_refresh(&self) -> bool {
        self.has_refresh && !self.refresh_expired
    }

    /// Whether a refresh token is known to be held that nobody has tried for this yet.
    fn refresh_untried(&self) -> bool {
        self.can_refresh() && !self.has_refresh_unknown && !self.just_refreshed
    }

    /// Whether a token is known to have gone out.
    pub(crate) fn surely_sent(&self) -> bool {
        self.token_sent && !self.token_sent_unknown
    }

    /// Whether it is known that none went out.
    pub(crate) fn surely_not_sent(&self) -> bool {
        !self.token_sent && !self.token_sent_unknown
    }

    /// Whether the clocks are proven to differ by more than any leeway, and by how many seconds.
    pub(crate) fn clock_is_off(&self) -> Option<i64> {
        /// Servers forgive a minute, seldom more.
        const LEEWAY_MS: i64 = 60_000;
        (self.clock_offset_ms.abs() > LEEWAY_MS).then_some(self.clock_offset_ms / 1000)
    }

    /// Whether the token is another issuer's, as far as both are known.
    pub(crate) fn other_issuer(&self) -> bool {
        let (Some(token), Some(own)) = (&self.token_issuer, &self.issuer) else {
            return false;
        };
        token.trim_end_matches('/') != own.trim_end_matches('/')
    }

    /// Whether the host asked is not the issuer's own.
    pub(crate) fn other_host(&self) -> bool {
        let (Some(asked), Some(issuer)) = (&self.request_host, &self.issuer) else {
            return false;
        };
        let host = issuer.split("://").last().unwrap_or(issuer);
        !host
            .split(['/', ':'])
            .next()
            .unwrap_or(host)
            .eq_ignore_ascii_case(asked)
    }

    /// Whether the issuer does not publish the token's key any more.
    pub(crate) fn key_is_gone(&self) -> bool {
        match (&self.token_kid, &self.jwks_kids) {
            (Some(kid), Some(published)) => !published.contains(kid),
            _ => false,
        }
    }

    /// Whether a redirect led to another host; clients drop the Authorization header there.
    pub(crate) fn led_elsewhere(&self) -> bool {
        match (&self.request_host, &self.final_host) {
            (Some(asked), Some(answered)) => !asked.eq_ignore_ascii_case(answered),
            _ => false,
        }
    }
}

/// What local knowledge makes of what the answer says: it is the stronger evidence.
pub(super) fn weigh(found: Found, local: &Local, at_api: bool, status: u16) -> Found {
    let found = clocks(found, local);
    if !at_api {
        return at_token(found, local);
    }
    if found.class == Class::SessionEnded
        && local.token_expired == Some(true)
        && local.can_refresh()
    {
        // What an API calls its session is the access token; that one is over, and only the issuer can say more.
        return found.become_(
            Class::AccessExpired,
            "access_token_expired",
            "local.expired",
        );
    }
    let refused = matches!(
        found.class,
        Class::AccessInvalid
            | Class::AccessExpired
            | Class::AccessRevoked
            | Class::KeyMismatch
            | Class::Unknown
            | Class::AccessMissing
    );
    if !refused || matches!(found.class, Class::Unknown) && !matches!(status, 401 | 403) {
        return found;
    }
    let vague = matches!(found.class, Class::AccessInvalid | Class::Unknown);
    let open = vague || found.class == Class::AccessMissing;
    if local.surely_not_sent()
        && found.class != Class::AccessMissing
        && (status == 401 || !matches!(found.class, Class::Unknown))
    {
        return found.become_(Class::AccessMissing, "no_token_sent", "local.no_token_sent");
    }
    if open && local.led_elsewhere() && local.token_sent {
        return found.become_(
            Class::AccessMissing,
            "token_lost_on_the_way",
            "local.redirected",
        );
    }
    if local.other_issuer() && status == 401 {
        return found.become_(Class::WrongIssuer, "issuer_mismatch", "local.issuer");
    }
    if vague && local.key_is_gone() && local.token_sent {
        return found.become_(Class::KeyMismatch, "key_no_longer_published", "local.kid");
    }
    if (vague || found.class == Class::AccessMissing && !local.surely_sent())
        && local.token_expired == Some(true)
        && (status == 401 || found.class == Class::AccessInvalid)
    {
        return found.become_(
            Class::AccessExpired,
            "access_token_expired",
            "local.expired",
        );
    }
    if found.class == Class::AccessExpired && just_made(local) {
        return found.become_(
            Class::ServerError,
            "backend_rejects_valid_token",
            "local.just_made",
        );
    }
    found
}

/// "Your session has expired" in an API's words is as often said of the access token; a held refresh token is tried
/// once before anybody is asked to sign in.
pub(super) fn one_refresh_first(found: Found, local: &Local) -> Found {
    if found.class == Class::SessionEnded && !local.surely_not_sent() && local.refresh_untried() {
        return found.heal(Heal::Refresh, Who::Tenure);
    }
    found
}

fn at_token(found: Found, local: &Local) -> Found {
    let vague = found.class == Class::RefreshInvalid && found.heal.is_none();
    if vague && local.refresh_expired {
        return Found {
            class: Class::RefreshExpired,
            cause: "refresh_token_expired",
            ..found
        };
    }
    found
}

/// A token got a moment ago that no clock knows to be over, and that is called expired: the server is not of one mind.
/// The fruit of a refresh is young whatever is known of its times: another refresh would bring no better one (I13).
fn just_made(local: &Local) -> bool {
    let young = local.just_refreshed && local.token_expired != Some(true)
        || local.token_expired == Some(false)
            && local
                .token_age_s
                .is_some_and(|age| (0..=120).contains(&age));
    young && local.clock_is_off().is_none()
}

/// "Not yet valid" and "expired" are clock skew once an offset explains them.
fn clocks(found: Found, local: &Local) -> Found {
    let skewed = match found.class {
        Class::NotYetValid => local.clock_is_off().is_some(),
        Class::AccessExpired => {
            local.token_expired == Some(false)
                && local.clock_is_off().is_some_and(|offset| offset > 0)
                || local.token_expired == Some(false) && local.token_expired_by_server == Some(true)
        }
        _ => false,
    };
    if skewed {
        return found.become_(Class::ClockSkew, "clocks_differ", "local.clock");
    }
    found
}
