//! The client registry, and how a client proves itself (RFC 6749 §2.3, RFC 7523).

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use http::{HeaderMap, header};
use percent_encoding::percent_decode_str;
use subtle::ConstantTimeEq;
use tenure_core::Secret;
use tenure_jose::{Rules, peek, verify};

use crate::admin::Admin;
use crate::audit::{Act, Pen};
use crate::changes::{Change, Kind};
use crate::client::{Client, ClientRegistration};
use crate::db::{Db, SqlResult, Tx, values};
use crate::error::{IssuerError, OAuthError};
use crate::families::{self, Which};
use crate::issuer::{Issuer, PROGRAM};
use crate::params::{Params, printable};
use crate::throttle::PER_ADDRESS;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// How far clocks may differ for a client's assertion, in seconds.
const LEEWAY_S: i64 = 60;
/// Assertions must not live longer than this, in seconds; their `jti` is remembered for so long.
const LONGEST_ASSERTION_S: i64 = 3_600;

/// A client as an administrator sees it.
#[derive(Clone, Debug)]
pub struct ClientInfo {
    /// Its registration, without its secret.
    pub registration: ClientRegistration,
    /// Whether it has a secret.
    pub has_secret: bool,
}

pub(crate) type Registry = HashMap<String, Arc<Client>>;

fn note(tx: &mut dyn Tx, pen: &Pen, action: &'static str, client: &str) -> SqlResult<()> {
    let act = Act {
        client: Some(client),
        ..Act::new(action)
    };
    pen.note(tx, &act)
}

fn insert(tx: &mut dyn Tx, id: &str, json: &str, mac: Option<&Vec<u8>>) -> SqlResult<()> {
    tx.execute(
        "INSERT INTO clients (id, registration, secret_mac) VALUES (?1, ?2, ?3) \
         ON CONFLICT (id) DO UPDATE SET registration = excluded.registration, secret_mac = excluded.secret_mac",
        values![id, json, mac],
    )?;
    Ok(())
}

