//! The pure crates get time, randomness and configuration as arguments and do no I/O: what they decide can then be
//! simulated, model-checked and replayed.

use std::collections::BTreeSet;

use super::scrub::Source;
use super::{File, Finding};

const PURE: &[&str] = &["core", "jose", "wire", "diagnose"];

/// What they must not use, and what to do instead. A module of `std` is found as `std::fs` and as `fs::`.
const IMPURE: &[(&str, &[&str], &str)] = &[
    (
        "tokio",
        &["tokio"],
        "no runtime here; return what is to be done and let the keeper do it",
    ),
    (
        "std::env",
        &["std::env", "env::"],
        "no environment here; take the value as an argument",
    ),
    (
        "std::fs",
        &["std::fs", "fs::"],
        "no files here; take the contents as an argument",
    ),
    (
        "std::net",
        &["std::net", "net::"],
        "no sockets here; let the caller send and receive",
    ),
    (
        "std::process",
        &["std::process", "process::"],
        "no processes here; return what is to be done",
    ),
    (
        "std::thread",
        &["std::thread", "thread::"],
        "no threads here; return what is to be done",
    ),
    (
        "SystemTime",
        &["SystemTime"],
        "no clock here; take `Now` or seconds as an argument",
    ),
    (
        "Instant",
        &["Instant"],
        "no clock here; take `Now` or milliseconds as an argument",
    ),
];

pub(super) fn check(file: &File, source: &Source) -> Vec<Finding> {
    let Some(name) = file.crate_dir().filter(|name| PURE.contains(name)) else {
        return Vec::new();
    };
    if !file.path.starts_with(&format!("crates/{name}/src/")) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (what, forms, fix) in IMPURE {
        let lines: BTreeSet<usize> = forms.iter().flat_map(|form| source.find(form)).collect();
        findings.extend(lines.into_iter().map(|line| Finding {
            path: file.path.clone(),
            line,
            text: format!("`{what}` in the pure crate `{name}`: {fix}"),
        }));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        let file = File::new(path, text);
        check(&file, &Source::new(&file.text))
            .iter()
            .map(|finding| finding.line)
            .collect()
    }

    #[test]
    fn impure_code_is_found_and_words_about_it_are_not() {
        let text = "// std::fs\nlet now = SystemTime::now();\nlet s = \"tokio\";\nuse std::{fs, io};\n\
                    let t = fs::read(p);\nuse std::env;\n";
        assert_eq!(lines("crates/core/src/a.rs", text), [6, 5, 2]);
    }

    #[test]
    fn drivers_and_tests_of_pure_crates_may() {
        let text = "use std::fs;\n";
        assert_eq!(lines("crates/store/src/a.rs", text), [0; 0]);
        assert_eq!(lines("crates/core/tests/a.rs", text), [0; 0]);
    }
}
