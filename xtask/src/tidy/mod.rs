//! `cargo xtask tidy`: rules of the house that the compiler and clippy do not know. It runs as a test as well.

mod files;
mod layout;
mod purity;
mod rust;
mod scrub;
mod text;

use std::path::Path;
use std::process::ExitCode;

use files::File;

/// One thing to put right.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    /// From 1; 0 for the whole file.
    line: usize,
    /// What is wrong and how to fix it.
    text: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.text),
            line => write!(f, "{}:{line}: {}", self.path, self.text),
        }
    }
}

pub fn run(root: &Path) -> ExitCode {
    match files::read(root) {
        Ok(files) => {
            let findings = check(&files);
            for finding in &findings {
                eprintln!("tidy: {finding}");
            }
            println!(
                "xtask tidy: {} files, {} findings",
                files.len(),
                findings.len()
            );
            if findings.is_empty() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(problem) => {
            eprintln!("xtask tidy: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn check(files: &[File]) -> Vec<Finding> {
    let mut findings = layout::check(files);
    for file in files {
        findings.extend(text::check(file));
        if file.is_rust() {
            let source = scrub::Source::new(&file.text);
            findings.extend(purity::check(file, &source));
            findings.extend(rust::check(file, &source));
        }
    }
    findings.sort();
    findings
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_tree_is_tidy() {
        let files = super::files::read(&crate::workspace_root()).expect("the tree can be read");
        assert!(
            files.len() > 50,
            "only {} files found: the wrong directory?",
            files.len()
        );
        let findings: Vec<String> = super::check(&files)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
    }
}
