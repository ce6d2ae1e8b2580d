//! The part of cargo-deny's `deny.toml` that is checked here.

use std::path::Path;

use serde::Deserialize;

#[derive(Deserialize)]
pub(super) struct Policy {
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

/// A crate nobody may depend on, except the `wrappers`.
#[derive(Deserialize)]
pub(super) struct Ban {
    #[serde(rename = "crate")]
    name: String,
    #[serde(default)]
    pub(super) wrappers: Vec<String>,
    pub(super) reason: String,
}

#[derive(Deserialize)]
struct Sources {
    #[serde(rename = "allow-registry")]
    allow_registry: Vec<String>,
}

impl Policy {
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        Self::parse(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    pub(super) fn allows(&self, licence: &str) -> bool {
        self.licenses.allow.iter().any(|allowed| allowed == licence)
    }

    /// `source` as cargo writes it: `registry+https://…`, `git+https://…`.
    pub(super) fn knows_source(&self, source: &str) -> bool {
        source
            .strip_prefix("registry+")
            .is_some_and(|url| self.sources.allow_registry.iter().any(|known| known == url))
    }

    pub(super) fn ban(&self, name: &str) -> Option<&Ban> {
        self.bans.deny.iter().find(|ban| ban.name == name)
    }
}
