//! `[sessions.S]`: one session, checked against its provider's profile. Secrets are read by [`Spec::build`].

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tenure_core::session::Keep;
use tenure_core::{Class, Code, Failure, Heal, Secret, Who};
use tenure_diagnose::Profile;
use tenure_diagnose::name::nearest;
use tenure_diagnose::profile::Flow;
use tenure_gateway::RouteOptions;
use tenure_jose::{Alg, SigningKey};
use tenure_keeper::{Endpoints, SessionConfig, Timing};
use tenure_wire::{Client, ClientAuth, Dialect, Server};
use url::Url;

use super::origin::{Origin, Sourced};
use super::reader::Table;
use super::secret::SecretSource;
use super::timing;
use super::value::{self, Wrong};
use crate::error::Problem;

/// The profile of a session that names none.
const DEFAULT_PROVIDER: &str = "oauth2";

/// A session as written, without its secrets.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Its name.
    pub name: String,
    /// Where it is written.
    pub origin: Origin,
    /// Everything the keeper needs but the secrets.
    pub config: SessionConfig,
    /// What the gateway passes on that it otherwise withholds.
    pub route: RouteOptions,
    /// How a person logs in, when `flow` says.
    pub flow: Option<Flow>,
    /// The client's secret.
    pub client_secret: Option<Sourced<SecretSource>>,
    /// The key that signs client assertions, PKCS#8 in PEM.
    pub client_key: Option<KeySpec>,
}

/// A client's key.
#[derive(Clone, Debug)]
pub struct KeySpec {
    /// Where the PEM text is.
    pub source: Sourced<SecretSource>,
    /// Its algorithm.
    pub alg: Alg,
    /// Its `kid`.
    pub id: String,
}

impl Spec {
    /// The session with its secrets read.
    pub fn build(&self) -> Result<SessionConfig, Problem> {
        let mut config = self.config.clone();
        if let Some(source) = &self.client_secret {
            config.client.secret = Some(self.secret("client_secret", source)?);
        }
        if let Some(key) = &self.client_key {
            let pem = self.secret("client_key", &key.source)?;
            let parsed = SigningKey::from_pem(key.alg, &key.id, pem.expose()).map_err(|error| {
                Problem::new(format!("session {}: `client_key` is no {} key: {error}", self.name, key.alg.as_str()))
                    .at(&key.source.origin)
                    .fix("give a private key in PKCS#8 PEM form (`-----BEGIN PRIVATE KEY-----`) and its `client_key_alg`")
            })?;
            config.client.key = Some(Arc::new(parsed));
        }
        Ok(config)
    }

    /// The session with its secrets, or without and blocked by the one that cannot be read.
    pub fn build_or_block(&self) -> SessionConfig {
        self.build().unwrap_or_else(|problem| SessionConfig {
            blocked: Some(Box::new(unreadable(&problem))),
            ..self.config.clone()
        })
    }

    fn secret(&self, key: &str, source: &Sourced<SecretSource>) -> Result<Secret, Problem> {
        source.value.read().map_err(|wrong| {
            Problem::new(format!("session {}: `{key}`: {}", self.name, wrong.what))
                .at(&source.origin)
                .fix(wrong.fix)
        })
    }
}

/// What a secret that cannot be read makes of its session. The detail names file, line and key.
pub fn unreadable(problem: &Problem) -> Failure {
    let place = problem
        .place
        .as_ref()
        .map_or_else(String::new, |place| format!("{place}: "));
    let fix = problem.fix.as_ref().map_or_else(String::new, |fix| {
        format!("; {fix}, then start tenure again")
    });
    Failure::new(
        Code::ClientRejected,
        Class::ClientInvalid,
        "secret_unreadable",
        Heal::FixConfig,
        Who::Operator,
        format!("{place}{}{fix}", problem.what),
    )
    .with_rule("config.secret")
}

/// The profiles a session may name: the user's own first, then the shipped ones.
#[derive(Clone, Debug, Default)]
pub struct Profiles {
    /// The user's own, by name.
    pub own: BTreeMap<String, Arc<Profile>>,
}

