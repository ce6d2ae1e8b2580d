//! `[sessions.S]`: one session, checked against its provider's profile. Secrets are read by [`Spec::build`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use tenure_core::session::Keep;
use tenure_core::{Class, Code, Failure, Heal, Secret, Who};
use tenure_diagnose::Profile;
use tenure_diagnose::name::nearest;
use tenure_diagnose::profile::Flow;
use tenure_gateway::RouteOptions;
use tenure_http::{Trust, TrustError};
use tenure_jose::{Alg, SigningKey};
use tenure_keeper::checks::{self, GivenUrls, MissingProof, Proofs};
use tenure_keeper::{Endpoints, SessionConfig, Timing};
use tenure_wire::{Client, ClientAuth};
use url::Url;

use super::origin::{Origin, Sourced};
use super::reader::Table;
use super::secret::SecretSource;
use super::timing;
use super::value::Wrong;
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
        self.build_or_say().0
    }

    /// The same, with what is wrong with the secret in the words of a command.
    pub fn build_or_say(&self) -> (SessionConfig, Option<Problem>) {
        match self.build() {
            Ok(config) => (config, None),
            Err(problem) => {
                let blocked = Some(Box::new(unreadable(&problem)));
                let config = SessionConfig {
                    blocked,
                    ..self.config.clone()
                };
                (config, Some(problem))
            }
        }
    }

    fn secret(&self, key: &str, source: &Sourced<SecretSource>) -> Result<Secret, Problem> {
        source.value.read().map_err(|wrong| {
            Problem::new(format!("session {}: `{key}`: {}", self.name, wrong.what))
                .at(&source.origin)
                .fix(wrong.fix)
        })
    }
}

/// The cause of that failure: nothing was refused, for nothing was sent.
pub const SECRET_UNREADABLE: &str = "secret_unreadable";

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
        SECRET_UNREADABLE,
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
    /// Names of files that hold no profile; what is wrong with them is told by itself.
    pub broken: BTreeSet<String>,
}