pub(crate) async fn load(db: &Db) -> Result<Registry, IssuerError> {
    let rows: Vec<(String, String, Option<Vec<u8>>)> = db
        .read(|tx| {
            tx.query("SELECT id, registration, secret_mac FROM clients", &[])?
                .iter()
                .map(|row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .collect()
        })
        .await?;
    rows.into_iter()
        .map(|(id, json, mac)| {
            let registration: ClientRegistration = serde_json::from_str(&json).map_err(|error| IssuerError::Setting {
                name: "client",
                why: format!("`{id}` is stored in a form that cannot be read ({error}); register it again"),
            })?;
            Ok((id, Arc::new(Client::new(registration, mac))))
        })
        .collect()
}

impl Issuer {
    /// Registers a client, or brings the one of that id up to date: for the program that embeds the issuer.
    ///
    /// # Errors
    /// When the registration cannot work or the database fails.
    pub async fn ensure_client(&self, registration: ClientRegistration) -> Result<(), IssuerError> {
        self.admin(PROGRAM).ensure_client(registration).await
    }

    fn is_registered(&self, id: &str, json: &str, mac: Option<&[u8]>) -> bool {
        self.client(id).is_some_and(|client| {
            client.secret_mac.as_deref() == mac
                && serde_json::to_string(&client.registration).is_ok_and(|known| known == json)
        })
    }
}

impl Admin<'_> {
    /// Registers a client, or brings the one of that id up to date.
    ///
    /// # Errors
    /// When the registration cannot work or the database fails.
    pub async fn ensure_client(&self, registration: ClientRegistration) -> Result<(), IssuerError> {
        self.register(registration, "client.set").await
    }

    /// Registers a client that is new, in the transaction of `spend`; does nothing when that says no.
    pub(crate) async fn register_with(
        &self,
        registration: ClientRegistration,
        spend: impl Fn(&mut dyn Tx) -> SqlResult<bool> + Send + 'static,
    ) -> Result<bool, IssuerError> {
        let Some((held, mac, json)) = self.prepared(registration)? else {
            return Ok(true);
        };
        let (id, row_mac, pen) = (held.id.clone(), mac.clone(), self.pen());
        let done = self
            .issuer()
            .db
            .write(move |tx| {
                if !spend(tx)? {
                    return Ok(false);
                }
                insert(tx, &id, &json, row_mac.as_ref())?;
                note(tx, &pen, "client.registered", &id)?;
                Change::reload(Kind::Clients, pen.now_ms).append(tx)?;
                Ok(true)
            })
            .await?;
        if done {
            self.hold(held, mac);
        }
        Ok(done)
    }

    async fn register(
        &self,
        registration: ClientRegistration,
        action: &'static str,
    ) -> Result<(), IssuerError> {
        let Some((held, mac, json)) = self.prepared(registration)? else {
            return Ok(());
        };
        let (id, row_mac, pen) = (held.id.clone(), mac.clone(), self.pen());
        self.issuer()
            .db
            .write(move |tx| {
                insert(tx, &id, &json, row_mac.as_ref())?;
                note(tx, &pen, action, &id)?;
                Change::reload(Kind::Clients, pen.now_ms).append(tx)
            })
            .await?;
        self.hold(held, mac);
        Ok(())
    }

    /// What is stored and held of a registration; nothing where that is so already.
    #[expect(clippy::type_complexity, reason = "the three go on together at once")]
    fn prepared(
        &self,
        registration: ClientRegistration,
    ) -> Result<Option<(ClientRegistration, Option<Vec<u8>>, String)>, IssuerError> {
        registration.check()?;
        let id = registration.id.clone();
        let mac = registration.secret.as_ref().map(|secret| {
            self.issuer()
                .master
                .client_secret(&id, secret.expose())
                .to_vec()
        });
        let json = serde_json::to_string(&registration).map_err(|error| IssuerError::Setting {
            name: "client",
            why: error.to_string(),
        })?;
        if self.issuer().is_registered(&id, &json, mac.as_deref()) {
            // A program that starts says again what it said before.
            return Ok(None);
        }
        let held = ClientRegistration {
            secret: None,
            ..registration
        };
        Ok(Some((held, mac, json)))
    }

    /// What is held in memory must be what a restart would read.
    fn hold(&self, held: ClientRegistration, mac: Option<Vec<u8>>) {
        let mut clients = self
            .issuer()
            .clients
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        clients.insert(held.id.clone(), Arc::new(Client::new(held, mac)));
    }

    /// Gives a client that has a secret another one; the old one is refused from now on. Its sessions live on.
    ///
    /// # Errors
    /// When there is no such client, it has no secret, or the database fails.
    pub async fn set_client_secret(&self, id: &str, secret: Secret) -> Result<(), IssuerError> {
        let client = self.issuer().client(id).ok_or_else(|| no_client(id))?;
        if client.secret_mac.is_none() {
            return Err(IssuerError::Setting {
                name: "client secret",
                why: format!("the client `{id}` has none; register a new client that has one"),
            });
        }
        let registration = ClientRegistration {
            secret: Some(secret),
            ..client.registration.clone()
        };
        self.register(registration, "client.secret").await
    }

    /// Removes a client and ends every session made with it; returns how many were alive.
    ///
    /// # Errors
    /// When there is no such client or the database fails.
    pub async fn remove_client(&self, id: &str) -> Result<usize, IssuerError> {
        let issuer = self.issuer();
        let end = self.ending();
        let row = id.to_owned();
        let ended = issuer
            .db
            .write(move |tx| {
                let there = "SELECT id FROM clients WHERE id = ?1 FOR UPDATE";
                if !tx.any(there, values![&row])? {
                    return Ok(None);
                }
                // While it is known where it is told.
                let ended = families::revoke_in(tx, &Which::OfClient(row.clone()), &end)?;
                tx.execute("DELETE FROM clients WHERE id = ?1", values![&row])?;
                note(tx, &end.pen, "client.removed", &row)?;
                Change::reload(Kind::Clients, end.now_ms).append(tx)?;
                Ok(Some(ended))
            })
            .await?
            .ok_or_else(|| no_client(id))?;
        issuer.refuse_access_of(&ended);
        let mut clients = self
            .issuer()
            .clients
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        clients.remove(id);
        Ok(ended.len())
    }
}

impl Issuer {
    /// The ids of all clients.
    pub fn clients(&self) -> Vec<String> {
        let clients = self.clients.read().unwrap_or_else(PoisonError::into_inner);
        let mut ids: Vec<_> = clients.keys().cloned().collect();
        ids.sort();
        ids
    }

    /// All clients, by id.
    pub fn client_infos(&self) -> Vec<ClientInfo> {
        let clients = self.clients.read().unwrap_or_else(PoisonError::into_inner);
        let mut infos: Vec<_> = clients
            .values()
            .map(|client| ClientInfo {
                registration: client.registration.clone(),
                has_secret: client.secret_mac.is_some(),
            })
            .collect();
        infos.sort_by(|one, other| one.registration.id.cmp(&other.registration.id));
        infos
    }

    pub(crate) fn client(&self, id: &str) -> Option<Arc<Client>> {
        self.clients
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(id)
            .cloned()
    }

    /// Who the client of a request is, proven as its registration asks.
    pub(crate) async fn authenticate(
        &self,
        headers: &HeaderMap,
        params: &Params,
        address: Option<&str>,
    ) -> Result<Arc<Client>, OAuthError> {
        match offered(headers, params)? {
            Offered::Nothing(id) => {
                let client = self.known(&id)?;
                if client.is_confidential() {
                    return Err(OAuthError::invalid_client("This client must authenticate."));
                }
                Ok(client)
            }
            Offered::Secret(id, secret) => {
                let client = self.known(&id)?;
                let expected = client
                    .secret_mac
                    .as_deref()
                    .ok_or_else(|| OAuthError::invalid_client("This client has no secret."))?;
                if !bool::from(
                    self.master
                        .client_secret(&id, secret.expose())
                        .as_slice()
                        .ct_eq(expected),
                ) {
                    let key = format!("client {} {id}", address.unwrap_or_default());
                    self.throttle
                        .begin(&key, PER_ADDRESS, self.now())
                        .map_err(OAuthError::throttled)?;
                    return Err(OAuthError::invalid_client("The client secret is wrong."));
                }
                Ok(client)
            }
            Offered::Assertion(assertion) => self.asserted(&assertion).await,
        }
    }

