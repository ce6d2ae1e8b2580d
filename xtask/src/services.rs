//! The real services that tests start: installed where they are missing and that is possible.

use std::path::Path;
use std::process::Command;

/// Debian's package and programs by which it is known to be there: its own, or those of another that does as well.
const SERVICES: [(&str, &[&str]); 2] = [
    ("postgresql", &["initdb"]),
    ("redis-server", &["redis-server", "valkey-server"]),
];

/// Installs what is missing, as root on Debian or Ubuntu; elsewhere says what to install.
pub fn ensure() -> Result<(), String> {
    let missing: Vec<&str> = SERVICES
        .iter()
        .filter(|(_, programs)| !programs.iter().any(|program| is_there(program)))
        .map(|(package, _)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    install(&missing)
}

/// Installs Debian's packages.
pub fn install(packages: &[&str]) -> Result<(), String> {
    let by_hand = format!("apt-get install {}", packages.join(" "));
    println!("xtask: installing {}", packages.join(" "));
    run("apt-get", &["update", "-qq"], &by_hand)?;
    let mut args = vec!["install", "-y", "-qq", "--no-install-recommends"];
    args.extend(packages);
    run("apt-get", &args, &by_hand)
}

fn run(program: &str, args: &[&str], by_hand: &str) -> Result<(), String> {
    let status = Command::new(program)
        .args(args)
        // The package would otherwise start a server of its own.
        .env("DEBIAN_FRONTEND", "noninteractive")
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!(
            "`{program} {}` ended with {status}; as root: {by_hand}",
            args.join(" ")
        )),
        Err(error) => Err(format!(
            "`{program}`: {error}; install by hand what on Debian is: {by_hand}"
        )),
    }
}

/// On the path, or where Debian keeps PostgreSQL's programs.
fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).any(|dir| dir.join(program).is_file());
    on_path
        || std::fs::read_dir(Path::new("/usr/lib/postgresql")).is_ok_and(|versions| {
            versions
                .flatten()
                .any(|version| version.path().join("bin").join(program).is_file())
        })
}
