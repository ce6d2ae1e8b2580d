//! `cargo xtask test`: builds everything, runs every test, and says in one line how it went.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

pub fn run(root: &Path, args: &[String]) -> ExitCode {
    if let Err(problem) = compiler_present().and_then(|()| crate::services::ensure()) {
        eprintln!("xtask test: {problem}");
        return ExitCode::FAILURE;
    }
    let started = Instant::now();
    match build_and_run(root, args) {
        Ok((exit, tally)) => {
            let verdict = if exit == 0 { "all passed" } else { "FAILED" };
            println!(
                "xtask test: {verdict}: {tally}, {}",
                lasted(started.elapsed())
            );
            ExitCode::from(exit)
        }
        Err(error) => {
            eprintln!("xtask test: cargo could not be run: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The bundled SQLite and aws-lc are C and are compiled here; nothing else outside Rust is needed.
fn compiler_present() -> Result<(), String> {
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    // CC may carry arguments (`ccache gcc`).
    let program = compiler.split_whitespace().next().unwrap_or("cc");
    let answer = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    match answer {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!(
            "the C compiler `{program} --version` ended with {status}"
        )),
        Err(error) => Err(format!(
            "no C compiler: `{program}`: {error}. SQLite and aws-lc are built from C sources. \
             On Debian or Ubuntu: apt-get install gcc libc6-dev; or set CC"
        )),
    }
}

/// Builds first: a compile error then comes before the first test. The `tenure` program is among what this
/// builds, because tests start it.
fn build_and_run(root: &Path, args: &[String]) -> std::io::Result<(u8, Tally)> {
    let (for_cargo, for_tests) = split(args);
    let mut tally = Tally::default();
    let built = cargo_test(root, &for_cargo).arg("--no-run").status()?;
    if !built.success() {
        return Ok((exit_of(built), tally));
    }

    let mut command = cargo_test(root, &for_cargo);
    command.arg("--no-fail-fast").arg("--").args(for_tests);
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    if let Some(lines) = child.stdout.take() {
        let mut out = std::io::stdout().lock();
        for line in BufReader::new(lines).split(b'\n') {
            let line = line?;
            out.write_all(&line)?;
            out.write_all(b"\n")?;
            tally.read(&String::from_utf8_lossy(&line));
        }
    }
    let mut exit = exit_of(child.wait()?);
    // Cargo's own word counts; this is for the case that its word and the summaries differ.
    if exit == 0 && tally.failed > 0 {
        exit = 1;
    }
    Ok((exit, tally))
}

fn cargo_test(root: &Path, args: &[String]) -> Command {
    let mut command = Command::new(crate::cargo());
    command
        .current_dir(root)
        .args(["test", "--locked"])
        .stdin(Stdio::null());
    if args.is_empty() {
        command.arg("--workspace");
    }
    command.args(args);
    command
}

/// What comes before `--` is cargo's, what comes after belongs to the test programs.
fn split(args: &[String]) -> (Vec<String>, Vec<String>) {
    let mut parts = args.splitn(2, |arg| arg == "--").map(<[String]>::to_vec);
    (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    )
}

fn exit_of(status: std::process::ExitStatus) -> u8 {
    // Ended by a signal: no code of its own.
    status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1)
}

/// Sums of the `test result:` lines.
#[derive(Default, Debug, PartialEq)]
struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
    programs: u64,
}

impl Tally {
    /// `test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s`
    fn read(&mut self, line: &str) {
        let Some(rest) = line.trim_start().strip_prefix("test result: ") else {
            return;
        };
        let Some((_, counts)) = rest.split_once(". ") else {
            return;
        };
        self.programs += 1;
        for part in counts.split("; ") {
            let Some((number, what)) = part.split_once(' ') else {
                continue;
            };
            let number: u64 = number.parse().unwrap_or(0);
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} ignored in {} test programs",
            self.passed, self.failed, self.ignored, self.programs
        )
    }
}

fn lasted(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds / 60 {
        0 => format!("{seconds} s"),
        minutes => format!("{minutes} min {} s", seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_the_result_lines_and_nothing_else() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test result_reader ... ok",
            "test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.2s",
        ] {
            tally.read(line);
        }
        assert_eq!(
            tally.to_string(),
            "7 passed, 2 failed, 1 ignored in 2 test programs"
        );
    }

    #[test]
    fn arguments_are_split_at_the_first_double_dash() {
        let args: Vec<String> = ["-p", "x", "--", "a", "--", "b"].map(str::to_owned).into();
        let (cargo, tests) = split(&args);
        assert_eq!(cargo, ["-p", "x"]);
        assert_eq!(tests, ["a", "--", "b"]);
        assert_eq!(split(&[]), (Vec::new(), Vec::new()));
    }

    #[test]
    fn durations_read_well() {
        assert_eq!(lasted(Duration::from_secs(59)), "59 s");
        assert_eq!(lasted(Duration::from_secs(125)), "2 min 5 s");
    }
}