impl Profiles {
    /// The profile with this name.
    pub fn find(&self, name: &str) -> Result<Arc<Profile>, Wrong> {
        if let Some(own) = self.own.get(name) {
            return Ok(Arc::clone(own));
        }
        if let Some(shipped) = tenure_diagnose::profile(name) {
            return Ok(Arc::new(shipped.clone()));
        }
        let names: Vec<&str> = self
            .own
            .keys()
            .map(String::as_str)
            .chain(tenure_diagnose::profile_names())
            .collect();
        let fix = match nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"? Known: {}", names.join(", ")),
            None => format!(
                "known: {}; or describe the server in profiles/{name}.toml beside the configuration",
                names.join(", ")
            ),
        };
        Err(Wrong::new(format!("no provider is called {name:?}"), fix))
    }
}

/// What a session's table is read with.
pub struct Context<'a> {
    /// Profiles to choose from.
    pub profiles: &'a Profiles,
    /// Timing without the session's own.
    pub timing: &'a Timing,
    /// The directory paths are relative to.
    pub beside: &'a Path,
}

/// Reads one `[sessions.S]`. `None` when it cannot be used; the problems are noted.
pub fn read(name: &str, table: Table<'_>, context: &Context<'_>) -> Option<Spec> {
    let origin = table.origin();
    let named = value::session_name(name)
        .map_err(|wrong| table.wrong(wrong.what, wrong.fix))
        .is_ok();
    let provider = table
        .string("provider")
        .map_or_else(|| DEFAULT_PROVIDER.to_owned(), |provider| provider.value);
    let profile = context
        .profiles
        .find(&provider)
        .map_err(|wrong| table.wrong_at("provider", wrong))
        .ok();
    let insecure = table.boolean("insecure").unwrap_or(false);
    let urls = Urls::read(&table, insecure);
    let upstream = upstream(name, &table, insecure);
    let keep = table
        .parsed("keep", keep)
        .map_or(Keep::Warm, |keep| keep.value);
    let scopes = table.strings("scopes").unwrap_or_default();
    let flow = table.parsed("flow", flow).map(|flow| flow.value);
    let params = table
        .table("refresh_params")
        .map(|params| params.texts())
        .unwrap_or_default();
    let own_timing = table.table("timing").map_or_else(
        || context.timing.clone(),
        |own| timing::read(own, context.timing),
    );
    let route = RouteOptions {
        keep_authorization: table.boolean("keep_authorization").unwrap_or(false),
        keep_cookies: table.boolean("keep_cookies").unwrap_or(false),
    };
    let keys = ClientKeys::read(&table, context.beside);
    let spec = profile.filter(|_| named).and_then(|profile| {
        let client = keys.client(name, &table, &profile)?;
        let endpoints = urls.endpoints(name, &table, &profile, params)?;
        let config = SessionConfig {
            name: name.to_owned(),
            profile,
            endpoints,
            client,
            scopes,
            upstream,
            keep,
            client_credentials: flow == Some(Flow::ClientCredentials),
            timing: own_timing,
            blocked: None,
        };
        Some(Spec {
            name: name.to_owned(),
            origin,
            config,
            route,
            flow,
            client_secret: keys.secret,
            client_key: keys.key,
        })
    });
    table.finish(|key| {
        timing::KEYS
            .contains(&key)
            .then(|| format!("`{key}` belongs in [sessions.{name}.timing]"))
    });
    spec
}

/// Where the token goes. Must be said: "none" is `None`, and so is what is wrong and was noted.
fn upstream(name: &str, table: &Table<'_>, insecure: bool) -> Option<Url> {
    if table.get("upstream").is_none() {
        table.wrong(
            format!("session {name} has no `upstream`"),
            "add upstream = \"https://…\", the API the token is for: it is sent there and nowhere else; \
             or \"none\" if the gateway is not to carry requests of this session",
        );
        return None;
    }
    table
        .parsed("upstream", |text| {
            if text == "none" {
                Ok(None)
            } else {
                value::url(text, insecure).map(Some)
            }
        })
        .and_then(|url| url.value)
}

