//! Dynamic client registration (RFC 7591): only with an initial access token, which an administrator makes.
//!
//! A token is good for some registrations within some time. Of it only a hash is stored.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tenure_core::Secret;
use tenure_jose::{Alg, JwkSet, KeySet, b64url, random, sha256};
use url::Url;

use crate::admin::Admin;
use crate::audit::{Act, Pen, Who};
use crate::client::{ClientRegistration, Grant, fresh_secret};
use crate::db::{SqlResult, Tx, values};
use crate::error::{IssuerError, OAuthError};
use crate::issuer::Issuer;
use crate::params::printable;
use crate::scope;

/// What a token begins with, so that one that got out is recognised.
const PREFIX: &str = "tenure_register_";
/// The longest life of a token, in seconds: a year.
const LONGEST_S: u64 = 366 * 24 * 3_600;
/// The most registrations with one token.
const MOST_USES: u64 = 10_000;
/// Of everything that may be repeated there are at most so many, and each has at most so many bytes.
const MOST: usize = 50;
const LONGEST: usize = 2_048;

/// A token with which programs register, as an administrator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrationToken {
    /// What it is for.
    pub label: String,
    /// How many registrations are left.
    pub uses_left: u64,
    /// Until when it is good, milliseconds since the epoch.
    pub expires_ms: i64,
}

/// What a program says of itself (RFC 7591 §2); what is not known here is left unread.
#[derive(Default, Deserialize)]
struct Metadata {
    redirect_uris: Option<Vec<String>>,
    token_endpoint_auth_method: Option<String>,
    grant_types: Option<Vec<String>>,
    response_types: Option<Vec<String>>,
    client_name: Option<String>,
    scope: Option<String>,
    jwks: Option<JwkSet>,
    post_logout_redirect_uris: Option<Vec<String>>,
    dpop_bound_access_tokens: Option<bool>,
    require_pushed_authorization_requests: Option<bool>,
    id_token_signed_response_alg: Option<String>,
    backchannel_logout_uri: Option<String>,
    backchannel_logout_session_required: Option<bool>,
}

/// What a program is told of itself (RFC 7591 §3.2.1): what was registered, which may be less than it asked for.
#[derive(Serialize)]
pub(crate) struct Registered(Map<String, Value>);

fn wrong(description: impl Into<String>) -> OAuthError {
    OAuthError::invalid_client_metadata(description)
}

impl Metadata {
    /// The client that it describes, with its secret if it has one.
    fn client(self, issuer: &Issuer) -> Result<ClientRegistration, OAuthError> {
        let method = self.token_endpoint_auth_method.as_deref();
        let (secret, keys) = match method.unwrap_or("client_secret_basic") {
            "client_secret_basic" | "client_secret_post" => (Some(fresh_secret()), None),
            "none" => (None, None),
            "private_key_jwt" => (None, Some(keys(self.jwks)?)),
            other => {
                return Err(wrong(format!(
                    "`token_endpoint_auth_method` {} is not supported.",
                    printable(other)
                )));
            }
        };
        let grants = grants(self.grant_types)?;
        if self
            .response_types
            .is_some_and(|types| types.iter().any(|one| one != "code"))
        {
            return Err(wrong("`response_types` can only be [\"code\"]."));
        }
        check_alg(self.id_token_signed_response_alg.as_deref(), issuer)?;
        let redirect_uris = uris(self.redirect_uris)?;
        if redirect_uris.is_empty() && grants.contains(&Grant::AuthorizationCode) {
            return Err(OAuthError::invalid_redirect_uri(
                "`redirect_uris` is missing: a code is sent to one of them.",
            ));
        }
        let backchannel = backchannel(self.backchannel_logout_uri, &redirect_uris)?;
        let asked = self.scope.unwrap_or_default();
        let scopes = scope::words(&asked).filter(|word| issuer.knows_scope(word));
        let client = ClientRegistration {
            secret,
            keys,
            grants,
            dpop_bound: self.dpop_bound_access_tokens.unwrap_or(false),
            par_required: self.require_pushed_authorization_requests.unwrap_or(false),
            post_logout_redirect_uris: uris(self.post_logout_redirect_uris)?,
            backchannel_logout_session_required: backchannel.is_some()
                && self.backchannel_logout_session_required.unwrap_or(false),
            backchannel_logout_uri: backchannel,
            scopes: scopes
                .filter(|word| !scope::BUILT_IN.contains(word))
                .map(str::to_owned)
                .collect(),
            redirect_uris,
            ..ClientRegistration::public(b64url(random::<16>()), name(self.client_name)?)
        };
        match client.check() {
            Err(IssuerError::Setting { why, .. }) => Err(wrong(format!("{why}."))),
            Err(other) => Err(other.into()),
            Ok(()) => Ok(client),
        }
    }
}

