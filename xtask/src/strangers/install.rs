//! Interpreters and packages: what is missing is installed, the packages at the versions that `strangers/` pins.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Node's oldest release that the packages run on.
const NODE: u32 = 20;

/// The programs that run the scripts, and where these are.
pub(super) struct Tools {
    place: PathBuf,
}

impl Tools {
    /// Every script, in the order to run them; each takes the set-up as its last argument.
    pub(super) fn scripts(&self) -> Vec<Command> {
        let rust = Command::new(self.place.join("rust/debug/strangers"));
        vec![self.node("run.mjs"), self.python("run.py"), rust]
    }

    /// Compares the issuer's answers with another server's.
    pub(super) fn comparison(&self) -> Command {
        self.node("compare.mjs")
    }

    /// Makes up requests from the description of the endpoints, which is its second argument.
    pub(super) fn fuzzer(&self) -> Command {
        self.python("fuzz.py")
    }

    fn python(&self, script: &str) -> Command {
        let mut python = Command::new(self.place.join("venv/bin/python"));
        python.arg("-B").arg(self.place.join("python").join(script));
        python
    }

    fn node(&self, script: &str) -> Command {
        let mut node = Command::new("node");
        node.arg("--no-warnings")
            .arg(self.place.join("node").join(script));
        node
    }
}

/// Brings scripts and packages to `place`.
pub(super) fn all(from: &Path, place: &Path) -> Result<Tools, String> {
    let problem = |error: std::io::Error| format!("{}: {error}", place.display());
    std::fs::create_dir_all(place).map_err(problem)?;
    for dir in ["node", "python"] {
        let to = place.join(dir);
        if to.exists() {
            std::fs::remove_dir_all(&to).map_err(problem)?;
        }
        copy(&from.join(dir), &to).map_err(problem)?;
    }
    let explained = "differences.md";
    std::fs::copy(from.join(explained), place.join(explained)).map_err(problem)?;
    node(from, place)?;
    python(from, place)?;
    rust(from, place)?;
    Ok(Tools {
        place: place.to_owned(),
    })
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for file in std::fs::read_dir(from)? {
        let file = file?;
        std::fs::copy(file.path(), to.join(file.file_name()))?;
    }
    Ok(())
}

fn node(from: &Path, place: &Path) -> Result<(), String> {
    if !answers_to("node", &["--version"]) || !answers_to("npm", &["--version"]) {
        crate::services::install(&["nodejs", "npm"])?;
    }
    let version = said("node", &["--version"])?;
    if major(&version).is_none_or(|major| major < NODE) {
        return Err(format!(
            "node is {}, the packages need {NODE} or later; install it by hand (https://nodejs.org)",
            version.trim()
        ));
    }
    let pins = ["package.json", "package-lock.json"];
    once(from, place, &pins, "node_modules", || {
        let mut npm = Command::new("npm");
        npm.current_dir(place).args([
            "ci",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
        ]);
        succeed(npm)
    })
}

fn python(from: &Path, place: &Path) -> Result<(), String> {
    // Debian leaves venv's own part out of its python3.
    if !answers_to("python3", &["-c", "import ensurepip, venv"]) {
        crate::services::install(&["python3", "python3-venv"])?;
    }
    let pins = ["requirements.txt"];
    once(from, place, &pins, "venv", || {
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv", "--clear"]).arg(place.join("venv"));
        succeed(venv)?;
        let mut pip = Command::new(place.join("venv/bin/pip"));
        pip.args(["install", "--quiet", "--disable-pip-version-check"])
            .args(["--only-binary", ":all:", "--requirement"])
            .arg(place.join("requirements.txt"));
        succeed(pip)
    })
}

/// Built by the project's own toolchain, in a workspace of its own; cargo knows what is built already.
fn rust(from: &Path, place: &Path) -> Result<(), String> {
    let mut cargo = Command::new(crate::cargo());
    cargo
        .current_dir(from.join("rust"))
        .args(["build", "--locked", "--quiet", "--target-dir"])
        .arg(place.join("rust"));
    succeed(cargo)
}

/// Installs what `pins` say, unless exactly that was installed before: the copies are written last.
fn once(
    from: &Path,
    place: &Path,
    pins: &[&str],
    made: &str,
    install: impl FnOnce() -> Result<(), String>,
) -> Result<(), String> {
    let same = |pin: &&str| {
        let (ours, theirs) = (
            std::fs::read(from.join(pin)),
            std::fs::read(place.join(pin)),
        );
        ours.is_ok_and(|ours| theirs.is_ok_and(|theirs| ours == theirs))
    };
    let done = place.join(format!("{made}.done"));
    if done.exists() && pins.iter().all(same) {
        return Ok(());
    }
    let problem = |error: std::io::Error| format!("{}: {error}", place.display());
    if done.exists() {
        std::fs::remove_file(&done).map_err(problem)?;
    }
    for pin in pins {
        std::fs::copy(from.join(pin), place.join(pin)).map_err(problem)?;
    }
    install()?;
    std::fs::write(&done, "").map_err(problem)
}

fn answers_to(program: &str, args: &[&str]) -> bool {
    let status = Command::new(program)
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

fn said(program: &str, args: &[&str]) -> Result<String, String> {
    let ran = Command::new(program)
        .args(args)
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    Ok(String::from_utf8_lossy(&ran.stdout).into_owned())
}

/// `20` for `v20.20.2`.
fn major(version: &str) -> Option<u32> {
    let number = version.trim().trim_start_matches('v');
    number.split('.').next()?.parse().ok()
}

fn succeed(mut command: Command) -> Result<(), String> {
    let name = format!("{command:?}");
    match command.stdin(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!(
            "{name} ended with {status}; is the registry reachable?"
        )),
        Err(error) => Err(format!("{name}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read() {
        assert_eq!(major("v20.20.2\n"), Some(20));
        assert_eq!(major("none"), None);
    }
}
