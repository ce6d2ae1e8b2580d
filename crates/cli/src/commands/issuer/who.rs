//! Who types the command, for the audit log.

/// `NAME on HOST`, as far as the system tells.
pub fn here() -> String {
    let name = ["USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|name| !name.is_empty()))
        .unwrap_or_else(|| format!("user {}", rustix::process::getuid().as_raw()));
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy();
    format!("{name} on {host}")
}