fn keys(set: Option<JwkSet>) -> Result<JwkSet, OAuthError> {
    let set = set.ok_or_else(|| {
        wrong("`jwks` is missing: private_key_jwt needs the client's keys, and they are not fetched from a `jwks_uri`.")
    })?;
    let usable = KeySet::from_jwks(&set);
    if set.keys.len() > MOST || usable.is_empty() {
        return Err(wrong(
            "`jwks` has no key that signatures can be checked with.",
        ));
    }
    Ok(set)
}

fn grants(asked: Option<Vec<String>>) -> Result<Vec<Grant>, OAuthError> {
    let Some(asked) = asked else {
        return Ok(vec![Grant::AuthorizationCode]);
    };
    let mut grants = Vec::new();
    for text in asked.iter().take(MOST) {
        // Passwords are for programs of one's own, which an administrator registers.
        let known = Grant::parse(text).filter(|grant| *grant != Grant::Password);
        let grant = known.ok_or_else(|| {
            wrong(format!(
                "`grant_types`: {} cannot be registered.",
                printable(text)
            ))
        })?;
        if !grants.contains(&grant) {
            grants.push(grant);
        }
    }
    if grants.is_empty() {
        return Err(wrong("`grant_types` is empty."));
    }
    Ok(grants)
}

fn check_alg(asked: Option<&str>, issuer: &Issuer) -> Result<(), OAuthError> {
    let own = issuer.options.signing_alg;
    match asked.map(Alg::parse) {
        None => Ok(()),
        Some(Some(alg)) if alg == own => Ok(()),
        Some(_) => Err(wrong(format!(
            "`id_token_signed_response_alg`: this server signs with {own}."
        ))),
    }
}

fn name(asked: Option<String>) -> Result<String, OAuthError> {
    let name = asked.unwrap_or_else(|| "a program without a name".to_owned());
    let fine = (1..=200).contains(&name.len()) && !name.chars().any(char::is_control);
    if fine {
        Ok(name)
    } else {
        Err(wrong("`client_name` must have 1 to 200 printable bytes."))
    }
}

/// RFC 9700 §2.1 and RFC 8252 §7: https, this machine's own addresses, or a scheme that only one program has.
fn uris(asked: Option<Vec<String>>) -> Result<Vec<String>, OAuthError> {
    let asked = asked.unwrap_or_default();
    if asked.len() > MOST {
        return Err(OAuthError::invalid_redirect_uri(format!(
            "There are more than {MOST} addresses."
        )));
    }
    for text in &asked {
        let fine = text.len() <= LONGEST && Url::parse(text).is_ok_and(|url| may_return(&url));
        if !fine {
            let shown: String = printable(text).chars().take(200).collect();
            return Err(OAuthError::invalid_redirect_uri(format!(
                "{shown} is neither https, nor http on loopback, nor of a scheme with a dot in it; or it has a fragment."
            )));
        }
    }
    Ok(asked)
}

