//! The spare slot (I9): one sealed file per session beside the database, for a pair that could not be saved.
//!
//! A file is: generation (8 bytes, little endian) ‖ sealed pair.

use std::io;
use std::path::{Path, PathBuf};

use crate::files;

/// The directory of the spare slots of one database.
#[derive(Clone, Debug)]
pub(crate) struct Spares {
    dir: PathBuf,
}

/// What one slot holds.
#[derive(Clone, Debug)]
pub(crate) struct Spare {
    pub(crate) generation: u64,
    pub(crate) sealed: Vec<u8>,
}

impl Spares {
    pub(crate) fn new(database: &Path) -> Self {
        Self {
            dir: files::beside(database, ".spare"),
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn path(&self, session: &str) -> PathBuf {
        self.dir.join(file_name(session))
    }

    /// Writes the slot durably.
    pub(crate) fn save(&self, session: &str, generation: u64, sealed: &[u8]) -> io::Result<()> {
        files::make_private_dir(&self.dir)?;
        let bytes = [&generation.to_le_bytes(), sealed].concat();
        files::write_atomically(&self.path(session), &bytes)
    }

    /// Reads the slot; `None` when it is empty or too short to hold anything.
    pub(crate) fn read(&self, session: &str) -> io::Result<Option<Spare>> {
        Ok(files::read(&self.path(session))?.and_then(|bytes| parse(&bytes)))
    }

    /// Empties the slot if what it holds is of `generation` or older.
    pub(crate) fn clear(&self, session: &str, generation: u64) -> io::Result<()> {
        match self.read(session)? {
            Some(spare) if spare.generation > generation => Ok(()),
            Some(_) => self.remove(session),
            None => Ok(()),
        }
    }

    /// Empties the slot.
    pub(crate) fn remove(&self, session: &str) -> io::Result<()> {
        if files::remove(&self.path(session))? {
            files::sync_dir(&self.dir)?;
        }
        Ok(())
    }

    /// The sessions that have something in their slot.
    pub(crate) fn sessions(&self) -> io::Result<Vec<String>> {
        let entries = match std::fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut sessions = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            sessions.extend(name.to_str().and_then(session_name));
        }
        sessions.sort();
        Ok(sessions)
    }
}

fn parse(bytes: &[u8]) -> Option<Spare> {
    let (head, sealed) = bytes.split_first_chunk::<8>()?;
    Some(Spare {
        generation: u64::from_le_bytes(*head),
        sealed: sealed.to_vec(),
    })
}

/// A file name for any session name: letters, digits, `-` and `_` stand for themselves.
fn file_name(session: &str) -> String {
    use std::fmt::Write;
    session.bytes().fold(String::new(), |mut name, byte| {
        if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' {
            name.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(name, "%{byte:02x}");
        }
        name
    })
}

/// The session of a file name that [`file_name`] made; `None` for any other file.
fn session_name(file: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(file.len());
    let mut rest = file;
    while let Some(first) = rest.chars().next() {
        if first == '%' {
            bytes.push(u8::from_str_radix(rest.get(1..3)?, 16).ok()?);
            rest = rest.get(3..)?;
        } else {
            bytes.push(u8::try_from(first).ok()?);
            rest = &rest[1..];
        }
    }
    let name = String::from_utf8(bytes).ok()?;
    (file_name(&name) == file).then_some(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_newer_spare_survives_the_clearing_of_an_older_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let spares = Spares::new(&dir.path().join("tenure.db"));
        spares.save("../shop", 4, b"sealed").expect("saved");
        assert_eq!(spares.sessions().expect("listed"), ["../shop"]);
        spares.clear("../shop", 3).expect("cleared");
        let spare = spares.read("../shop").expect("read").expect("is there");
        assert_eq!(
            (spare.generation, spare.sealed.as_slice()),
            (4, &b"sealed"[..])
        );
        spares.clear("../shop", 4).expect("cleared");
        assert!(spares.read("../shop").expect("read").is_none());
    }

    proptest! {
        #[test]
        fn every_name_has_a_file_of_its_own_in_the_directory(name: String, other: String) {
            let file = file_name(&name);
            prop_assert_eq!(session_name(&file), Some(name.clone()));
            prop_assert!(!file.contains('/') && !file.starts_with('.'));
            prop_assert_eq!(file_name(&other) == file, other == name);
        }
    }
}
