//! Who holds leases: each open store has an id and an OS lock under that id. The system drops the lock when
//! the process dies, however it dies, so that the leases of the dead are free at once.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::files;
use crate::seal::{encode_hex, random};

/// This store's own lock, and the directory where the others' are.
#[derive(Debug)]
pub(crate) struct Holder {
    id: String,
    dir: PathBuf,
    /// Holds the lock as long as it is open.
    _lock: File,
}

impl Holder {
    /// Takes a fresh id and its lock; sweeps away what dead holders left.
    pub(crate) fn register(dir: &Path) -> io::Result<Self> {
        files::make_private_dir(dir)?;
        sweep(dir)?;
        loop {
            let random = random::<8>().map_err(io::Error::other)?;
            let id = format!("{}-{}", std::process::id(), encode_hex(&random));
            let path = lock_path(dir, &id);
            let lock = files::open_private(&path)?;
            // Somebody's sweep may hold the lock between our making the file and our locking it, or may have
            // removed the file already. Then try again under another id.
            match lock.try_lock() {
                Ok(()) if path.exists() => {
                    return Ok(Self {
                        id,
                        dir: dir.to_owned(),
                        _lock: lock,
                    });
                }
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// The id: process id and random digits.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Whether this holder's process is known to be gone. A lock that cannot be looked at counts as alive.
    pub(crate) fn is_dead(&self, holder: &str) -> bool {
        holder != self.id && is_dead(&self.dir, holder)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // Removed while still locked, so that nobody mistakes a file to come for this one. A file that stays
        // behind is swept by the next store.
        let _ = fs::remove_file(lock_path(&self.dir, &self.id));
    }
}

/// Whether the holder's lock is gone or can be taken; a stale file is removed.
pub(crate) fn is_dead(dir: &Path, holder: &str) -> bool {
    let path = lock_path(dir, holder);
    match File::open(&path) {
        Ok(file) => match file.try_lock() {
            Ok(()) => {
                // If it stays, the next one to ask removes it; the answer is the same.
                let _ = fs::remove_file(&path);
                true
            }
            Err(_) => false,
        },
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn sweep(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        if let Some(holder) = name.to_str().and_then(|name| name.strip_suffix(".lock")) {
            is_dead(dir, holder);
        }
    }
    Ok(())
}

fn lock_path(dir: &Path, holder: &str) -> PathBuf {
    dir.join(format!("{holder}.lock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_living_are_alive_and_the_dead_are_swept() {
        let dir = tempfile::tempdir().expect("a directory");
        let one = Holder::register(dir.path()).expect("registers");
        let two = Holder::register(dir.path()).expect("registers");
        assert!(!one.is_dead(two.id()));
        assert!(!one.is_dead(one.id()));
        let gone = two.id().to_owned();
        drop(two);
        assert!(one.is_dead(&gone));
        // What a killed process leaves: the file without the lock.
        fs::write(lock_path(dir.path(), "4711-dead"), b"").expect("written");
        let three = Holder::register(dir.path()).expect("registers");
        assert!(!lock_path(dir.path(), "4711-dead").exists());
        assert!(three.is_dead("4711-dead"));
        assert!(!three.is_dead(one.id()));
    }
}