fn may_return(url: &Url) -> bool {
    let loopback = matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
    let scheme = match url.scheme() {
        "https" => url.host_str().is_some(),
        "http" => loopback,
        other => other.contains('.'),
    };
    scheme && url.fragment().is_none() && url.username().is_empty() && url.password().is_none()
}

/// The server posts there, so it may be no place but the program's own: a host that people are sent back to.
fn backchannel(asked: Option<String>, redirects: &[String]) -> Result<Option<String>, OAuthError> {
    let Some(text) = asked else { return Ok(None) };
    let host = |text: &str| Some(Url::parse(text).ok()?.host_str()?.to_owned());
    let own = host(&text).filter(|own| redirects.iter().any(|one| host(one).as_ref() == Some(own)));
    if own.is_none() || !text.starts_with("https://") {
        return Err(wrong(
            "`backchannel_logout_uri` must be https, on a host that is also in `redirect_uris`.",
        ));
    }
    Ok(Some(text))
}

fn hash(token: &Secret) -> [u8; 32] {
    sha256(token.expose().as_bytes())
}

fn note(tx: &mut dyn Tx, pen: &Pen, action: &'static str, label: &str) -> SqlResult<()> {
    let act = Act {
        detail: json!({ "label": label }),
        ..Act::new(action)
    };
    pen.note(tx, &act)
}

impl Issuer {
    /// Whose registrations a token is for; nothing where it is unknown, too old or used up.
    pub(crate) async fn registration_label(
        &self,
        token: &Secret,
    ) -> Result<Option<String>, OAuthError> {
        let (hash, now) = (hash(token), self.now());
        let found = self.db.read(move |tx| {
            tx.row(
                "SELECT label FROM registration_tokens WHERE hash = ?1 AND uses_left > 0 AND expires_ms > ?2",
                values![&hash, now],
            )?
            .map(|row| row.get(0))
            .transpose()
        });
        Ok(found.await?)
    }

    /// Registers a program. `None` when the token was used up meanwhile.
    pub(crate) async fn register_program(
        &self,
        token: &Secret,
        body: &[u8],
        who: Who,
    ) -> Result<Option<Registered>, OAuthError> {
        let metadata: Metadata = serde_json::from_slice(body).map_err(|error| {
            wrong(format!(
                "The body is no JSON object of client metadata (line {}, column {}).",
                error.line(),
                error.column()
            ))
        })?;
        let method = metadata.token_endpoint_auth_method.clone();
        let client = metadata.client(self)?;
        let registered = described(&client, method, self);
        let admin = self.admin_from(who);
        let (hash, now) = (hash(token), self.now());
        let spend = move |tx: &mut dyn Tx| {
            let spent = tx.execute(
                "UPDATE registration_tokens SET uses_left = uses_left - 1 WHERE hash = ?1 AND uses_left > 0 AND expires_ms > ?2",
                values![&hash, now],
            )?;
            Ok(spent == 1)
        };
        let done = admin.register_with(client, spend).await?;
        Ok(done.then_some(registered))
    }

    /// The tokens with which programs may still register, by label.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn registration_tokens(&self) -> Result<Vec<RegistrationToken>, IssuerError> {
        let now = self.now();
        let found = self.db.read(move |tx| {
            tx.query(
                "SELECT label, uses_left, expires_ms FROM registration_tokens WHERE uses_left > 0 AND expires_ms > ?1 ORDER BY label",
                values![now],
            )?
            .iter()
            .map(|row| {
                Ok(RegistrationToken {
                    label: row.get(0)?,
                    uses_left: row.get(1)?,
                    expires_ms: row.get(2)?,
                })
            })
            .collect()
        });
        Ok(found.await?)
    }
}

