//! Noticing that a store was restored or rolled back: a small file beside the database remembers which store
//! it is and how many pairs it has saved. A database that remembers fewer was taken from the past.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::files;

/// How long to wait for the lock at the opening of a store. Others hold it for microseconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait for it after a commit: the next commit makes up for a count that was not written.
const HASTE: Duration = Duration::from_millis(20);

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Incarnation {
    pub(crate) store_id: String,
    pub(crate) saves: u64,
}

impl Incarnation {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let store_id = words.next()?.to_owned();
        let saves = words.next()?.parse().ok()?;
        Some(Self { store_id, saves })
    }

    /// Always of the same length, so that it can be overwritten in place.
    fn text(&self) -> String {
        format!("{} {:020}\n", self.store_id, self.saves)
    }
}

/// Reads the file; `None` when there is none or it says nothing.
pub(crate) fn read(path: &Path) -> io::Result<Option<Incarnation>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    lock(&file, PATIENCE)?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(Incarnation::parse(&text))
}

/// Raises the count to at least `saves`. Called after the commit that made it so; not synced, because a count
/// that lags behind after a power cut raises no false alarm, and one ahead is never written.
pub(crate) fn advance(path: &Path, store_id: &str, saves: u64) -> io::Result<()> {
    let mut file = files::open_private(path)?;
    lock(&file, HASTE)?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let stored = Incarnation::parse(&text).filter(|stored| stored.store_id == store_id);
    if stored.is_some_and(|stored| stored.saves >= saves) {
        return Ok(());
    }
    let next = Incarnation {
        store_id: store_id.to_owned(),
        saves,
    }
    .text();
    file.seek(SeekFrom::Start(0))?;
    file.write_all(next.as_bytes())?;
    file.set_len(next.len() as u64)
}

/// Takes the lock without ever hanging on a stopped process.
fn lock(file: &File, patience: Duration) -> io::Result<()> {
    let deadline = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::from(io::ErrorKind::WouldBlock));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_only_rises_within_one_store() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("incarnation");
        assert_eq!(read(&path).expect("read"), None);
        for (store, saves, expected) in [("a", 5, 5), ("a", 3, 5), ("a", 12, 12), ("b", 1, 1)] {
            advance(&path, store, saves).expect("written");
            let found = read(&path).expect("read").expect("is there");
            assert_eq!((found.store_id.as_str(), found.saves), (store, expected));
        }
    }
}
