//! Which kind of token it is, by what its server wrote into it.

use serde::Serialize;
use serde_json::{Map, Value};

/// What was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A JWT that says it is an access token, or has what access tokens have.
    AccessToken,
    /// An OpenID Connect ID token: for the client, not for an API.
    IdToken,
    /// A refresh token: for the token endpoint.
    RefreshToken,
    /// A message to a client that a session is over.
    LogoutToken,
    /// A proof that a client holds a key (RFC 9449).
    DpopProof,
    /// How a client proves itself at a token endpoint (RFC 7523).
    ClientAssertion,
    /// A JWT of another or no stated kind.
    Jwt,
    /// Encrypted for its audience.
    EncryptedToken,
    /// A token that is no JWT.
    OpaqueToken,
    /// An API key.
    ApiKey,
    /// A client's secret.
    ClientSecret,
    /// No token at all.
    NoToken,
}

impl Kind {
    /// With its article.
    pub fn words(self) -> &'static str {
        match self {
            Kind::AccessToken => "an access token",
            Kind::IdToken => "an ID token",
            Kind::RefreshToken => "a refresh token",
            Kind::LogoutToken => "a logout token",
            Kind::DpopProof => "a DPoP proof",
            Kind::ClientAssertion => "a client assertion",
            Kind::Jwt => "a token",
            Kind::EncryptedToken => "an encrypted token (JWE)",
            Kind::OpaqueToken => "an opaque token",
            Kind::ApiKey => "an API key",
            Kind::ClientSecret => "a client secret",
            Kind::NoToken => "no token",
        }
    }
}

/// The kind of a JWT, and what shows it.
pub(super) fn of(header: &Map<String, Value>, claims: &Map<String, Value>) -> (Kind, &'static str) {
    by_header(header)
        .or_else(|| by_statement(claims))
        .unwrap_or_else(|| by_looks(claims))
}

fn text<'a>(members: &'a Map<String, Value>, name: &str) -> &'a str {
    members
        .get(name)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn by_header(header: &Map<String, Value>) -> Option<(Kind, &'static str)> {
    let typ = text(header, "typ").to_ascii_lowercase();
    let bare = typ.strip_prefix("application/").unwrap_or(&typ);
    Some(match bare {
        "at+jwt" => (Kind::AccessToken, "its header says `at+jwt`"),
        "dpop+jwt" => (Kind::DpopProof, "its header says `dpop+jwt`"),
        "logout+jwt" => (Kind::LogoutToken, "its header says `logout+jwt`"),
        "rt+jwt" | "refresh+jwt" => (Kind::RefreshToken, "its header says so"),
        "client-authentication+jwt" => (Kind::ClientAssertion, "its header says so"),
        _ => return None,
    })
}

/// Claims whose only purpose is to say what the token is for: Cognito, Keycloak, WCPOS and the libraries of Django
/// and Flask have one each.
fn by_statement(claims: &Map<String, Value>) -> Option<(Kind, &'static str)> {
    const STATED: [(&str, &str); 4] = [
        ("token_use", "its claim `token_use` says so"),
        ("typ", "its claim `typ` says so"),
        ("token_type", "its claim `token_type` says so"),
        ("type", "its claim `type` says so"),
    ];
    STATED.iter().find_map(|(claim, why)| {
        let kind = match text(claims, claim).to_ascii_lowercase().as_str() {
            "access" | "access_token" | "bearer" => Kind::AccessToken,
            "refresh" | "refresh_token" | "offline" => Kind::RefreshToken,
            "id" | "id_token" => Kind::IdToken,
            "logout" => Kind::LogoutToken,
            _ => return None,
        };
        Some((kind, *why))
    })
}

fn by_looks(claims: &Map<String, Value>) -> (Kind, &'static str) {
    let has = |name: &str| claims.contains_key(name);
    let backchannel = "http://schemas.openid.net/event/backchannel-logout";
    if claims
        .get("events")
        .and_then(|events| events.get(backchannel))
        .is_some()
    {
        return (Kind::LogoutToken, "it carries a logout event");
    }
    if has("htm") && has("htu") {
        return (Kind::DpopProof, "it names one request (`htm`, `htu`)");
    }
    // Spring's refresh tokens name the access token they came with.
    if has("ati") {
        return (Kind::RefreshToken, "it names its access token (`ati`)");
    }
    if has("at_hash") || has("c_hash") || has("s_hash") {
        return (Kind::IdToken, "it has `at_hash`, as only ID tokens do");
    }
    if has("scope") || has("scp") {
        return (Kind::AccessToken, "it carries scopes");
    }
    if has("nonce") {
        return (Kind::IdToken, "it has the `nonce` of a login and no scopes");
    }
    let azp = text(claims, "azp");
    if !azp.is_empty() && text(claims, "aud") == azp {
        return (Kind::IdToken, "its audience is the client itself");
    }
    if has("client_id") || has("refresh_jti") {
        return (Kind::AccessToken, "it names a client and no login");
    }
    (Kind::Jwt, "it does not say what it is for")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kind(header: Value, claims: Value) -> Kind {
        let object = |value: Value| value.as_object().expect("an object").clone();
        of(&object(header), &object(claims)).0
    }

    #[test]
    fn servers_say_it_in_many_ways() {
        for (claims, expected) in [
            (json!({"typ": "Refresh"}), Kind::RefreshToken),
            (json!({"typ": "Offline"}), Kind::RefreshToken),
            (json!({"typ": "Bearer", "nonce": "n"}), Kind::AccessToken),
            (json!({"typ": "ID"}), Kind::IdToken),
            (json!({"token_use": "access"}), Kind::AccessToken),
            (json!({"token_use": "id"}), Kind::IdToken),
            (json!({"token_type": "refresh"}), Kind::RefreshToken),
            (json!({"type": "refresh"}), Kind::RefreshToken),
            (json!({"ati": "a"}), Kind::RefreshToken),
            (json!({"at_hash": "a"}), Kind::IdToken),
            (json!({"nonce": "a", "aud": "client"}), Kind::IdToken),
            (json!({"nonce": "a", "scp": "x"}), Kind::AccessToken),
            (json!({"azp": "c", "aud": "c"}), Kind::IdToken),
            (json!({"azp": "c", "aud": "api"}), Kind::Jwt),
            (json!({"htm": "GET", "htu": "x"}), Kind::DpopProof),
            (json!({"data": {"user": {"id": 1}}}), Kind::Jwt),
        ] {
            assert_eq!(
                kind(json!({"typ": "JWT"}), claims.clone()),
                expected,
                "{claims}"
            );
        }
        assert_eq!(
            kind(json!({"typ": "application/at+jwt"}), json!({"nonce": "n"})),
            Kind::AccessToken
        );
    }
}