fn keep(text: &str) -> Result<Keep, Wrong> {
    match text {
        "warm" => Ok(Keep::Warm),
        "lazy" => Ok(Keep::Lazy),
        _ => Err(Wrong::new(
            format!("{text:?} is no way to keep a session"),
            "write \"warm\" (refreshed when due, traffic or none) or \"lazy\" (only when a token is wanted)",
        )),
    }
}

fn flow(text: &str) -> Result<Flow, Wrong> {
    const FLOWS: [(&str, Flow); 5] = [
        ("code", Flow::Code),
        ("device", Flow::Device),
        ("password", Flow::Password),
        ("client_credentials", Flow::ClientCredentials),
        ("browser_tokens", Flow::BrowserTokens),
    ];
    FLOWS
        .iter()
        .find(|(name, _)| *name == text)
        .map(|(_, flow)| *flow)
        .ok_or_else(|| {
            let known: Vec<_> = FLOWS.iter().map(|(name, _)| *name).collect();
            let fix = nearest(text, known.iter().copied()).map_or_else(
                || format!("known: {}", known.join(", ")),
                |near| format!("did you mean \"{near}\"?"),
            );
            Wrong::new(format!("{text:?} is no way to log in"), fix)
        })
}

/// The URLs of a session's server.
struct Urls {
    /// The issuer and its text as written: a slash at the end more or less is another issuer.
    issuer: Option<(Url, String)>,
    token: Option<Url>,
    login: Option<Url>,
    authorization: Option<Url>,
    device_authorization: Option<Url>,
    revocation: Option<Url>,
    introspection: Option<Url>,
    validate: Option<Url>,
}

impl Urls {
    fn read(table: &Table<'_>, insecure: bool) -> Self {
        let url = |key| {
            table
                .parsed(key, |text| value::url(text, insecure))
                .map(|url| url.value)
        };
        let issuer = table.parsed("issuer", |text| {
            Ok((value::url(text, insecure)?, text.to_owned()))
        });
        Self {
            issuer: issuer.map(|issuer| issuer.value),
            token: url("token_endpoint"),
            login: url("login_endpoint"),
            authorization: url("authorization_endpoint"),
            device_authorization: url("device_authorization_endpoint"),
            revocation: url("revocation_endpoint"),
            introspection: url("introspection_endpoint"),
            validate: url("validate_endpoint"),
        }
    }

    /// What is configured, then what the profile's templates give; the rest is left to discovery.
    fn endpoints(
        self,
        name: &str,
        table: &Table<'_>,
        profile: &Profile,
        params: Vec<(String, String)>,
    ) -> Option<Endpoints> {
        let templates = &profile.endpoints;
        let (issuer, issuer_text) = self.issuer.unzip();
        let issuer = issuer.as_ref();
        let from = |template: &Option<String>| {
            template
                .as_deref()
                .and_then(|template| profile.resolve(template, issuer, None))
        };
        let discover = profile.discovery && self.token.is_none() && issuer.is_some();
        let token = self.token.or_else(|| from(&templates.token));
        let token_endpoint = match (token, issuer) {
            (Some(url), _) => url,
            // The document will name it; until then nothing is sent.
            (None, Some(issuer)) if discover => issuer.clone(),
            _ => {
                // A URL that was given and is wrong has been reported already.
                if table.get("issuer").is_none() && table.get("token_endpoint").is_none() {
                    table.wrong(
                        format!("session {name} does not say where its server is"),
                        "add issuer = \"https://…\", or token_endpoint = \"https://…\"",
                    );
                }
                return None;
            }
        };
        let mut server = Server::new(profile.wire_dialect(), token_endpoint);
        server.issuer = issuer_text;
        // With a discovery document, templates would hide what it says.
        let template = |template: &Option<String>| if discover { None } else { from(template) };
        server.login_endpoint = self.login.or_else(|| from(&templates.login));
        server.authorization_endpoint = self
            .authorization
            .or_else(|| template(&templates.authorization));
        server.device_authorization_endpoint = self
            .device_authorization
            .or_else(|| template(&templates.device_authorization));
        server.revocation_endpoint = self.revocation.or_else(|| template(&templates.revocation));
        server.introspection_endpoint = self
            .introspection
            .or_else(|| template(&templates.introspection));
        server.validate_endpoint = self.validate.or_else(|| template(&templates.validate));
        server.extra_refresh_params = params;
        server.expires_in_default = profile
            .lifetimes
            .access_s
            .and_then(|seconds| i64::try_from(seconds).ok());
        Some(match issuer {
            Some(issuer) if discover => Endpoints::Discover {
                issuer: issuer.clone(),
                known: Box::new(server),
            },
            _ => Endpoints::Known(Box::new(server)),
        })
    }
}

