//! Dependencies between the crates point downward only (ARCHITECTURE.md has the map).

use super::{File, Finding};

/// Crates from the bottom up, each with the crates it may depend on.
const LAYERS: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("jose", &["core"]),
    ("wire", &["core", "jose"]),
    ("diagnose", &["core", "jose", "wire"]),
    ("http", &[]),
    ("store", &["core"]),
    (
        "keeper",
        &["core", "jose", "wire", "diagnose", "http", "store"],
    ),
    ("verify", &["core", "jose", "http"]),
    ("issuer", &["core", "jose", "http", "store", "verify"]),
    (
        "gateway",
        &[
            "core", "jose", "wire", "diagnose", "http", "store", "keeper",
        ],
    ),
    (
        "tenure",
        &[
            "core", "jose", "wire", "diagnose", "http", "store", "keeper", "gateway",
        ],
    ),
    (
        "cli",
        &[
            "core", "jose", "wire", "diagnose", "http", "store", "keeper", "verify", "issuer",
            "gateway", "tenure",
        ],
    ),
    ("lab", &["core", "jose"]),
    ("sim", &["core"]),
    ("xtask", &["diagnose"]),
];

/// Not shipped; the tests of every crate may use them.
const TEST_SUPPORT: &[&str] = &["lab", "sim"];

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    files
        .iter()
        .filter(|file| file.path.starts_with("crates/") || file.path.starts_with("xtask/"))
        .filter(|file| file.path.ends_with("/Cargo.toml"))
        .flat_map(manifest)
        .collect()
}

fn manifest(file: &File) -> Vec<Finding> {
    let finding = |line, text| Finding {
        path: file.path.clone(),
        line,
        text,
    };
    let name = file.crate_dir().unwrap_or_default();
    let Some((_, below)) = LAYERS.iter().find(|(layer, _)| *layer == name) else {
        return vec![finding(
            0,
            format!(
                "the crate `{name}` has no place in the layout; give it a row in xtask/src/tidy/layout.rs"
            ),
        )];
    };
    let table: toml::Table = match file.text.parse() {
        Ok(table) => table,
        Err(error) => return vec![finding(0, format!("not TOML: {error}"))],
    };

    let mut findings = Vec::new();
    for (kind, dependency) in dependencies(&table) {
        let allowed = match kind {
            "dev-dependencies" => for_tests(name, dependency),
            _ => below.contains(&dependency),
        };
        if !allowed {
            let list = if below.is_empty() {
                "no crate of this workspace".to_owned()
            } else {
                below.join(", ")
            };
            findings.push(finding(
                line_of(&file.text, kind, &package_name(dependency)),
                format!(
                    "`{name}` must not use `{dependency}` under [{kind}]: dependencies point downward, and \
                     `{name}` stands on {list}; move the code down, or pass what is needed in from above"
                ),
            ));
        }
    }
    findings
}

/// Tests may use everything further down the list, and the test support.
fn for_tests(name: &str, dependency: &str) -> bool {
    let rank = |name: &str| LAYERS.iter().position(|(layer, _)| *layer == name);
    TEST_SUPPORT.contains(&dependency) || rank(dependency) < rank(name)
}

/// `(kind of table, crate directory)` of every dependency on a crate of the workspace, of target tables too.
fn dependencies(table: &toml::Table) -> Vec<(&'static str, &str)> {
    let targets = table.get("target").and_then(toml::Value::as_table);
    let targets = targets
        .into_iter()
        .flat_map(toml::Table::values)
        .filter_map(toml::Value::as_table);
    let mut found = Vec::new();
    for scope in std::iter::once(table).chain(targets) {
        for kind in ["dependencies", "build-dependencies", "dev-dependencies"] {
            let names = scope.get(kind).and_then(toml::Value::as_table);
            let names = names.into_iter().flat_map(toml::Table::keys);
            found.extend(
                names
                    .filter_map(|package| crate_of(package))
                    .map(|name| (kind, name)),
            );
        }
    }
    found
}

/// `core` for the package `tenure-core`; the facade's package is plain `tenure`.
fn crate_of(package: &str) -> Option<&str> {
    match package {
        "tenure" | "xtask" => Some(package),
        _ => package.strip_prefix("tenure-"),
    }
}

fn package_name(name: &str) -> String {
    match name {
        "tenure" | "xtask" => name.to_owned(),
        _ => format!("tenure-{name}"),
    }
}

/// Where `package` stands under a table of this kind; 0 when it is not found.
fn line_of(text: &str, kind: &str, package: &str) -> usize {
    let mut inside = false;
    for (index, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            inside = line.trim_end().ends_with(&format!("{kind}]"));
        } else if inside && line.split(['.', ' ', '=']).next() == Some(package) {
            return index + 1;
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        check(&[File::new(path, text)])
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn every_row_stands_on_rows_above_it() {
        for (index, (name, below)) in LAYERS.iter().enumerate() {
            for lower in *below {
                let at = LAYERS.iter().position(|(layer, _)| layer == lower);
                assert!(at.is_some_and(|at| at < index), "{name} on {lower}");
            }
        }
    }

    #[test]
    fn downward_is_fine() {
        let text = "[dependencies]\ntenure-core.workspace = true\nserde.workspace = true\n\
                    [dev-dependencies]\ntenure-lab.workspace = true\n";
        assert_eq!(
            findings("crates/store/Cargo.toml", text),
            Vec::<String>::new()
        );
        let text = "[dev-dependencies]\ntenure-http.workspace = true\n";
        assert_eq!(
            findings("crates/issuer/Cargo.toml", text),
            Vec::<String>::new()
        );
    }

    #[test]
    fn upward_is_found_with_its_line() {
        let text = "[dependencies]\nserde = \"1\"\ntenure-keeper.workspace = true\n";
        let found = findings("crates/store/Cargo.toml", text);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].starts_with("crates/store/Cargo.toml:3: `store` must not use `keeper`"),
            "{found:?}"
        );
    }

    #[test]
    fn test_support_is_for_tests_only() {
        let found = findings(
            "crates/cli/Cargo.toml",
            "[dependencies]\ntenure-lab.workspace = true\n",
        );
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn a_test_dependency_upward_is_found() {
        let found = findings(
            "crates/core/Cargo.toml",
            "[dev-dependencies]\ntenure-http.workspace = true\n",
        );
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn target_tables_count_too() {
        let text = "[target.'cfg(unix)'.dependencies]\ntenure-http.workspace = true\n";
        let found = findings("crates/core/Cargo.toml", text);
        assert!(
            found[0].starts_with("crates/core/Cargo.toml:2:"),
            "{found:?}"
        );
    }

    #[test]
    fn an_unknown_crate_is_found() {
        let found = findings("crates/novel/Cargo.toml", "");
        assert!(found[0].contains("no place in the layout"), "{found:?}");
    }
}
