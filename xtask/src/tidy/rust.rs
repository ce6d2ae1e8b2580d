//! Rules for Rust sources: how a crate's root starts, nothing unfinished, no fixed waits in tests.

use super::scrub::Source;
use super::{File, Finding};

/// Marks of unfinished work, and why they are not wanted.
const UNFINISHED: &[(&str, &str)] = &[
    ("todo!", "finish it, or leave it out"),
    ("unimplemented!", "finish it, or return a typed error"),
    (
        "#[ignore",
        "make the test run, or remove it: a test that never runs proves nothing",
    ),
];

const SLEEPS: &[&str] = &["thread::sleep", "tokio::time::sleep(", "time::sleep("];

/// A sleep in a test says with this, on its line, why it is not a guess about how long something takes.
const PACED: &str = "// paced:";

pub(super) fn check(file: &File, source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |line, text: String| {
        findings.push(Finding {
            path: file.path.clone(),
            line,
            text,
        });
    };
    if is_crate_root(&file.path) {
        if !file.text.starts_with("//! ") {
            add(
                1,
                "a crate's root starts with a `//!` line that says what the crate is for"
                    .to_owned(),
            );
        }
        if source.find("#![forbid(unsafe_code)]").next().is_none() && !states_why_unsafe(&file.text)
        {
            add(
                1,
                "add `#![forbid(unsafe_code)]` below the crate's documentation, or a comment \
                 `// unsafe: WHY` if the crate cannot do without"
                    .to_owned(),
            );
        }
    }
    for (mark, fix) in UNFINISHED {
        for line in source.find(mark) {
            add(line, format!("`{mark}`: {fix}"));
        }
    }
    for (line, code, written) in source.lines() {
        let in_test = is_test_file(&file.path) || source.is_unit_test(line);
        if in_test && SLEEPS.iter().any(|sleep| code.contains(sleep)) && !is_paced(written) {
            add(
                line,
                "a sleep in a test: wait for the condition instead (or pause the clock); if time itself is \
                 the matter, say so on this line with `// paced: WHY`"
                    .to_owned(),
            );
        }
    }
    findings
}

/// The library or program of a crate, not a root further down.
fn is_crate_root(path: &str) -> bool {
    let inside = match path.strip_prefix("crates/") {
        Some(rest) => rest.split_once('/').map_or("", |(_, inside)| inside),
        None => path.strip_prefix("xtask/").unwrap_or(""),
    };
    inside == "src/lib.rs" || inside == "src/main.rs"
}

fn states_why_unsafe(text: &str) -> bool {
    text.lines().any(|line| {
        line.strip_prefix("// unsafe: ")
            .is_some_and(|why| !why.trim().is_empty())
    })
}

fn is_paced(line: &str) -> bool {
    line.split_once(PACED)
        .is_some_and(|(_, why)| !why.trim().is_empty())
}

fn is_test_file(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("_tests.rs") || path.ends_with("/tests.rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        let file = File::new(path, text);
        check(&file, &Source::new(&file.text))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn a_crate_root_has_its_head() {
        let good = "//! What it is.\n#![forbid(unsafe_code)]\n";
        assert_eq!(findings("crates/x/src/lib.rs", good), Vec::<String>::new());
        assert_eq!(findings("crates/x/src/lib.rs", "// x\n").len(), 2);
        assert_eq!(
            findings("crates/x/src/lib.rs", "//! X.\n// unsafe: mmap\n").len(),
            0
        );
        assert_eq!(
            findings("crates/x/src/lib.rs", "//! X.\n// unsafe: \n").len(),
            1
        );
        assert_eq!(findings("crates/x/src/inner/other.rs", "// x\n").len(), 0);
    }

    #[test]
    fn unfinished_work_is_found_in_code_only() {
        let text = "fn a() { todo!() }\n// todo!\nlet s = \"#[ignore]\";\n#[ignore]\nunimplemented!(\"x\")\n";
        let found = findings("crates/x/src/a.rs", text);
        let lines: Vec<&str> = found
            .iter()
            .filter_map(|text| text.split(':').nth(1))
            .collect();
        assert_eq!(lines, ["1", "5", "4"], "{found:?}");
    }

    #[test]
    fn sleeps_are_for_programs_not_for_tests() {
        let text = "std::thread::sleep(WAIT);\n";
        assert_eq!(findings("crates/x/src/a.rs", text).len(), 0);
        assert_eq!(findings("crates/x/tests/a.rs", text).len(), 1);
        assert_eq!(findings("crates/x/src/a_tests.rs", text).len(), 1);
        let text = "fn f() {}\n#[cfg(test)]\nmod tests {\ntokio::time::sleep(WAIT).await;\n}\n";
        assert_eq!(findings("crates/x/src/a.rs", text).len(), 1);
        let text = "std::thread::sleep(WAIT); // paced: polls for the file\n";
        assert_eq!(findings("crates/x/tests/a.rs", text).len(), 0);
        let text = "std::thread::sleep(WAIT); // paced:\n";
        assert_eq!(findings("crates/x/tests/a.rs", text).len(), 1);
    }
}