/// Who the client is and what it proves that with.
struct ClientKeys {
    id: Option<String>,
    auth: Option<ClientAuth>,
    secret: Option<Sourced<SecretSource>>,
    key: Option<KeySpec>,
}

impl ClientKeys {
    fn read(table: &Table<'_>, beside: &Path) -> Self {
        let sourced = |key| {
            SecretSource::from_table(table, key, beside)
                .map(|source| Sourced::new(source, table.origin_of(key)))
        };
        let secret = sourced("client_secret");
        let alg = table
            .parsed("client_key_alg", alg)
            .map_or(Alg::Es256, |alg| alg.value);
        let id = table
            .string("client_key_id")
            .map(|id| id.value)
            .unwrap_or_default();
        let key = sourced("client_key").map(|source| KeySpec { source, alg, id });
        Self {
            id: table.string("client_id").map(|id| id.value),
            auth: table.parsed("client_auth", auth).map(|auth| auth.value),
            secret,
            key,
        }
    }

    /// The client without its secrets, when what is given fits together.
    fn client(&self, name: &str, table: &Table<'_>, profile: &Profile) -> Option<Client> {
        let dialect = profile.wire_dialect();
        if self.id.is_none() && dialect == Dialect::OAuth2 {
            if table.get("client_id").is_none() {
                table.wrong(
                    format!("session {name} has no `client_id`"),
                    "add client_id = \"…\", the name this client is registered under at the server",
                );
            }
            return None;
        }
        let auth = self.auth.unwrap_or_else(|| self.default_auth(profile));
        let missing = match auth {
            ClientAuth::Basic | ClientAuth::Post if self.secret.is_none() => {
                Some(("client_secret", "{ env = \"NAME\" }"))
            }
            ClientAuth::PrivateKeyJwt if self.key.is_none() => {
                Some(("client_key", "{ file = \"client.pem\" }"))
            }
            _ => None,
        };
        if let Some((key, example)) = missing {
            // One that was given and is wrong has been reported already.
            if table.get(key).is_none() {
                table.wrong_at(
                    "client_auth",
                    Wrong::new(
                        format!("\"{}\" needs a `{key}`", auth.as_str()),
                        format!(
                            "add {key} = {example}, or client_auth = \"none\" for a public client"
                        ),
                    ),
                );
            }
            return None;
        }
        Some(Client {
            id: self.id.clone().unwrap_or_default(),
            secret: None,
            key: None,
            auth,
        })
    }

    /// The profile's first method for which there is what it takes.
    fn default_auth(&self, profile: &Profile) -> ClientAuth {
        let possible = |auth: &ClientAuth| match auth {
            ClientAuth::None => self.secret.is_none() && self.key.is_none(),
            ClientAuth::Basic | ClientAuth::Post => self.secret.is_some(),
            ClientAuth::PrivateKeyJwt => self.key.is_some(),
        };
        profile
            .client_auth
            .iter()
            .map(|method| ClientAuth::from(*method))
            .find(possible)
            .unwrap_or(ClientAuth::None)
    }
}

fn auth(text: &str) -> Result<ClientAuth, Wrong> {
    ClientAuth::parse(text).ok_or_else(|| {
        Wrong::new(
            format!("{text:?} is no client authentication"),
            "write \"basic\", \"post\", \"private_key_jwt\" or \"none\"",
        )
    })
}

fn alg(text: &str) -> Result<Alg, Wrong> {
    Alg::parse(text)
        .filter(|alg| *alg != Alg::Hs256)
        .ok_or_else(|| {
            Wrong::new(
                format!("{text:?} is no algorithm for a private key"),
                "write \"ES256\", \"ES384\", \"EdDSA\", \"RS256\" or \"PS256\"",
            )
        })
}
