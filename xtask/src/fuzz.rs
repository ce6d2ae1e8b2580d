//! `cargo xtask fuzz`: builds the targets in `fuzz/` with counters of coverage and runs them, on the stable toolchain.
//!
//! `cargo fuzz` asks for a nightly one because of the sanitizers. The pure crates have no unsafe code, so that
//! panics, overflows and slowness are what there is to find; LLVM's counters are enough for those.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use serde_json::Value;

/// The longest input, in bytes.
const LONGEST: usize = 64 * 1024;
/// A run of one target, in seconds, when none is given.
const SECONDS: u32 = 180;
/// LLVM's pass that counts edges and compares, as `cargo fuzz` sets it.
const COVERAGE: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    --cfg fuzzing";
/// Texts that `tenure inspect` is given.
const TOKENS: [&str; 8] = [
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJleHAiOjE3NjcyMjU2MDAsImF1ZCI6Im9yZGVycyJ9.c2lnbmF0dXJl",
    "Authorization: Bearer eyJhbGciOiJub25lIn0.eyJleHAiOjF9.",
    "\"eyJhbGciOiJSUzI1NiIsImtpZCI6ImsxIn0.eyJleHAiOjE3NjcyMjU2MDAwMDB9.AA==\"",
    "{\"access_token\":\"eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.AA\",\"expires_in\":300}",
    "Set-Cookie: sid=eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.AA; Path=/",
    "access_token=eyJhbGciOiJIUzI1NiJ9%2EeyJleHAiOjF9%2EAA&scope=a",
    "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.a.b.c.d",
    "-----BEGIN PUBLIC KEY-----",
];

pub(crate) fn run(root: &Path, args: &[String]) -> ExitCode {
    let (target, seconds) = match args {
        [] => (None, SECONDS),
        [target] => (Some(target.as_str()), SECONDS),
        [target, seconds] => match seconds.parse() {
            Ok(seconds) => (Some(target.as_str()), seconds),
            Err(error) => return failed(&format!("{seconds:?} is no number of seconds: {error}")),
        },
        _ => return failed("at most a target and a number of seconds are understood"),
    };
    match fuzz(root, target.filter(|name| *name != "all"), seconds) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => failed(&problem),
    }
}

fn failed(problem: &str) -> ExitCode {
    eprintln!("xtask fuzz: {problem}");
    ExitCode::FAILURE
}

fn fuzz(root: &Path, only: Option<&str>, seconds: u32) -> Result<(), String> {
    let all = targets(root)?;
    let wanted: Vec<&String> = all
        .iter()
        .filter(|name| only.is_none_or(|only| only == *name))
        .collect();
    if wanted.is_empty() {
        return Err(format!(
            "there is no such target; there are: {}",
            all.join(", ")
        ));
    }
    let place = place(root);
    let programs = build(root, &place)?;
    let mut fell = Vec::new();
    for name in wanted {
        let corpus = place.join("corpus").join(name);
        seed(root, name, &corpus)?;
        if !run_one(&programs.join(name), &corpus, &place, name, seconds)? {
            fell.push(name.as_str());
        }
    }
    if fell.is_empty() {
        return Ok(());
    }
    Err(format!(
        "found something: {}. The inputs are in {}; a program in {} with such a file as its argument repeats it",
        fell.join(", "),
        place.join("artifacts").display(),
        programs.display(),
    ))
}

/// Where programs, corpora and findings are kept: with everything else that is built.
fn place(root: &Path) -> PathBuf {
    let built = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root.join("target"), |dir| root.join(dir));
    built.join("fuzz")
}

fn targets(root: &Path) -> Result<Vec<String>, String> {
    let dir = root.join("fuzz/fuzz_targets");
    let files = std::fs::read_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let mut names: Vec<String> = files
        .filter_map(|file| Some(file.ok()?.path().file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

/// Builds every target for this machine, and says where they are. `--target` keeps the counters out of build
/// scripts; the workspace's lock file makes others' crates the same ones.
fn build(root: &Path, place: &Path) -> Result<PathBuf, String> {
    let fuzz = root.join("fuzz");
    std::fs::copy(root.join("Cargo.lock"), fuzz.join("Cargo.lock"))
        .map_err(|error| format!("Cargo.lock could not be copied: {error}"))?;
    let host = host()?;
    let status = Command::new(crate::cargo())
        .args(["build", "--bins", "--target", &host, "--manifest-path"])
        .arg(fuzz.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(place)
        .env("RUSTFLAGS", COVERAGE)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()
        .map_err(|error| format!("cargo could not be run: {error}"))?;
    if !status.success() {
        return Err(
            "the targets could not be built; libFuzzer is C++ and needs g++ or clang++".into(),
        );
    }
    Ok(place.join(host).join("debug"))
}

fn host() -> Result<String, String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let about = Command::new(rustc)
        .arg("-vV")
        .output()
        .map_err(|error| format!("rustc could not be run: {error}"))?;
    String::from_utf8_lossy(&about.stdout)
        .lines()
        .find_map(|line| line.strip_prefix("host: ").map(str::to_owned))
        .ok_or_else(|| "`rustc -vV` names no host".to_owned())
}

/// Writes what a run begins with beside what earlier runs found.
fn seed(root: &Path, name: &str, corpus: &Path) -> Result<(), String> {
    let problem = |error: std::io::Error| format!("{}: {error}", corpus.display());
    std::fs::create_dir_all(corpus).map_err(problem)?;
    let answers = match name {
        "answers" | "judge" | "texts" => {
            let file = root.join(crate::corpus::SHIPPED);
            std::fs::read_to_string(&file)
                .map_err(|error| format!("{}: {error}", file.display()))?
        }
        _ => String::new(),
    };
    let tokens = if name == "token" { &TOKENS[..] } else { &[] };
    let lines = (name == "texts").then(|| answers.lines().map(str::to_owned));
    let seeds = answers
        .lines()
        .filter_map(as_http)
        .chain(lines.into_iter().flatten())
        .chain(tokens.iter().map(|token| (*token).to_owned()));
    for (number, text) in seeds.enumerate() {
        std::fs::write(corpus.join(format!("seed-{number}")), text).map_err(problem)?;
    }
    Ok(())
}

/// A labelled answer of the corpus as `curl -i` would show it.
fn as_http(line: &str) -> Option<String> {
    let answer: Value = serde_json::from_str(line).ok()?;
    let status = answer.get("status")?.as_u64()?;
    let headers: String = answer
        .get("headers")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some(format!("{name}: {}\r\n", value.as_str()?)))
        .collect();
    let body = match answer.get("body") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    Some(format!("HTTP/1.1 {status} X\r\n{headers}\r\n{body}"))
}

/// Whether a target ran its time without a finding.
fn run_one(
    program: &Path,
    corpus: &Path,
    place: &Path,
    name: &str,
    seconds: u32,
) -> Result<bool, String> {
    let findings = place.join("artifacts").join(name);
    std::fs::create_dir_all(&findings)
        .map_err(|error| format!("{}: {error}", findings.display()))?;
    println!("xtask fuzz: {name}, {seconds} s");
    let status = Command::new(program)
        .arg(corpus)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={LONGEST}"))
        .args(["-timeout=5", "-print_final_stats=1"])
        // Each new input is a line: of use to somebody who watches, not in a log.
        .arg(format!(
            "-verbosity={}",
            u8::from(std::io::stdout().is_terminal())
        ))
        .arg(format!("-artifact_prefix={}/", findings.display()))
        .status()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    Ok(status.success())
}