impl Profiles {
    /// The profile with this name.
    pub fn find(&self, name: &str) -> Result<Arc<Profile>, Wrong> {
        let elsewhere =
            format!("describe the server in profiles/{name}.toml beside the configuration");
        checks::profile(name, &self.own, &elsewhere)
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
    let named = checks::session_name(name)
        .map_err(|wrong| table.wrong(wrong.what, wrong.fix))
        .is_ok();
    let provider = table
        .string("provider")
        .map_or_else(|| DEFAULT_PROVIDER.to_owned(), |provider| provider.value);
    let profile = match context.profiles.find(&provider) {
        _ if context.profiles.broken.contains(&provider) => None,
        Ok(profile) => Some(profile),
        Err(wrong) => {
            table.wrong_at("provider", wrong);
            None
        }
    };
    let insecure = table.boolean("insecure").unwrap_or(false);
    let urls = urls(&table, insecure);
    let upstream = upstream(name, &table, insecure);
    let keep = table
        .parsed("keep", keep)
        .map_or(Keep::Warm, |keep| keep.value);
    let scopes = table.strings("scopes").unwrap_or_default();
    let flow = table.parsed("flow", flow).map(|flow| flow.value);
    let own_timing = table.table("timing").map_or_else(
        || context.timing.clone(),
        |own| timing::read(own, context.timing),
    );
    let route = RouteOptions {
        keep_authorization: table.boolean("keep_authorization").unwrap_or(false),
        keep_cookies: table.boolean("keep_cookies").unwrap_or(false),
    };
    let trust = table
        .parsed("ca_file", |text| trust(&context.beside.join(text)))
        .map(|trust| trust.value);
    let keys = ClientKeys::read(&table, context.beside);
    let spec = profile.filter(|_| named).and_then(|profile| {
        let client = keys.client(name, &table, &profile)?;
        let endpoints = endpoints(name, &table, urls, &profile)?;
        let config = SessionConfig {
            name: name.to_owned(),
            profile,
            endpoints,
            client,
            scopes,
            upstream,
            keep,
            trust,
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
                checks::url(text, insecure).map(Some)
            }
        })
        .and_then(|url| url.value)
}

/// The certificates of a private CA. They are no secret, so they are read with the configuration.
fn trust(path: &Path) -> Result<Trust, Wrong> {
    let shown = path.display();
    let pem = std::fs::read(path).map_err(|error| {
        Wrong::new(
            format!("cannot read file {shown}: {error}"),
            "name a file that exists and that the user tenure runs as may read",
        )
    })?;
    Trust::with_pem(&pem).map_err(|error| match error {
        TrustError::Setup(error) => Wrong::new(
            error.to_string(),
            "the certificates of the file come on top of the system's",
        ),
        error => Wrong::new(
            format!("file {shown}: {error}"),
            "give the CA's certificate in PEM form (`-----BEGIN CERTIFICATE-----`), not the server's own and no key",
        ),
    })
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

/// The URLs of a session's server. One that is wrong is noted and left out.
fn urls(table: &Table<'_>, insecure: bool) -> GivenUrls {
    let url = |key| {
        table
            .parsed(key, |text| checks::url(text, insecure))
            .map(|url| url.value)
    };
    let issuer = table.parsed("issuer", |text| {
        Ok((checks::url(text, insecure)?, text.to_owned()))
    });
    GivenUrls {
        issuer: issuer.map(|issuer| issuer.value),
        token: url("token_endpoint"),
        login: url("login_endpoint"),
        authorization: url("authorization_endpoint"),
        device_authorization: url("device_authorization_endpoint"),
        revocation: url("revocation_endpoint"),
        introspection: url("introspection_endpoint"),
        validate: url("validate_endpoint"),
        refresh_params: table
            .table("refresh_params")
            .map(|params| params.texts())
            .unwrap_or_default(),
    }
}

fn endpoints(
    name: &str,
    table: &Table<'_>,
    urls: GivenUrls,
    profile: &Profile,
) -> Option<Endpoints> {
    let issuer_is_good = urls.issuer.is_some();
    let endpoints = urls.endpoints(profile);
    // A URL that was given and is wrong has been reported already.
    if endpoints.is_some() || table.get("token_endpoint").is_some() {
        return endpoints;
    }
    if issuer_is_good {
        let what = format!(
            "session {name}: the provider {:?} does not say where its servers renew tokens",
            profile.name
        );
        table.wrong(what, "add token_endpoint = \"https://…\"");
    } else if table.get("issuer").is_none() {
        table.wrong(
            format!("session {name} does not say where its server is"),
            "add issuer = \"https://…\", or token_endpoint = \"https://…\"",
        );
    }
    None
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
        if self.id.is_none() && checks::needs_client_id(profile) {
            if table.get("client_id").is_none() {
                table.wrong(
                    format!("session {name} has no `client_id`"),
                    "add client_id = \"…\", the name this client is registered under at the server",
                );
            }
            return None;
        }
        let has = Proofs {
            secret: self.secret.is_some(),
            key: self.key.is_some(),
        };
        let auth = match checks::client_auth(profile, self.auth, has) {
            Ok(auth) => auth,
            Err(MissingProof { auth, key }) => {
                // One that was given and is wrong has been reported already.
                if table.get(key).is_none() {
                    table.wrong_at("client_auth", needs(auth, key));
                }
                return None;
            }
        };
        let idle = [("client_secret", has.secret), ("client_key", has.key)];
        if let (Some(ClientAuth::None), Some((key, _))) =
            (self.auth, idle.iter().find(|(_, given)| *given))
        {
            table.wrong_at("client_auth", contradicts(key));
            return None;
        }
        Some(Client {
            id: self.id.clone().unwrap_or_default(),
            secret: None,
            key: None,
            auth,
        })
    }
}

fn needs(auth: ClientAuth, key: &'static str) -> Wrong {
    let example = if key == "client_key" {
        "{ file = \"client.pem\" }"
    } else {
        "{ env = \"NAME\" }"
    };
    Wrong::new(
        format!("\"{}\" needs a `{key}`", auth.as_str()),
        format!("add {key} = {example}, or client_auth = \"none\" for a public client"),
    )
}

/// A public client and a proof: one of them is a slip, and which is not ours to guess.
fn contradicts(key: &str) -> Wrong {
    let method = if key == "client_key" {
        "\"private_key_jwt\""
    } else {
        "\"basic\" or \"post\""
    };
    Wrong::new(
        format!(
            "\"none\" is for a client without a secret, and a `{key}` is set, which would never be sent"
        ),
        format!("remove `{key}`, or write client_auth = {method}"),
    )
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
