//! The file with the key that an issuer's own keys are sealed with.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use tenure_store::Seal;

use crate::error::{CommandError, Exit, Outcome, Problem};

/// Its usual name, in the data directory.
pub const FILE: &str = "issuer.key";
/// Length of the key in bytes.
const LEN: usize = 32;

/// A key, and whether it was made just now.
pub struct Key {
    /// What it seals with.
    pub seal: Seal,
    /// Whether the file was not there before.
    pub made: bool,
}

/// Reads the key. One that other users may read is no secret.
pub fn read(path: &Path) -> Outcome<Seal> {
    let mut file = File::open(path).map_err(|error| unusable(path, error))?;
    let about = file.metadata().map_err(|error| unusable(path, error))?;
    let mode = about.permissions().mode();
    if mode & 0o077 != 0 {
        let problem = Problem::new("other users may read or write the issuer's key")
            .at(path.display())
            .fix(format!("chmod 600 {}", path.display()));
        return Err(CommandError::new(Exit::NeedsOperator, problem));
    }
    let mut key = [0; LEN];
    file.read_exact(&mut key)
        .map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => unusable(path, format!("it has fewer than {LEN} bytes")),
            _ => unusable(path, error),
        })?;
    Ok(Seal::new(&key))
}

/// Reads the key; makes it, for this user alone, where there is none. Of several processes that do so at one time
/// the first wins.
pub fn read_or_make(path: &Path) -> Outcome<Key> {
    let made = !path.exists() && make(path).map_err(|error| unusable(path, error))?;
    Ok(Key {
        seal: read(path)?,
        made,
    })
}

/// Whether it was this process that made it. The file is whole from the moment it has its name.
fn make(path: &Path) -> std::io::Result<bool> {
    let fresh = path.with_extension(format!("new.{}", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(&tenure_jose::random::<LEN>())?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&fresh, path);
    std::fs::remove_file(&fresh)?;
    match linked {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

fn unusable(path: &Path, why: impl std::fmt::Display) -> CommandError {
    let problem = Problem::new(format!("cannot use the issuer's key: {why}"))
        .at(path.display())
        .fix(
            "bring the file back, readable for this user; nothing else opens the issuer's database",
        );
    CommandError::new(Exit::NeedsOperator, problem)
}
