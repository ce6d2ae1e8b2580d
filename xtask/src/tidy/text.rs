//! Rules for every text file: its length, its last line, and nothing in it that is true on one machine only.

use super::{File, Finding};

/// Lines; longer than this, a file has more than one subject.
const MOST_LINES: usize = 700;

/// Data and generated files may be as long as they must.
const AS_LONG_AS_IT_MUST: &[&str] = &[".lock", ".jsonl", ".json", ".txt", "LICENSE-APACHE"];

/// Directories that exist on somebody's machine.
const MACHINE_PATHS: &[&str] = &["/root/", "/work/", "/home/", "/Users/", "/tmp/target"];

/// The one registry.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub(super) fn check(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |line, text: String| {
        findings.push(Finding {
            path: file.path.clone(),
            line,
            text,
        });
    };
    let lines = file.text.lines().count();
    let may_be_long = AS_LONG_AS_IT_MUST
        .iter()
        .any(|ending| file.path.ends_with(ending));
    if lines > MOST_LINES && !may_be_long {
        add(
            0,
            format!("{lines} lines, at most {MOST_LINES} are wanted; split it by subject"),
        );
    }
    if !file.text.is_empty() && !file.text.ends_with('\n') {
        add(
            lines,
            "the last line does not end; add a line break".to_owned(),
        );
    }
    // This file names the paths it looks for.
    if file.path != "xtask/src/tidy/text.rs" {
        for (line, path) in file
            .text
            .lines()
            .enumerate()
            .filter_map(|(n, l)| Some((n, machine_path(l)?)))
        {
            add(
                line + 1,
                format!("`{path}` is a directory of one machine; use a relative or temporary path"),
            );
        }
    }
    for (line, what) in foreign_sources(file) {
        add(
            line,
            format!("{what}: packages come from crates.io or from this workspace only"),
        );
    }
    findings
}

/// A machine's directory at the start of an absolute path. `https://host/work/` is none.
fn machine_path(line: &str) -> Option<&'static str> {
    MACHINE_PATHS.iter().copied().find(|path| {
        line.match_indices(path).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || "._-/}>*".contains(c))
        })
    })
}

/// Other registries, mirrors and Git repositories, in the lock file, the manifests and cargo's configuration.
fn foreign_sources(file: &File) -> Vec<(usize, &'static str)> {
    let lock = file.path == "Cargo.lock";
    let manifest = file.path.ends_with("Cargo.toml");
    let config = file.path.starts_with(".cargo/");
    let mut found = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        let source = line
            .strip_prefix("source = \"")
            .map(|rest| rest.trim_end_matches('"'));
        let what = if lock && source.is_some_and(|source| source != REGISTRY) {
            Some("a package from elsewhere")
        } else if manifest
            && ["git = \"", "registry = \""]
                .iter()
                .any(|key| line.contains(key))
        {
            Some("a dependency from elsewhere")
        } else if config
            && ["[source", "[registr"]
                .iter()
                .any(|table| line.starts_with(table))
        {
            Some("a registry of one machine; it belongs into the configuration of that machine")
        } else {
            None
        };
        found.extend(what.map(|what| (index + 1, what)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        check(&File::new(path, text))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn long_files_are_found_unless_they_are_data() {
        let text = "x\n".repeat(MOST_LINES + 1);
        assert_eq!(findings("src/a.rs", &text).len(), 1);
        assert_eq!(findings("Cargo.lock", &text).len(), 0);
        assert_eq!(findings("src/a.rs", &"x\n".repeat(MOST_LINES)).len(), 0);
    }

    #[test]
    fn the_last_line_ends() {
        assert_eq!(findings("a.md", "a\nb").len(), 1);
        assert_eq!(findings("a.md", "").len(), 0);
    }

    #[test]
    fn paths_of_a_machine_are_found() {
        for text in [
            "cd /work/x\n",
            "\"/root/.cargo\"\n",
            "see /home/jane/x\n",
            "=/tmp/target-a\n",
        ] {
            assert_eq!(findings("a.md", text).len(), 1, "{text}");
        }
        for text in [
            "https://a.example/work/x\n",
            "net/root/x\n",
            "${ROOT}/work/x\n",
        ] {
            assert_eq!(findings("a.md", text).len(), 0, "{text}");
        }
    }

    #[test]
    fn foreign_sources_are_found() {
        assert_eq!(
            findings(
                "Cargo.lock",
                "source = \"registry+https://mirror.example/\"\n"
            )
            .len(),
            1
        );
        assert_eq!(
            findings("Cargo.lock", &format!("source = \"{REGISTRY}\"\n")).len(),
            0
        );
        assert_eq!(
            findings(
                "crates/x/Cargo.toml",
                "x = { git = \"https://git.example/x\" }\n"
            )
            .len(),
            1
        );
        assert_eq!(
            findings(".cargo/config.toml", "[source.crates-io]\n").len(),
            1
        );
    }
}
