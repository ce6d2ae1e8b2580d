//! Where a session's server listens: what the program says, then the profile's templates, then discovery.
//! The same rules as for `tenure.toml`.

use std::net::IpAddr;

use tenure_diagnose::Profile;
use tenure_keeper::Endpoints;
use tenure_wire::Server;
use url::{Host, Url};

/// What is wrong with a value, and what to do.
pub(crate) struct Wrong {
    pub(crate) problem: String,
    pub(crate) fix: String,
}

impl Wrong {
    pub(crate) fn new(problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            fix: fix.into(),
        }
    }
}

/// URLs as the program gave them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given {
    pub(crate) issuer: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) login: Option<String>,
    pub(crate) authorization: Option<String>,
    pub(crate) device_authorization: Option<String>,
    pub(crate) revocation: Option<String>,
    pub(crate) params: Vec<(String, String)>,
}

impl Given {
    /// All of them together. The error names the key.
    pub(crate) fn endpoints(
        &self,
        profile: &Profile,
        insecure: bool,
    ) -> Result<Endpoints, (&'static str, Wrong)> {
        let read = |key: &'static str, text: &Option<String>| match text {
            Some(text) => url(text, insecure).map(Some).map_err(|wrong| (key, wrong)),
            None => Ok(None),
        };
        let issuer = read("issuer", &self.issuer)?;
        let given = read("token_endpoint", &self.token)?;
        let discover = profile.discovery && given.is_none();
        let from = |template: &Option<String>| {
            let template = template.as_deref()?;
            profile.resolve(template, issuer.as_ref(), None)
        };
        // With a discovery document, templates would hide what it says.
        let unless_found =
            |template: &Option<String>| (!discover).then(|| from(template)).flatten();
        let templates = &profile.endpoints;
        let token = given.or_else(|| from(&templates.token));
        // The document will name the endpoint; until then nothing is sent.
        let token = token.or_else(|| issuer.clone().filter(|_| discover));
        let mut server = Server::new(profile.wire_dialect(), token.ok_or_else(nowhere)?);
        server.issuer = issuer
            .as_ref()
            .map(|issuer| issuer.as_str().trim_end_matches('/').to_owned());
        server.login_endpoint =
            read("login_endpoint", &self.login)?.or_else(|| from(&templates.login));
        server.authorization_endpoint = read("authorization_endpoint", &self.authorization)?
            .or_else(|| unless_found(&templates.authorization));
        server.device_authorization_endpoint =
            read("device_authorization_endpoint", &self.device_authorization)?
                .or_else(|| unless_found(&templates.device_authorization));
        server.revocation_endpoint = read("revocation_endpoint", &self.revocation)?
            .or_else(|| unless_found(&templates.revocation));
        server.introspection_endpoint = unless_found(&templates.introspection);
        server.validate_endpoint = unless_found(&templates.validate);
        server.extra_refresh_params.clone_from(&self.params);
        server.expires_in_default = profile
            .lifetimes
            .access_s
            .and_then(|seconds| i64::try_from(seconds).ok());
        let known = Box::new(server);
        Ok(match issuer {
            Some(issuer) if discover => Endpoints::Discover { issuer, known },
            _ => Endpoints::Known(known),
        })
    }
}

fn nowhere() -> (&'static str, Wrong) {
    let wrong = Wrong::new(
        "nothing says where the server is",
        "give the issuer's URL, or `token_endpoint`",
    );
    ("issuer", wrong)
}

/// An absolute http or https URL with a host. Plain http only to loopback, or with `insecure`.
pub(crate) fn url(text: &str, insecure: bool) -> Result<Url, Wrong> {
    let url = Url::parse(text).map_err(|error| {
        Wrong::new(
            format!("{text:?} is no URL: {error}"),
            "give an absolute URL, for example \"https://shop.example\"",
        )
    })?;
    if !matches!(url.scheme(), "https" | "http") {
        let problem = format!("{text:?} is neither https nor http");
        return Err(Wrong::new(problem, "give an https URL"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        // The text itself is not repeated: it holds a password.
        return Err(Wrong::new(
            "a URL must not carry a user name or password",
            "take them out of it; a login or `client_secret` is the place for them",
        ));
    }
    if url.fragment().is_some() {
        let problem = format!("{text:?} has a fragment");
        return Err(Wrong::new(problem, "remove everything from `#` on"));
    }
    if url.scheme() == "http" && !insecure && !is_loopback(&url) {
        return Err(Wrong::new(
            format!("{text:?} would carry tokens over plain http"),
            "use https, or call `insecure` if the network between is yours",
        ));
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::from(ip).to_canonical().is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}
