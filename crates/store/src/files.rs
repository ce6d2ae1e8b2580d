//! Files beside the database: private, written whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// `tenure.db` + `.key` = `tenure.db.key`.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The directory a file is in.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes a directory and its parents for this user alone; one that exists is left as it is.
pub(crate) fn make_private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

/// Opens for reading and writing; made, for this user alone, if it is not there.
pub(crate) fn open_private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

/// Writes a whole private file durably: temporary file, sync, rename, sync of the directory.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = temporary(path);
    let written = write_new(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one to tell; a temporary file that was never made is no second one.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    sync_dir(parent(path))
}

/// Writes a private file that must not exist yet, durably. `AlreadyExists` tells that somebody was faster.
pub(crate) fn create_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = temporary(path);
    // A hard link appears with its whole content or not at all, and never replaces a file.
    let made = write_new(&temporary, bytes).and_then(|()| fs::hard_link(&temporary, path));
    let removed = fs::remove_file(&temporary);
    made?;
    removed?;
    sync_dir(parent(path))
}

/// A name beside `path` that nobody else uses: no other process, and no other thread of this one.
fn temporary(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    beside(path, &format!(".{}-{count}.tmp", std::process::id()))
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes a rename or removal in this directory durable.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Removes a file; whether there was one.
pub(crate) fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The content, `None` when there is no file.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn files_are_private_and_replaced_whole() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("deep/er/file");
        make_private_dir(parent(&path)).expect("made");
        write_atomically(&path, b"one").expect("written");
        write_atomically(&path, b"two").expect("written");
        assert_eq!(read(&path).expect("read"), Some(b"two".to_vec()));
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(parent(&path)), 0o700);
        assert_eq!(fs::read_dir(parent(&path)).expect("read").count(), 1);
    }

    #[test]
    fn create_whole_never_replaces() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        create_whole(&path, b"one").expect("written");
        let again = create_whole(&path, b"two").expect_err("is there");
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(read(&path).expect("read"), Some(b"one".to_vec()));
        assert!(remove(&path).expect("removed"));
        assert!(!remove(&path).expect("gone"));
    }
}