fn described(client: &ClientRegistration, method: Option<String>, issuer: &Issuer) -> Registered {
    let mut scopes: Vec<&str> = client.scopes.iter().map(String::as_str).collect();
    scopes.extend(scope::BUILT_IN);
    let method = method.unwrap_or_else(|| "client_secret_basic".to_owned());
    let grants: Vec<_> = client.grants.iter().map(|grant| grant.as_str()).collect();
    let codes = client.grants.contains(&Grant::AuthorizationCode);
    let body = json!({
        "client_id": client.id,
        "client_id_issued_at": issuer.now() / 1000,
        "client_name": client.name,
        "token_endpoint_auth_method": method,
        "grant_types": grants,
        "response_types": if codes { vec!["code"] } else { Vec::new() },
        "redirect_uris": client.redirect_uris,
        "post_logout_redirect_uris": client.post_logout_redirect_uris,
        "scope": scopes.join(" "),
        "dpop_bound_access_tokens": client.dpop_bound,
        "require_pushed_authorization_requests": client.par_required,
        "id_token_signed_response_alg": issuer.options.signing_alg.as_str(),
    });
    let Value::Object(mut members) = body else {
        return Registered(Map::new());
    };
    if let Some(secret) = &client.secret {
        members.insert("client_secret".into(), secret.expose().into());
        // It does not expire.
        members.insert("client_secret_expires_at".into(), 0.into());
    }
    if let Some(keys) = &client.keys {
        members.insert("jwks".into(), json!(keys));
    }
    if let Some(uri) = &client.backchannel_logout_uri {
        members.insert("backchannel_logout_uri".into(), uri.as_str().into());
        let required = client.backchannel_logout_session_required;
        members.insert(
            "backchannel_logout_session_required".into(),
            required.into(),
        );
    }
    Registered(members)
}

impl Admin<'_> {
    /// Makes a token with which programs may register themselves; it is told here once. Another of the same label ends.
    ///
    /// # Errors
    /// When a number is out of range or the database fails.
    pub async fn registration_token(
        &self,
        label: &str,
        uses: u64,
        life_s: u64,
    ) -> Result<Secret, IssuerError> {
        let setting = |why: String| {
            Err(IssuerError::Setting {
                name: "registration token",
                why,
            })
        };
        if !(1..=200).contains(&label.len()) || label.chars().any(char::is_control) {
            return setting("the label must have 1 to 200 printable bytes".into());
        }
        if !(1..=MOST_USES).contains(&uses) {
            return setting(format!(
                "{uses} registrations are out of range; choose 1 to {MOST_USES}"
            ));
        }
        if !(1..=LONGEST_S).contains(&life_s) {
            return setting(format!(
                "it cannot live for {life_s} s; choose at most a year"
            ));
        }
        let made = Secret::new(format!("{PREFIX}{}", b64url(random::<32>())));
        let (hash, label, pen) = (hash(&made), label.to_owned(), self.pen());
        let ends_ms = pen
            .now_ms
            .saturating_add_unsigned(life_s.saturating_mul(1000));
        self.issuer()
            .db
            .write(move |tx| {
                tx.execute(
                    "DELETE FROM registration_tokens WHERE label = ?1",
                    values![&label],
                )?;
                tx.execute(
                    "INSERT INTO registration_tokens (hash, label, uses_left, expires_ms) VALUES (?1, ?2, ?3, ?4)",
                    values![&hash, &label, uses, ends_ms],
                )?;
                note(tx, &pen, "registration.token", &label)
            })
            .await?;
        Ok(made)
    }

    /// Ends a token; what was registered with it stays.
    ///
    /// # Errors
    /// When there is none of that label or the database fails.
    pub async fn end_registration_token(&self, label: &str) -> Result<(), IssuerError> {
        let (row, pen) = (label.to_owned(), self.pen());
        let ended = self
            .issuer()
            .db
            .write(move |tx| {
                let ended = tx.execute(
                    "DELETE FROM registration_tokens WHERE label = ?1",
                    values![&row],
                )?;
                if ended > 0 {
                    note(tx, &pen, "registration.ended", &row)?;
                }
                Ok(ended)
            })
            .await?;
        if ended == 0 {
            return Err(IssuerError::NotFound {
                kind: "registration token",
                name: label.to_owned(),
            });
        }
        Ok(())
    }
}
