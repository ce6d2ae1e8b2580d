//! What can go wrong with a store, each with what, where and what to do. Nothing here loses data: a store that
//! cannot be used is left as it is.
//!
//! The text of an error says what is wrong and where; what to do is [`StoreError::fix`].

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use tenure_core::{Class, Code, Failure, Generation, Heal, Who};

use crate::keys::without_key;

/// A store's error. The text names what is wrong and where, [`fix`](StoreError::fix) what to do. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The file or its directory cannot be opened, read or written for a reason of its own.
    #[error("cannot use the store {}: {detail}", path.display())]
    Unavailable {
        /// The database or the file beside it.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// The database server cannot be reached, or does not take part for now.
    #[error("cannot reach the store {}: {detail}", path.display())]
    Unreachable {
        /// The database's address, without a password.
        path: PathBuf,
        /// What the system or the server said.
        detail: String,
    },
    /// The file is damaged, or no SQLite database at all.
    #[error("the store {} is damaged: {detail}; it was left as it is", path.display())]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// What the check found.
        detail: String,
    },
    /// A healthy SQLite database that belongs to another program.
    #[error("{} is a database of another program (application id {found:#010x}, expected {expected:#010x}); it was left as it is", path.display())]
    Foreign {
        /// The database.
        path: PathBuf,
        /// `PRAGMA application_id` found.
        found: i32,
        /// The one wanted.
        expected: i32,
    },
    /// The schema is newer than this program.
    #[error("the store {} has schema version {found}, and this program knows versions up to {known}; it was left as it is", path.display())]
    ForeignVersion {
        /// The database.
        path: PathBuf,
        /// `PRAGMA user_version` found.
        found: i64,
        /// The newest version known.
        known: i64,
    },
    /// The file, its directory or its disk is read-only.
    #[error("the store {} cannot be written: {detail}", path.display())]
    ReadOnly {
        /// The database or the file beside it.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// The disk or the quota is full.
    #[error("no space left for the store {}: {detail}; nothing stored was lost", path.display())]
    Full {
        /// The database or the file beside it.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// Another process held the write lock for too long.
    #[error("the store {} is locked by another process for more than {waited_ms} ms", path.display())]
    Busy {
        /// The database.
        path: PathBuf,
        /// How long was waited, in milliseconds.
        waited_ms: u64,
    },
    /// Another rekey holds the store's key for too long.
    #[error("another rekey of the store {} has not ended within {waited_ms} ms; nothing was changed", path.display())]
    Rekeying {
        /// The database.
        path: PathBuf,
        /// How long was waited, in milliseconds.
        waited_ms: u64,
    },
    /// The key found does not open this store.
    #[error("the store {} is sealed with key {expected}, but {source_name} holds key {found}; nothing was changed", path.display())]
    WrongKey {
        /// The database.
        path: PathBuf,
        /// Key id the store was sealed with.
        expected: String,
        /// Key id that was found.
        found: String,
        /// Where that key came from.
        source_name: String,
    },
    /// The store is sealed and its key is nowhere to be found. No new key is made, for it could open nothing.
    #[error("the store {} is sealed with key {expected}, and no key was found: {looked}; nothing was changed", path.display())]
    KeyMissing {
        /// The database.
        path: PathBuf,
        /// Key id the store was sealed with.
        expected: String,
        /// Which sources were tried and why each had none.
        looked: String,
    },
    /// A key source that was named cannot be used.
    #[error("cannot take the store's key from {source_name}: {detail}")]
    Key {
        /// Which source.
        source_name: String,
        /// What is wrong.
        detail: String,
        /// What to do, where more is known than the detail says.
        fix: Option<String>,
    },
    /// A stored session cannot be opened; it is kept as it is.
    #[error("session {session} in the store {} cannot be opened: {detail}; it is kept as it is", path.display())]
    Unreadable {
        /// The database.
        path: PathBuf,
        /// The session.
        session: String,
        /// Why.
        detail: String,
    },
    /// Somebody else took the lease over (or a login or logout came between): the write changed nothing.
    #[error("the lease on this session has passed to somebody else; nothing was written")]
    Fenced,
    /// The session has moved on to another generation: the write changed nothing.
    #[error("the session is at generation {now} by now; nothing was written")]
    Moved {
        /// The stored generation.
        now: Generation,
    },
    /// An export file that cannot be read.
    #[error("cannot import: {detail}")]
    Import {
        /// What is wrong.
        detail: String,
        /// What to do.
        fix: Option<String>,
    },
    /// A fault that a test's plan asked for.
    #[error("fault point {point}: {detail}")]
    Fault {
        /// The point.
        point: String,
        /// What the plan says.
        detail: String,
    },
    /// A statement that this program should not have made: a bug.
    #[error("internal error at the store {}: {detail}", path.display())]
    Internal {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        detail: String,
    },
}

impl StoreError {
    /// The stable code every store error carries.
    pub fn code(&self) -> Code {
        Code::StoreUnavailable
    }

    /// Whether this is the answer of a compare-and-swap rather than a fault of the store.
    pub fn is_conflict(&self) -> bool {
        matches!(self, StoreError::Fenced | StoreError::Moved { .. })
    }

    /// Whether the same call may succeed later without anybody doing anything.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            StoreError::Busy { .. }
                | StoreError::Unreachable { .. }
                | StoreError::Rekeying { .. }
                | StoreError::Fault { .. }
        )
    }

    /// The cause, in snake case, as [`Failure::cause`] has it.
    pub fn cause(&self) -> &'static str {
        match self {
            StoreError::Unavailable { .. } => "store_unavailable",
            StoreError::Unreachable { .. } => "store_unreachable",
            StoreError::Corrupt { .. } => "store_corrupt",
            StoreError::Foreign { .. } => "store_foreign",
            StoreError::ForeignVersion { .. } => "store_newer",
            StoreError::ReadOnly { .. } => "store_read_only",
            StoreError::Full { .. } => "store_full",
            StoreError::Busy { .. } => "store_busy",
            StoreError::Rekeying { .. } => "store_rekeying",
            StoreError::WrongKey { .. } => "store_wrong_key",
            StoreError::KeyMissing { .. } => "store_key_missing",
            StoreError::Key { .. } => "store_key_unusable",
            StoreError::Unreadable { .. } => "session_unreadable",
            StoreError::Fenced => "lease_lost",
            StoreError::Moved { .. } => "generation_moved",
            StoreError::Import { .. } => "import_unreadable",
            StoreError::Fault { .. } => "fault_injected",
            StoreError::Internal { .. } => "store_internal",
        }
    }

    /// The error as the FAILURE every surface shows.
    pub fn failure(&self) -> Failure {
        let heal = if self.is_passing() || self.is_conflict() {
            Heal::RetryLater
        } else {
            Heal::FixConfig
        };
        Failure::new(
            self.code(),
            Class::Unknown,
            self.cause(),
            heal,
            Who::Operator,
            self.with_fix(),
        )
    }

    /// What to do about it; `None` where nothing need be done, or nothing can.
    pub fn fix(&self) -> Option<String> {
        let fix = match self {
            StoreError::Unreachable { .. } => {
                "it is tried again; check that the database server runs and that this host reaches it"
            }
            StoreError::Unavailable { path, .. } if is_address(path) => {
                "check the address, the user's password and rights, and that the database exists"
            }
            StoreError::ReadOnly { path, .. } if is_address(path) => {
                "name the primary: this server is a replica, or takes no writes for now"
            }
            StoreError::Full { path, .. } if is_address(path) => {
                "free some space on the database server's disk"
            }
            StoreError::Busy { path, .. } if is_address(path) => "try again",
            StoreError::WrongKey { path, .. } | StoreError::KeyMissing { path, .. }
                if is_address(path) =>
            {
                "every host needs the same key: copy the key file from a host that has it (0600), or set `store_key` to \
                 where the key is"
            }
            StoreError::Unavailable { .. } => {
                "check that the path exists, lies on a local disk and belongs to this user"
            }
            StoreError::Corrupt { .. } => {
                "keep a copy of it and of the files beside it, then restore a backup or import an export \
                 (`tenure store import`)"
            }
            StoreError::Foreign { .. } => "choose another path for the store",
            StoreError::ForeignVersion { .. } => "use the newer program that wrote it",
            StoreError::ReadOnly { .. } => {
                "make the file and its directory writable for this user, or mount the disk read-write"
            }
            StoreError::Full { .. } => "free some space on that disk",
            StoreError::Busy { path, .. } => {
                return Some(format!(
                    "find who holds it open (`fuser {}`) and try again",
                    path.display()
                ));
            }
            StoreError::Rekeying { .. } => "wait until it has ended, or end it, and try again",
            StoreError::WrongKey { path, .. } => {
                return Some(format!(
                    "bring back the right key, or set `store_key` to where it is; {}",
                    without_key(path)
                ));
            }
            StoreError::KeyMissing { path, .. } => {
                return Some(format!(
                    "bring the key back, or set `store_key` to where it is; {}",
                    without_key(path)
                ));
            }
            StoreError::Key { fix, .. } | StoreError::Import { fix, .. } => return fix.clone(),
            StoreError::Unreadable { session, .. } => {
                return Some(format!(
                    "bring back the key it was sealed with, or log in again (`tenure login {session}`)"
                ));
            }
            StoreError::Internal { .. } => "please report this",
            StoreError::Fenced | StoreError::Moved { .. } | StoreError::Fault { .. } => {
                return None;
            }
        };
        Some(fix.to_owned())
    }

    /// What is wrong and what to do, for a place with room for one text only.
    pub fn with_fix(&self) -> String {
        match self.fix() {
            Some(fix) => format!("{self}; {fix}"),
            None => self.to_string(),
        }
    }

    /// The same error of a store at this address, for what was found out without knowing it.
    pub(crate) fn at(self, address: &str) -> Self {
        match self {
            StoreError::WrongKey {
                expected,
                found,
                source_name,
                ..
            } => StoreError::WrongKey {
                path: address.into(),
                expected,
                found,
                source_name,
            },
            StoreError::KeyMissing {
                expected, looked, ..
            } => StoreError::KeyMissing {
                path: address.into(),
                expected,
                looked,
            },
            other => other,
        }
    }

    /// Names what SQLite reported for the database at `path`.
    pub(crate) fn from_sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        let path = path.to_owned();
        let detail = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                StoreError::Corrupt { path, detail }
            }
            Some(ErrorCode::ReadOnly) => StoreError::ReadOnly { path, detail },
            Some(ErrorCode::DiskFull) => StoreError::Full { path, detail },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy {
                path,
                waited_ms: crate::sqlite::BUSY_MS,
            },
            // A full disk shows itself as an I/O error where SQLite grows its shared memory or syncs.
            Some(ErrorCode::SystemIoFailure) if no_space(&path) => {
                StoreError::Full { path, detail }
            }
            Some(
                ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
                | ErrorCode::SystemIoFailure
                | ErrorCode::OutOfMemory
                | ErrorCode::OperationInterrupted
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::NoLargeFileSupport,
            ) => StoreError::Unavailable { path, detail },
            _ => StoreError::Internal { path, detail },
        }
    }

    /// Names an error of the file system at `path`.
    pub(crate) fn from_io(path: &Path, doing: &str, error: &std::io::Error) -> Self {
        let path = path.to_owned();
        let detail = format!("{doing}: {error}");
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                StoreError::Full { path, detail }
            }
            std::io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly { path, detail },
            std::io::ErrorKind::WouldBlock => StoreError::Busy {
                path,
                waited_ms: crate::sqlite::BUSY_MS,
            },
            _ => StoreError::Unavailable { path, detail },
        }
    }
}

