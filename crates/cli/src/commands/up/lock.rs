//! `up.json` in the data directory: who is up with this data, locked for as long as it is.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tenure_core::Wall;

use super::{Urls, bare};
use crate::error::{CommandError, Exit, Outcome, Problem};
use crate::output::time;

/// Name of the file.
const FILE: &str = "up.json";

/// What is known of the `tenure up` that holds the lock.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Running {
    pid: u32,
    /// Since when, milliseconds since the epoch.
    since: i64,
    gateway: Option<String>,
    admin: Option<String>,
    issuer: Option<String>,
}

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The holder writes the file when it is ready; until then there is nothing to tell.
        if self.pid == 0 {
            return f.write_str("it is just starting");
        }
        write!(
            f,
            "process {} since {}",
            self.pid,
            time::clock(Wall(self.since))
        )?;
        for (what, url) in [
            ("gateway", &self.gateway),
            ("status page", &self.admin),
            ("issuer", &self.issuer),
        ] {
            if let Some(url) = url {
                write!(f, ", {what} {url}")?;
            }
        }
        Ok(())
    }
}

/// The lock, held until dropped or until the process ends, however it ends.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// Takes the lock, or says who has it.
    pub fn take(data: &Path) -> Outcome<Result<Lock, Running>> {
        let path = data.join(FILE);
        let fault = |error: std::io::Error| {
            let problem = Problem::new(format!("cannot use it: {error}"))
                .at(path.display())
                .fix("make the data directory writable for this user");
            CommandError::new(Exit::NeedsOperator, problem)
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(fault)?;
        match file.try_lock() {
            Ok(()) => {
                // What an earlier holder left is not true any more.
                file.set_len(0).map_err(fault)?;
                Ok(Ok(Lock(file)))
            }
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                file.read_to_string(&mut text).map_err(fault)?;
                Ok(Err(serde_json::from_str(&text).unwrap_or_default()))
            }
            Err(TryLockError::Error(error)) => Err(fault(error)),
        }
    }

    /// Tells others who this is and where it listens.
    pub fn write(&mut self, urls: &Urls) -> Outcome {
        let running = Running {
            pid: std::process::id(),
            since: tenure_keeper::clock::wall().0,
            gateway: Some(bare(&urls.gateway).to_owned()),
            admin: Some(bare(&urls.admin).to_owned()),
            issuer: urls.issuer.as_ref().map(|url| bare(url).to_owned()),
        };
        let text = serde_json::to_vec_pretty(&running)
            .map_err(|error| CommandError::failed(error.to_string()))?;
        self.0.rewind()?;
        self.0.write_all(&text)?;
        Ok(())
    }
}

/// Where the status page of the `tenure up` that runs on this data is; `None` when none runs.
pub fn running_admin(data: &Path) -> Option<String> {
    let mut file = File::open(data.join(FILE)).ok()?;
    // Whoever can share the lock is alone: nobody holds it.
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {}
        _ => return None,
    }
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str::<Running>(&text).ok()?.admin
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_learns_of_the_first() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut first = Lock::take(dir.path()).expect("usable").expect("free");
        let starting = Lock::take(dir.path()).expect("usable").expect_err("taken");
        assert_eq!(starting.to_string(), "it is just starting");
        let url = |port| url::Url::parse(&format!("http://127.0.0.1:{port}/")).expect("a URL");
        first
            .write(&Urls {
                gateway: url(1),
                admin: url(2),
                issuer: None,
            })
            .expect("written");
        let running = Lock::take(dir.path()).expect("usable").expect_err("taken");
        assert_eq!(
            running_admin(dir.path()).as_deref(),
            Some("http://127.0.0.1:2")
        );
        assert!(
            running
                .to_string()
                .contains(&format!("process {}", std::process::id())),
            "{running}"
        );
        assert!(
            running.to_string().contains("gateway http://127.0.0.1:1,"),
            "{running}"
        );
        drop(first);
        assert_eq!(running_admin(dir.path()), None);
        assert!(Lock::take(dir.path()).expect("usable").is_ok());
    }
}
