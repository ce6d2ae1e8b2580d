//! Where a session's server listens, as a program says it. The same rules as for `tenure.toml`.

use tenure_diagnose::Profile;
use tenure_keeper::Endpoints;
use tenure_keeper::checks::{self, GivenUrls, Wrong};

/// URLs as the program gave them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given {
    pub(crate) issuer: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) login: Option<String>,
    pub(crate) authorization: Option<String>,
    pub(crate) device_authorization: Option<String>,
    pub(crate) revocation: Option<String>,
    pub(crate) introspection: Option<String>,
    pub(crate) validate: Option<String>,
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
            Some(text) => match checks::url(text, insecure) {
                Ok(url) => Ok(Some(url)),
                Err(wrong) => Err((key, wrong)),
            },
            None => Ok(None),
        };
        let urls = GivenUrls {
            issuer: read("issuer", &self.issuer)?.zip(self.issuer.clone()),
            token: read("token_endpoint", &self.token)?,
            login: read("login_endpoint", &self.login)?,
            authorization: read("authorization_endpoint", &self.authorization)?,
            device_authorization: read(
                "device_authorization_endpoint",
                &self.device_authorization,
            )?,
            revocation: read("revocation_endpoint", &self.revocation)?,
            introspection: read("introspection_endpoint", &self.introspection)?,
            validate: read("validate_endpoint", &self.validate)?,
            refresh_params: self.params.clone(),
        };
        urls.endpoints(profile).ok_or_else(|| {
            let wrong = Wrong::new(
                "nothing says where the server is",
                "give the issuer's URL, or `token_endpoint`",
            );
            ("issuer", wrong)
        })
    }
}
