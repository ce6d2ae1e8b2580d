//! Development commands: `cargo xtask test`, `cargo xtask tidy`, `cargo xtask licences`,
//! `cargo xtask corpus`, `cargo xtask fuzz`, `cargo xtask strangers`.
#![forbid(unsafe_code)]

mod corpus;
mod fuzz;
mod licences;
mod services;
mod strangers;
mod test;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask COMMAND

  test [ARGS…]    build and run the tests; ARGS go to `cargo test` (default: --workspace)
  tidy            check the layout, the purity of the pure crates and the house rules
  licences        check licences, bans and sources of all dependencies against deny.toml;
                  with --all, one line for every package
  corpus [FILE]   measure the classifier on the corpus of failures; fails below its line
  fuzz [TARGET|all] [SECONDS]
                  feed the readers of foreign texts with hostile ones (default: all, 180 s each)
  strangers       run foreign clients and verifiers (npm, PyPI) against the issuer
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = args
        .split_first()
        .map_or(("", &args[..]), |(command, rest)| (command.as_str(), rest));
    let root = workspace_root();
    match (command, rest) {
        ("test", rest) => test::run(&root, rest),
        ("tidy", []) => tidy::run(&root),
        ("licences" | "licenses", []) => licences::run(&root, false),
        ("licences" | "licenses", [flag]) if flag == "--all" => licences::run(&root, true),
        ("corpus", []) => corpus::run(&root.join(corpus::SHIPPED)),
        ("corpus", [file]) => corpus::run(Path::new(file)),
        ("fuzz", rest) => fuzz::run(&root, rest),
        ("strangers", []) => strangers::run(&root),
        ("help" | "--help" | "-h", _) => {
            print!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => {
            eprint!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// The directory of the workspace: the parent of this package's own.
fn workspace_root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_path_buf()
}

/// The cargo that started this program, so that a chosen toolchain stays chosen.
fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