/// Whether a store is on a server and no file.
fn is_address(path: &Path) -> bool {
    path.to_str()
        .is_some_and(|text| text.starts_with("postgres") || text.starts_with("valkey"))
}

fn no_space(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|stat| stat.f_bavail == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_read_only_one_are_told_apart() {
        let path = Path::new("/data/tenure.db");
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let text = StoreError::from_io(path, "writing", &full).to_string();
        assert!(
            text.starts_with("no space left for the store /data/tenure.db"),
            "{text}"
        );
        let ro = std::io::Error::from(std::io::ErrorKind::ReadOnlyFilesystem);
        assert!(matches!(
            StoreError::from_io(path, "writing", &ro),
            StoreError::ReadOnly { .. }
        ));
    }

    #[test]
    fn the_failure_carries_code_cause_and_what_to_do() {
        let failure = StoreError::Full {
            path: "/data/tenure.db".into(),
            detail: "disk full".to_owned(),
        }
        .failure();
        assert_eq!(failure.code, Code::StoreUnavailable);
        assert_eq!(failure.cause, "store_full");
        assert_eq!(failure.heal, Heal::FixConfig);
        assert!(failure.detail.contains("free some space"));
    }

    #[test]
    fn the_text_says_what_and_where_and_the_fix_what_to_do() {
        let error = StoreError::Busy {
            path: "/data/tenure.db".into(),
            waited_ms: 5,
        };
        assert_eq!(
            error.to_string(),
            "the store /data/tenure.db is locked by another process for more than 5 ms"
        );
        assert_eq!(
            error.fix().as_deref(),
            Some("find who holds it open (`fuser /data/tenure.db`) and try again")
        );
        assert_eq!(StoreError::Fenced.fix(), None);
        assert_eq!(
            StoreError::Fenced.with_fix(),
            StoreError::Fenced.to_string()
        );
    }
}
