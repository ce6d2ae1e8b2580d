//! `cargo xtask strangers`: clients and verifiers that others wrote, from npm and PyPI, against a running issuer.
//!
//! The scripts are in `strangers/`. They run from the target directory, beside the packages they use.

mod install;
mod issuer;
mod report;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use issuer::{Issuer, Setting};
use report::{Line, Report};

/// What the issuers are run with: every algorithm that tokens may be signed with, and nonces once.
const SETTINGS: [Setting; 3] = [
    Setting {
        alg: "ES256",
        nonces: false,
    },
    Setting {
        alg: "EdDSA",
        nonces: true,
    },
    Setting {
        alg: "RS256",
        nonces: false,
    },
];

pub(crate) fn run(root: &Path) -> ExitCode {
    match strangers(root) {
        Ok(report) => {
            print!("{report}");
            if report.is_good() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(problem) => {
            eprintln!("xtask strangers: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn strangers(root: &Path) -> Result<Report, String> {
    let program = build(root)?;
    let place = target(root).join("strangers");
    let tools = install::all(&root.join("strangers"), &place)?;
    let mut report = Report::default();
    for (index, setting) in SETTINGS.iter().enumerate() {
        let issuer = Issuer::start(&program, setting)?;
        let mut scripts = tools.scripts();
        if index == 0 {
            scripts.push(tools.comparison());
            scripts.push(tools.fuzzer());
        }
        for mut script in scripts {
            script
                .arg(issuer.setup())
                .arg(root.join("docs/issuer-openapi.json"))
                .arg(root.join("docs/issuer-admin-openapi.json"));
            let told = run_script(script)?;
            report.add(setting, told);
        }
    }
    Ok(report)
}

/// Where cargo builds.
fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir))
}

fn build(root: &Path) -> Result<PathBuf, String> {
    let status = Command::new(crate::cargo())
        .current_dir(root)
        .args(["build", "--locked", "--quiet", "--package", "tenure-cli"])
        .status()
        .map_err(|error| format!("cargo could not be run: {error}"))?;
    if status.success() {
        Ok(target(root).join("debug/tenure"))
    } else {
        Err("`tenure` could not be built".to_owned())
    }
}

/// Runs one script; every line it writes tells how one flow went.
fn run_script(mut script: Command) -> Result<Vec<Line>, String> {
    let name = format!("{script:?}");
    let mut child = script
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{name}: {error}"))?;
    let mut lines = Vec::new();
    if let Some(out) = child.stdout.take() {
        for line in BufReader::new(out).lines() {
            let line = line.map_err(|error| format!("{name}: {error}"))?;
            lines.push(Line::read(&line)?);
        }
    }
    let status = child.wait().map_err(|error| format!("{name}: {error}"))?;
    if !status.success() {
        return Err(format!("{name} ended with {status}"));
    }
    if lines.is_empty() {
        return Err(format!("{name} ran nothing"));
    }
    Ok(lines)
}
