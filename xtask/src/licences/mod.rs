//! `cargo xtask licences`: licences, bans and sources of every dependency, held against `deny.toml`. Needs no
//! network once `cargo fetch --locked` has run.

mod expression;
mod packages;
mod policy;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use packages::{Package, Packages};
use policy::Policy;

pub fn run(root: &Path, all: bool) -> ExitCode {
    match Policy::read(&root.join("deny.toml"))
        .and_then(|policy| Ok((policy, Packages::read(root)?)))
    {
        Ok((policy, packages)) => report(&policy, &packages, all),
        Err(problem) => {
            eprintln!("xtask licences: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn report(policy: &Policy, packages: &Packages, all: bool) -> ExitCode {
    let findings = findings(policy, packages);
    if all {
        print_packages(packages);
    }
    print_licences(policy, packages);
    print_duplicates(packages);
    for finding in &findings {
        eprintln!("licences: {finding}");
    }
    println!(
        "xtask licences: {} packages, {} findings",
        packages.others().count(),
        findings.len()
    );
    if findings.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Everything that is not as `deny.toml` wants it.
fn findings(policy: &Policy, packages: &Packages) -> Vec<String> {
    let mut found = Vec::new();
    for package in packages.others() {
        found.extend(licence_finding(policy, package));
        found.extend(source_finding(policy, package));
        found.extend(ban_finding(policy, packages, package));
    }
    found.extend(packages.own().filter_map(own_finding));
    found
}

fn licence_finding(policy: &Policy, package: &Package) -> Option<String> {
    let Some(text) = &package.licence else {
        return Some(format!(
            "{package} states no licence expression; read its licence file and choose another crate, or ask its \
             author to state one"
        ));
    };
    match expression::choose(text, &|licence| policy.allows(licence)) {
        Ok(Some(_)) => None,
        Ok(None) => Some(format!(
            "{package} is licensed `{text}`, which the list `licenses.allow` in deny.toml cannot satisfy; choose \
             another crate, or add the licence there with a reason"
        )),
        Err(problem) => Some(format!(
            "{package}: the licence `{text}` cannot be read: {problem}"
        )),
    }
}

fn source_finding(policy: &Policy, package: &Package) -> Option<String> {
    let source = package.source.as_deref()?;
    if policy.knows_source(source) {
        return None;
    }
    Some(format!(
        "{package} comes from {source}, which is not in `sources.allow-registry` of deny.toml; take it from there"
    ))
}

fn ban_finding(policy: &Policy, packages: &Packages, package: &Package) -> Option<String> {
    // A locked package that no platform and no feature builds is in nobody's way.
    if !package.built {
        return None;
    }
    let ban = policy.ban(&package.name)?;
    let users = packages.users(&package.name);
    if !users.is_empty() && users.iter().all(|user| ban.wrappers.contains(user)) {
        return None;
    }
    Some(format!(
        "{package} is banned ({}); it is used by {}; `cargo tree --target all -i {}` shows the way to it",
        ban.reason,
        users.join(", "),
        package.name
    ))
}

fn own_finding(package: &Package) -> Option<String> {
    (package.licence.as_deref() != Some("Apache-2.0 OR MIT"))
        .then(|| format!("{package} is ours; write `license.workspace = true` into its Cargo.toml"))
}

fn print_packages(packages: &Packages) {
    println!("{:<34} {:<12} {:<5} licence", "package", "version", "built");
    for package in packages.others() {
        let built = if package.built { "yes" } else { "no" };
        let licence = package.licence.as_deref().unwrap_or("none stated");
        println!(
            "{:<34} {:<12} {built:<5} {licence}",
            package.name, package.version
        );
    }
    println!();
}

/// One line for every licence expression: how many, and under which licences we take them.
fn print_licences(policy: &Policy, packages: &Packages) {
    let mut rows: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages.others() {
        let licence = package.licence.as_deref().unwrap_or("none stated");
        rows.entry(licence).or_default().push(&package.name);
    }
    println!("{:>5}  {:<34} licence (of)", "count", "taken under");
    for (licence, mut names) in rows {
        let taken = expression::choose(licence, &|name| policy.allows(name));
        let taken = taken
            .ok()
            .flatten()
            .map_or("REFUSED".to_owned(), |set| set.join(" + "));
        let count = names.len();
        names.dedup();
        let more = if names.len() > 3 { ", …" } else { "" };
        names.truncate(3);
        println!(
            "{count:>5}  {taken:<34} {licence} ({}{more})",
            names.join(", ")
        );
    }
}

/// Only a warning: whose dependency is the older one is rarely ours to change.
fn print_duplicates(packages: &Packages) {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages.others().filter(|package| package.built) {
        versions
            .entry(&package.name)
            .or_default()
            .push(&package.version);
    }
    versions.retain(|_, list| list.len() > 1);
    if !versions.is_empty() {
        println!("\nbuilt in more than one version (a warning):");
        for (name, list) in versions {
            println!("  {name:<24} {}", list.join(", "));
        }
    }
    println!();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy::parse(
            "[licenses]\nallow = [\"MIT\", \"Apache-2.0\"]\n\
             [bans]\ndeny = [{ crate = \"ring\", reason = \"one crypto library\" },\n\
             { crate = \"old\", wrappers = [\"wrapper\"], reason = \"std has it\" }]\n\
             [sources]\nallow-registry = [\"https://registry.example/index\"]\n",
        )
        .unwrap()
    }

    fn package(name: &str, licence: &str, source: Option<&str>) -> Package {
        Package {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            licence: Some(licence.to_owned()),
            source: source.map(str::to_owned),
            uses: Vec::new(),
            built: true,
        }
    }

    const GOOD: Option<&str> = Some("registry+https://registry.example/index");

    #[test]
    fn a_good_package_has_no_findings() {
        let packages = Packages::from_list(vec![
            package("good", "MIT OR GPL-3.0", GOOD),
            package("ours", "Apache-2.0 OR MIT", None),
        ]);
        assert_eq!(findings(&policy(), &packages), Vec::<String>::new());
    }

    #[test]
    fn each_rule_finds_its_own() {
        let elsewhere = Some("git+https://git.example/x");
        for (bad, words) in [
            (package("copyleft", "GPL-3.0-only", GOOD), "cannot satisfy"),
            (package("odd", "MIT OR (", GOOD), "cannot be read"),
            (
                package("far", "MIT", elsewhere),
                "not in `sources.allow-registry`",
            ),
            (package("ring", "MIT", GOOD), "one crypto library"),
            (package("ours", "MIT", None), "license.workspace"),
        ] {
            let found = findings(&policy(), &Packages::from_list(vec![bad]));
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(words), "{found:?}");
        }
    }

    #[test]
    fn a_package_without_a_licence_is_found() {
        let mut bare = package("bare", "", GOOD);
        bare.licence = None;
        let found = findings(&policy(), &Packages::from_list(vec![bare]));
        assert!(found[0].contains("states no licence"), "{found:?}");
    }

    #[test]
    fn a_ban_spares_what_is_not_built_and_what_only_a_wrapper_uses() {
        let mut locked_only = package("ring", "MIT", GOOD);
        locked_only.built = false;
        let mut wrapper = package("wrapper", "MIT", GOOD);
        wrapper.uses = vec!["old".to_owned()];
        let old = package("old", "MIT", GOOD);
        let packages = Packages::from_list(vec![locked_only, wrapper.clone(), old.clone()]);
        assert_eq!(findings(&policy(), &packages), Vec::<String>::new());

        let mut other = package("other", "MIT", GOOD);
        other.uses = vec!["old".to_owned()];
        let packages = Packages::from_list(vec![wrapper, old, other]);
        let found = findings(&policy(), &packages);
        assert!(found[0].contains("used by other, wrapper"), "{found:?}");
    }
}
