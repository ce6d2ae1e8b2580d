//! Where each session's server listens: as configured, or read from its discovery document and kept a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tenure_core::{Class, Code, Failure, Heal, Mono, Who};
use tenure_diagnose::{Local, TokenFailure, classify_token};
use tenure_wire::Server;
use tenure_wire::discovery::{self, DiscoveryError, Metadata};
use url::Url;

use crate::clock;
use crate::config::{Endpoints, SessionConfig};
use crate::exchange::{Net, transport};

/// How long a discovery document is believed without a failure.
const KEEP_MS: u64 = 3_600_000;
const TIMEOUT: Duration = Duration::from_secs(10);

/// Endpoints by session name.
#[derive(Debug, Default)]
pub(crate) struct Servers(Mutex<HashMap<String, (Mono, Arc<Server>)>>);

impl Servers {
    /// The session's server, from memory or its discovery document.
    pub(crate) async fn resolve(
        &self,
        net: Net<'_>,
        config: &SessionConfig,
    ) -> Result<Arc<Server>, Failure> {
        let Endpoints::Discover { issuer, known } = &config.endpoints else {
            return Ok(Arc::new(config.endpoints.known().clone()));
        };
        let now = clock::mono();
        let kept = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&config.name)
            .cloned();
        if let Some((at, server)) = kept
            && now.since(at) < KEEP_MS
        {
            return Ok(server);
        }
        let metadata = discover(net, config, issuer).await?;
        let server = Arc::new(filled(known, &metadata));
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.insert(config.name.clone(), (now, Arc::clone(&server)));
        Ok(server)
    }

    /// Reads the document anew next time: its endpoint could not be reached.
    pub(crate) fn forget(&self, name: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
    }
}

/// What the configuration names stays; the rest comes from the document.
pub(crate) fn filled(known: &Server, metadata: &Metadata) -> Server {
    let found = metadata.server();
    Server {
        dialect: known.dialect.clone(),
        login_endpoint: known.login_endpoint.clone(),
        authorization_endpoint: known
            .authorization_endpoint
            .clone()
            .or(found.authorization_endpoint),
        device_authorization_endpoint: known
            .device_authorization_endpoint
            .clone()
            .or(found.device_authorization_endpoint),
        revocation_endpoint: known
            .revocation_endpoint
            .clone()
            .or(found.revocation_endpoint),
        introspection_endpoint: known
            .introspection_endpoint
            .clone()
            .or(found.introspection_endpoint),
        validate_endpoint: known.validate_endpoint.clone(),
        extra_refresh_params: known.extra_refresh_params.clone(),
        expires_in_default: known.expires_in_default,
        iss_in_redirect: found.iss_in_redirect,
        issuer: found.issuer,
        token_endpoint: found.token_endpoint,
    }
}

/// Fetches the issuer's metadata from the first place that has it. A host that does not answer, and a
/// document that names another issuer, end the search.
async fn discover(net: Net<'_>, config: &SessionConfig, issuer: &Url) -> Result<Metadata, Failure> {
    let mut last = None;
    for url in discovery::urls(issuer) {
        let request = discovery::get(&url).map_err(|error| failed(issuer, &error.to_string()))?;
        let response = net.send(request, TIMEOUT).await.map_err(|fault| {
            let local = Local {
                session: config.name.clone(),
                ..Local::default()
            };
            let verdict = classify_token(
                &config.profile,
                TokenFailure::Transport(&transport(&fault)),
                &local,
            );
            failed(issuer, "its server did not answer").because(verdict.failure().clone())
        })?;
        // The identifier is compared as it is written in the configuration; a URL type adds the last slash.
        let expected = config
            .endpoints
            .known()
            .issuer
            .clone()
            .unwrap_or_else(|| issuer.to_string());
        match discovery::parse(&response, &expected) {
            Ok(metadata) => return Ok(metadata),
            Err(error @ DiscoveryError::IssuerMismatch { .. }) => {
                return Err(mismatch(&url, &error));
            }
            Err(error) => {
                last.get_or_insert(format!("{url}: {error}"));
            }
        }
    }
    Err(failed(issuer, &last.unwrap_or_default()))
}

fn failed(issuer: &Url, why: &str) -> Failure {
    Failure::new(
        Code::WebsiteUnavailable,
        Class::ServerUnavailable,
        "discovery_failed",
        Heal::RetryLater,
        Who::Tenure,
        format!("the metadata of {issuer} could not be read: {why}"),
    )
    .with_rule("keeper.discovery")
}

fn mismatch(url: &Url, error: &DiscoveryError) -> Failure {
    Failure::new(
        Code::WrongServer,
        Class::WrongIssuer,
        "issuer_mismatch",
        Heal::FixConfig,
        Who::Operator,
        format!("{url}: {error}"),
    )
    .with_rule("keeper.discovery")
}
