//! The packages of the lock file, as cargo describes them.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

#[derive(Clone)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    /// The SPDX expression.
    pub(super) licence: Option<String>,
    /// `None` for the workspace's own.
    pub(super) source: Option<String>,
    /// Names of the packages it asks for.
    pub(super) uses: Vec<String>,
    /// Built on some platform with some feature. The lock file also holds packages that no build can reach.
    pub(super) built: bool,
}

impl std::fmt::Display for Package {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

pub(super) struct Packages(Vec<Package>);

impl Packages {
    pub(super) fn read(root: &Path) -> Result<Self, String> {
        let text = cargo(root, &["metadata", "--format-version=1", "--all-features"])?;
        let metadata: Metadata = serde_json::from_str(&text)
            .map_err(|error| format!("the answer of `cargo metadata` cannot be read: {error}"))?;
        let built = built(root)?;
        let list = metadata
            .packages
            .into_iter()
            .map(|raw| raw.into_package(&built));
        Ok(Self::from_list(list.collect()))
    }

    pub(super) fn from_list(mut list: Vec<Package>) -> Self {
        list.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
        Self(list)
    }

    /// Packages from outside the workspace.
    pub(super) fn others(&self) -> impl Iterator<Item = &Package> {
        self.0.iter().filter(|package| package.source.is_some())
    }

    /// The workspace's own packages.
    pub(super) fn own(&self) -> impl Iterator<Item = &Package> {
        self.0.iter().filter(|package| package.source.is_none())
    }

    /// Names of the built packages that ask for `name`, in order.
    pub(super) fn users(&self, name: &str) -> Vec<String> {
        let users = self
            .0
            .iter()
            .filter(|user| user.built && user.uses.iter().any(|n| n == name));
        users.map(|user| user.name.clone()).collect()
    }
}

/// What can be built on any platform, as `name version`. `cargo metadata` cannot tell: it counts optional
/// dependencies that only a `crate?/feature` mentions.
fn built(root: &Path) -> Result<BTreeSet<String>, String> {
    let format = ["tree", "--prefix=none", "--format={p}"];
    let scope = [
        "--workspace",
        "--all-features",
        "--target=all",
        "--edges=normal,build,dev",
    ];
    let text = cargo(root, &[&format[..], &scope[..]].concat())?;
    Ok(text.lines().filter_map(name_and_version).collect())
}

/// `serde v1.0.229 (proc-macro)`: the first two words, without the `v`.
fn name_and_version(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let (name, version) = (words.next()?, words.next()?);
    Some(format!("{name} {}", version.strip_prefix('v')?))
}

fn cargo(root: &Path, args: &[&str]) -> Result<String, String> {
    let output = Command::new(crate::cargo())
        .current_dir(root)
        .args(args)
        .args(["--locked", "--offline"])
        .output()
        .map_err(|error| format!("cargo could not be run: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!(
            "`cargo {}` failed; if a package is not on this machine yet, run `cargo fetch --locked` first.\n{}",
            args[0],
            said.trim_end()
        ));
    }
    String::from_utf8(output.stdout).map_err(|error| error.to_string())
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Raw>,
}

#[derive(Deserialize)]
struct Raw {
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `None` for an ordinary one, else `dev` or `build`.
    kind: Option<String>,
}

impl Raw {
    fn into_package(self, built: &BTreeSet<String>) -> Package {
        let built = built.contains(&format!("{} {}", self.name, self.version));
        // What another's tests use is never built here.
        let others = self.source.is_some();
        let uses = self.dependencies.into_iter();
        let uses = uses.filter(|used| !(others && used.kind.as_deref() == Some("dev")));
        Package {
            name: self.name,
            version: self.version,
            licence: self.license,
            source: self.source,
            uses: uses.map(|used| used.name).collect(),
            built,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::name_and_version;

    #[test]
    fn reads_a_line_of_cargo_tree() {
        assert_eq!(
            name_and_version("serde v1.0.229 (proc-macro)").as_deref(),
            Some("serde 1.0.229")
        );
        assert_eq!(
            name_and_version("serde v1.0.229 (*)").as_deref(),
            Some("serde 1.0.229")
        );
        assert_eq!(name_and_version(""), None);
        assert_eq!(name_and_version("[dev-dependencies]"), None);
    }
}
