//! `up.json` in the data directory: who is up with this data, locked for as long as it is.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tenure_core::Wall;
use tokio::sync::oneshot;

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

impl Running {
    /// Where its status page and local API are; `None` while it is starting.
    pub fn admin(&self) -> Option<&str> {
        self.admin.as_deref()
    }
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
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock, or says who has it.
    pub fn take(data: &Path) -> Outcome<Result<Lock, Running>> {
        let path = data.join(FILE);
        let fault = |error| fault(&path, &error);
        loop {
            let mut file = open(&path).map_err(fault)?;
            match file.try_lock() {
                Ok(()) => {
                    if let Some(lock) = Lock::of(file, &path).map_err(fault)? {
                        return Ok(Ok(lock));
                    }
                }
                Err(TryLockError::WouldBlock) => {
                    let mut text = String::new();
                    file.read_to_string(&mut text).map_err(fault)?;
                    return Ok(Err(serde_json::from_str(&text).unwrap_or_default()));
                }
                Err(TryLockError::Error(error)) => return Err(fault(error)),
            }
        }
    }

    /// Takes the lock as soon as whoever has it ends. The wait is the kernel's and ends with the process, so it has a
    /// thread of its own that nobody joins.
    pub fn when_free(data: &Path) -> oneshot::Receiver<Outcome<Lock>> {
        let (sender, taken) = oneshot::channel();
        let path = data.join(FILE);
        std::thread::spawn(move || {
            let lock = Lock::wait(&path).map_err(|error| fault(&path, &error));
            // This process may be ending, too; the lock then falls free again.
            let _nobody_waits = sender.send(lock);
        });
        taken
    }

    fn wait(path: &Path) -> std::io::Result<Lock> {
        loop {
            let file = open(path)?;
            file.lock()?;
            if let Some(lock) = Lock::of(file, path)? {
                return Ok(lock);
            }
        }
    }

    /// The lock on an open file; `None` when its holder has removed it meanwhile and the path is free or another's.
    fn of(file: File, path: &Path) -> std::io::Result<Option<Lock>> {
        let lock = Lock {
            file,
            path: path.to_owned(),
        };
        if !lock.is_ours()? {
            return Ok(None);
        }
        // What an earlier holder left is not true any more.
        lock.file.set_len(0)?;
        Ok(Some(lock))
    }

    /// Whether the path still leads to the file that is locked.
    fn is_ours(&self) -> std::io::Result<bool> {
        let held = self.file.metadata()?;
        match std::fs::metadata(&self.path) {
            Ok(found) => Ok((found.dev(), found.ino()) == (held.dev(), held.ino())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
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
        self.file.rewind()?;
        self.file.write_all(&text)?;
        Ok(())
    }
}

/// At every end but a kill the file goes, if it is still this one; what a kill leaves is known by its lock to be stale.
impl Drop for Lock {
    fn drop(&mut self) {
        let removed = self.is_ours().and_then(|ours| {
            if ours {
                std::fs::remove_file(&self.path)
            } else {
                Ok(())
            }
        });
        if let Err(error) = removed {
            tracing::warn!(path = %self.path.display(), %error, "could not be removed");
        }
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

fn fault(path: &Path, error: &std::io::Error) -> CommandError {
    let problem = Problem::new(format!("cannot use it: {error}"))
        .at(path.display())
        .fix("make the data directory writable for this user");
    CommandError::new(Exit::NeedsOperator, problem)
}

/// The `tenure up` that runs on this data; `None` when none does.
pub fn running(data: &Path) -> Option<Running> {
    let mut file = File::open(data.join(FILE)).ok()?;
    // Whoever can share the lock is alone: nobody holds it.
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {}
        _ => return None,
    }
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    Some(serde_json::from_str(&text).unwrap_or_default())
}

/// Where the status page of the `tenure up` that runs on this data is; `None` when none runs.
pub fn running_admin(data: &Path) -> Option<String> {
    running(data)?.admin
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
        let mut waiting = Lock::when_free(dir.path());
        assert!(waiting.try_recv().is_err());
        drop(first);
        let next = waiting
            .blocking_recv()
            .expect("the thread lives")
            .expect("usable");
        // The first took its file away; the next one has made its own and holds that.
        assert!(dir.path().join(FILE).exists());
        assert!(Lock::take(dir.path()).expect("usable").is_err());
        drop(next);
        assert!(!dir.path().join(FILE).exists());
        assert_eq!(running_admin(dir.path()), None);
        let lock = Lock::take(dir.path()).expect("usable").expect("free");
        std::fs::write(dir.path().join("other"), "another's").expect("written");
        std::fs::rename(dir.path().join("other"), dir.path().join(FILE)).expect("renamed");
        drop(lock);
        assert!(dir.path().join(FILE).exists(), "what is not ours stays");
    }
}