    fn known(&self, id: &str) -> Result<Arc<Client>, OAuthError> {
        self.client(id).ok_or_else(|| {
            OAuthError::invalid_client(format!(
                "The client `{}` is not registered here.",
                printable(id)
            ))
        })
    }

    /// RFC 7523 §3: issuer and subject are the client, the audience is this server, used once.
    async fn asserted(&self, assertion: &Secret) -> Result<Arc<Client>, OAuthError> {
        let refused = |why: &str| {
            OAuthError::invalid_client(format!("The client assertion is not accepted: {why}."))
        };
        let claimed = peek(assertion.expose()).map_err(|_| refused("it is no JWT"))?;
        let client = self.known(claimed.iss().unwrap_or_default())?;
        let keys = client
            .keys
            .as_ref()
            .ok_or_else(|| refused("this client has no keys"))?;
        let now_s = self.now() / 1000;
        let rules = Rules {
            issuer: Some(client.id()),
            audience: None,
            typ: None,
            leeway_s: LEEWAY_S,
            now_s,
        };
        let proven = verify(assertion.expose(), keys, &rules)
            .map_err(|reason| refused(&printable(&reason.to_string())))?;
        let endpoint = self.url("/token");
        if !proven
            .aud()
            .iter()
            .any(|aud| *aud == endpoint || *aud == self.id())
        {
            return Err(refused("its audience is not this server"));
        }
        if proven.sub() != Some(client.id()) {
            return Err(refused("its subject is not its issuer"));
        }
        let exp = proven.exp().unwrap_or_default();
        if exp > now_s + LONGEST_ASSERTION_S {
            return Err(refused("it lives longer than an hour"));
        }
        let jti = proven.jti().ok_or_else(|| refused("it has no jti"))?;
        let id = format!("assertion {} {jti}", client.id());
        let until_ms = (exp + LEEWAY_S).saturating_mul(1000);
        if !self.first_sight(&id, until_ms).await? {
            return Err(refused("it was used before"));
        }
        Ok(client)
    }
}

fn no_client(id: &str) -> IssuerError {
    IssuerError::NotFound {
        kind: "client",
        name: id.to_owned(),
    }
}

enum Offered {
    Nothing(String),
    Secret(String, Secret),
    Assertion(Secret),
}

/// What the request offers as proof; more than one at a time is not allowed (RFC 6749 §2.3).
fn offered(headers: &HeaderMap, params: &Params) -> Result<Offered, OAuthError> {
    let basic = headers
        .get(header::AUTHORIZATION)
        .map(|value| basic(value.as_bytes()))
        .transpose()?;
    let secret = params.secret("client_secret");
    let assertion = params.secret("client_assertion");
    match (basic, secret, assertion) {
        (Some((id, secret)), None, None) => {
            if params.get("client_id").is_some_and(|other| other != id) {
                return Err(OAuthError::invalid_request(
                    "`client_id` and the Authorization header name different clients.",
                ));
            }
            Ok(Offered::Secret(id, secret))
        }
        (None, Some(secret), None) => Ok(Offered::Secret(
            params.need("client_id")?.to_owned(),
            secret.clone(),
        )),
        (None, None, Some(assertion)) => {
            if params.get("client_assertion_type") != Some(ASSERTION_TYPE) {
                return Err(OAuthError::invalid_client(format!(
                    "`client_assertion_type` must be {ASSERTION_TYPE}."
                )));
            }
            Ok(Offered::Assertion(assertion.clone()))
        }
        (None, None, None) => params
            .get("client_id")
            .map(|id| Offered::Nothing(id.to_owned()))
            .ok_or_else(|| OAuthError::invalid_client("The request names no client.")),
        _ => Err(OAuthError::invalid_request(
            "More than one way of client authentication is used.",
        )),
    }
}

/// RFC 6749 §2.3.1: id and secret are form-encoded, then joined and put into Basic.
fn basic(header: &[u8]) -> Result<(String, Secret), OAuthError> {
    let bad = || OAuthError::invalid_client("The Authorization header is no valid Basic header.");
    let (scheme, value) = std::str::from_utf8(header)
        .ok()
        .and_then(|text| text.split_once(' '))
        .ok_or_else(bad)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(bad());
    }
    let bytes = zeroize::Zeroizing::new(
        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, value.trim())
            .map_err(|_| bad())?,
    );
    let (id, secret) = std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| text.split_once(':'))
        .ok_or_else(bad)?;
    let decode = |text: &str| -> Result<String, OAuthError> {
        let spaced = text.replace('+', " ");
        Ok(percent_decode_str(&spaced)
            .decode_utf8()
            .map_err(|_| bad())?
            .into_owned())
    };
    Ok((decode(id)?, Secret::new(decode(secret)?)))
}
