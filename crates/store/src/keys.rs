//! Where the store's key comes from.
//!
//! `Auto` looks, in this order, for a systemd credential `tenure-key`, the OS keyring, and the file
//! `<database>.key`. A store that is sealed already takes the first of them that holds **its** key; only a
//! new store has one made. A key is 32 bytes: as 64 hex digits, as base64, or raw.

use std::fmt;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use crate::error::StoreError;
use crate::files;
use crate::helper;
use crate::keyring::Keyring;
use crate::seal::{KEY_LEN, KeyId, Seal, decode_hex, encode_hex, random};

/// Name of the systemd credential.
pub const CREDENTIAL: &str = "tenure-key";
/// How long a helper command may take.
const COMMAND_TIME: Duration = Duration::from_secs(30);
/// How long the keyring may take when it is only one of the usual places.
const KEYRING_PROBE: Duration = Duration::from_secs(2);
/// How long it may take when it was asked for; it may ask a person to unlock it.
const KEYRING_TIME: Duration = Duration::from_mins(1);
/// Nothing that holds a key is longer, in bytes.
const INPUT_MAX: u64 = 4096;

/// Which source to take the key from.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum KeySource {
    /// The first that fits: systemd credential, OS keyring, key file beside the database.
    #[default]
    Auto,
    /// A file for this user alone. Made for a new store if it is not there.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// A program and its arguments; it prints the key.
    Command(Vec<String>),
    /// The OS keyring (Secret Service). Made for a new store if it is not there.
    Keyring,
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeySource::Auto => f.write_str("the usual places"),
            KeySource::File(path) => write!(f, "key file {}", path.display()),
            KeySource::Env(name) => write!(f, "environment variable {name}"),
            KeySource::Command(argv) => {
                write!(
                    f,
                    "command {}",
                    argv.first().map_or("(none)", String::as_str)
                )
            }
            KeySource::Keyring => f.write_str("the OS keyring"),
        }
    }
}

/// What the caller knows of the surroundings; nothing here is read from the environment.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// `$CREDENTIALS_DIRECTORY`, where systemd puts credentials.
    pub credentials_dir: Option<PathBuf>,
    /// The program that asks the OS keyring, `secret-tool` of libsecret; `None` where there is no keyring to
    /// ask, as without a desktop session bus (`$DBUS_SESSION_BUS_ADDRESS`).
    pub keyring_tool: Option<PathBuf>,
}

impl Surroundings {
    /// Looks at the process's environment. For `main` and its like; everything below takes the result.
    pub fn from_env() -> Self {
        Self {
            credentials_dir: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            keyring_tool: std::env::var_os("DBUS_SESSION_BUS_ADDRESS")
                .map(|_| PathBuf::from("secret-tool")),
        }
    }
}

/// A key's bytes, wiped when dropped.
pub(crate) type Key = Zeroizing<[u8; KEY_LEN]>;

/// A key and where it was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) seal: Seal,
    /// The source, for people.
    pub(crate) source: String,
    /// The file it is in, if it is in one.
    pub(crate) file: Option<PathBuf>,
    /// Sources that were passed over, and why.
    pub(crate) skipped: Vec<String>,
}

/// What is asked for.
pub(crate) struct Wanted<'a> {
    pub(crate) database: &'a Path,
    pub(crate) store_id: &'a str,
    pub(crate) source: &'a KeySource,
    pub(crate) around: &'a Surroundings,
    /// The key the store is sealed with; `None` for a new store.
    pub(crate) expected: Option<KeyId>,
}

enum Place {
    Credential(PathBuf),
    File(PathBuf),
    Env(String),
    Command(Vec<String>),
    Keyring,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Credential(path) => write!(f, "systemd credential {}", path.display()),
            Place::File(path) => KeySource::File(path.clone()).fmt(f),
            Place::Env(name) => KeySource::Env(name.clone()).fmt(f),
            Place::Command(argv) => KeySource::Command(argv.clone()).fmt(f),
            Place::Keyring => KeySource::Keyring.fmt(f),
        }
    }
}

/// What is left to do when a store's key is gone for good.
pub(crate) fn without_key(database: &Path) -> String {
    format!(
        "if it is lost, move {} away and log in again, which makes a new store",
        database.display()
    )
}

/// The key file `Auto` uses for a database.
pub fn default_file(database: &Path) -> PathBuf {
    files::beside(database, ".key")
}

/// Where a key file's successor lies while a store is being rekeyed.
pub(crate) fn successor(file: &Path) -> PathBuf {
    files::beside(file, ".new")
}

/// The id of the key in a file; `None` where there is none.
pub(crate) fn id_in(file: &Path) -> Result<Option<KeyId>, StoreError> {
    let bytes = read_private(file)
        .map_err(|error| unusable(&Place::File(file.to_owned()), &error))?
        .map(Zeroizing::new);
    let key = bytes.and_then(|bytes| parse(&bytes));
    Ok(key.map(|key| Seal::new(&key).id()))
}

/// Puts the successor in the key file's place, durably.
pub(crate) fn install_successor(file: &Path) -> Result<(), StoreError> {
    std::fs::rename(successor(file), file)
        .and_then(|()| files::sync_dir(files::parent(file)))
        .map_err(|error| StoreError::from_io(file, "replacing the key file", &error))
}

impl Wanted<'_> {
    /// Finds the key, or makes one for a new store.
    pub(crate) fn find(&self) -> Result<Found, StoreError> {
        let mut skipped = Vec::new();
        let mut other = None;
        for place in self.places(&mut skipped) {
            let key = match self.read(&place) {
                Ok(Some(key)) => key,
                Ok(None) => {
                    skipped.push(format!("{place} has none"));
                    continue;
                }
                // A keyring nobody asked for may be locked, or its tool missing.
                Err(error) if self.is_probe(&place) => {
                    skipped.push(error.with_fix());
                    continue;
                }
                Err(error) => return Err(error),
            };
            let seal = Seal::new(&key);
            match self.expected {
                Some(expected) if expected != seal.id() => {
                    skipped.push(format!("{place} holds key {}", seal.id()));
                    other = other.or(Some((seal.id(), place.to_string())));
                }
                _ => return Ok(found(seal, &place, skipped)),
            }
        }
        match (self.expected, other) {
            (Some(expected), Some((found, source_name))) => Err(StoreError::WrongKey {
                path: self.database.to_owned(),
                expected: expected.to_string(),
                found: found.to_string(),
                source_name,
            }),
            (Some(expected), None) => Err(StoreError::KeyMissing {
                path: self.database.to_owned(),
                expected: expected.to_string(),
                looked: skipped.join("; "),
            }),
            (None, _) => self.make(skipped),
        }
    }

    /// Where to look, in order.
    fn places(&self, skipped: &mut Vec<String>) -> Vec<Place> {
        match self.source {
            KeySource::Auto => {
                let mut places = Vec::new();
                match &self.around.credentials_dir {
                    Some(dir) => places.push(Place::Credential(dir.join(CREDENTIAL))),
                    None => skipped.push("no systemd credentials here".to_owned()),
                }
                match &self.around.keyring_tool {
                    Some(_) => places.push(Place::Keyring),
                    None => skipped.push("no OS keyring here (no desktop session bus)".to_owned()),
                }
                let file = default_file(self.database);
                places.push(Place::File(file.clone()));
                places.extend(self.successor_place(&file));
                places
            }
            KeySource::File(path) => std::iter::once(Place::File(path.clone()))
                .chain(self.successor_place(path))
                .collect(),
            KeySource::Env(name) => vec![Place::Env(name.clone())],
            KeySource::Command(argv) => vec![Place::Command(argv.clone())],
            KeySource::Keyring => vec![Place::Keyring],
        }
    }

    /// A rekey that was interrupted leaves the new key beside the old one.
    fn successor_place(&self, file: &Path) -> Option<Place> {
        let path = successor(file);
        (self.expected.is_some() && path.exists()).then_some(Place::File(path))
    }

    fn read(&self, place: &Place) -> Result<Option<Key>, StoreError> {
        let bytes = match place {
            Place::Credential(path) => {
                files::read(path).map_err(|error| unusable(place, &error))?
            }
            Place::File(path) => read_private(path).map_err(|error| unusable(place, &error))?,
            Place::Env(name) => std::env::var(name).ok().map(String::into_bytes),
            Place::Command(argv) => Some(run(argv).map_err(|error| unusable(place, &error))?),
            Place::Keyring => self
                .keyring()
                .and_then(|keyring| keyring.read())
                .map_err(|error| unusable(place, &error))?,
        };
        let Some(bytes) = bytes.map(Zeroizing::new) else {
            return Ok(None);
        };
        parse(&bytes).map(Some).ok_or_else(|| StoreError::Key {
            source_name: place.to_string(),
            detail: format!(
                "it must hold {KEY_LEN} bytes, as {} hex digits or base64",
                2 * KEY_LEN
            ),
            fix: Some(match self.expected {
                None => format!("make one with `openssl rand -hex {KEY_LEN}`"),
                Some(id) => format!(
                    "put key {id} back from a copy: a new one would open nothing; {}",
                    without_key(self.database)
                ),
            }),
        })
    }

    /// Whether the keyring is only one of the usual places here.
    fn is_probe(&self, place: &Place) -> bool {
        matches!((self.source, place), (KeySource::Auto, Place::Keyring))
    }

    fn keyring(&self) -> io::Result<Keyring<'_>> {
        let tool = self.around.keyring_tool.as_deref().ok_or_else(|| {
            io::Error::other(
                "there is none here (no desktop session bus, $DBUS_SESSION_BUS_ADDRESS)",
            )
        })?;
        Ok(Keyring {
            tool,
            store_id: self.store_id,
            limit: match self.source {
                KeySource::Auto => KEYRING_PROBE,
                _ => KEYRING_TIME,
            },
        })
    }

    /// Makes the first key of a new store.
    fn make(&self, mut skipped: Vec<String>) -> Result<Found, StoreError> {
        match self.source {
            KeySource::File(path) => self.make_file(path, skipped),
            KeySource::Keyring => self.make_in_keyring(skipped),
            KeySource::Env(_) | KeySource::Command(_) => Err(StoreError::Key {
                source_name: self.source.to_string(),
                detail: "there is none".to_owned(),
                fix: Some(format!(
                    "put {KEY_LEN} random bytes as hex there (`openssl rand -hex {KEY_LEN}`)"
                )),
            }),
            KeySource::Auto => {
                let answers = format!("{} has none", Place::Keyring);
                if skipped.contains(&answers) {
                    match self.make_in_keyring(Vec::new()) {
                        Ok(made) => return Ok(Found { skipped, ..made }),
                        Err(error) => skipped.push(error.with_fix()),
                    }
                }
                self.make_file(&default_file(self.database), skipped)
            }
        }
    }

    fn make_in_keyring(&self, skipped: Vec<String>) -> Result<Found, StoreError> {
        let place = Place::Keyring;
        let key = fresh(&place)?;
        self.keyring()
            .and_then(|keyring| keyring.write(&key))
            .map_err(|error| unusable(&place, &error))?;
        Ok(found(Seal::new(&key), &place, skipped))
    }

    fn make_file(&self, file: &Path, skipped: Vec<String>) -> Result<Found, StoreError> {
        let place = Place::File(file.to_owned());
        let key = fresh(&place)?;
        match files::create_whole(file, &file_text(&key)) {
            Ok(()) => Ok(found(Seal::new(&key), &place, skipped)),
            // Another process made one in the same moment: it is as good.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                match self.read(&place)? {
                    Some(key) => Ok(found(Seal::new(&key), &place, skipped)),
                    None => Err(unusable(&place, &error)),
                }
            }
            Err(error) => Err(StoreError::from_io(file, "writing the key file", &error)),
        }
    }
}

fn found(seal: Seal, place: &Place, skipped: Vec<String>) -> Found {
    Found {
        seal,
        source: place.to_string(),
        file: match place {
            Place::File(path) => Some(path.clone()),
            _ => None,
        },
        skipped,
    }
}

fn unusable(place: &Place, error: &io::Error) -> StoreError {
    StoreError::Key {
        source_name: place.to_string(),
        detail: error.to_string(),
        fix: error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<Advised>())
            .map(|advised| advised.fix.clone()),
    }
}

/// What is wrong with a key source and what to do about it, on its way through an I/O error.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
struct Advised {
    what: String,
    fix: String,
}

pub(crate) fn fresh_key() -> Result<Key, crate::SealError> {
    random::<KEY_LEN>().map(Zeroizing::new)
}

fn fresh(place: &Place) -> Result<Key, StoreError> {
    fresh_key().map_err(|_| StoreError::Key {
        source_name: place.to_string(),
        detail: "the system gave no randomness".to_owned(),
        fix: None,
    })
}

/// What a key file holds.
pub(crate) fn file_text(key: &Key) -> Zeroizing<Vec<u8>> {
    let mut text = Zeroizing::new(encode_hex(&key[..]).into_bytes());
    text.push(b'\n');
    text
}

/// Reads a key as 64 hex digits, base64, or 32 raw bytes.
pub(crate) fn parse(bytes: &[u8]) -> Option<Key> {
    let exact = |bytes: &[u8]| <[u8; KEY_LEN]>::try_from(bytes).ok().map(Zeroizing::new);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let text = text.trim();
        let decoded = decode_hex(text).or_else(|| {
            STANDARD
                .decode(text)
                .or_else(|_| URL_SAFE_NO_PAD.decode(text))
                .ok()
                .map(Zeroizing::new)
        });
        if let Some(key) = decoded.and_then(|decoded| exact(&decoded)) {
            return Some(key);
        }
    }
    exact(bytes)
}

/// Reads a key file; one that others may read is refused.
fn read_private(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mode = file.metadata()?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(io::Error::other(Advised {
            what: format!("others may read it (mode {mode:04o})"),
            fix: format!(
                "take that right away with `chmod 600 {}`, and make a new key with `tenure store rekey` if others had access",
                path.display()
            ),
        }));
    }
    let mut bytes = Vec::new();
    file.by_ref().take(INPUT_MAX).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Runs a helper and takes what it prints.
fn run(argv: &[String]) -> io::Result<Vec<u8>> {
    let said = helper::run(argv, b"", COMMAND_TIME)?;
    if !said.status.success() {
        return Err(io::Error::other(format!(
            "it failed ({}): {}",
            said.status, said.stderr
        )));
    }
    Ok(said.stdout.to_vec())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_read_in_every_form() {
        let key = Zeroizing::new([0xa7; KEY_LEN]);
        let hex = file_text(&key);
        let base64 = STANDARD.encode(key.as_slice());
        for form in [&hex[..], base64.as_bytes(), key.as_slice()] {
            assert_eq!(parse(form), Some(key.clone()));
        }
        for junk in [&b""[..], b"short", &[0x41; 33], b"zz"] {
            assert_eq!(parse(junk), None);
        }
    }

    struct Bench {
        dir: tempfile::TempDir,
        around: Surroundings,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                dir: tempfile::tempdir().expect("a directory"),
                around: Surroundings::default(),
            }
        }

        fn find(&self, source: &KeySource, expected: Option<KeyId>) -> Result<Found, StoreError> {
            Wanted {
                database: &self.dir.path().join("tenure.db"),
                store_id: "s1",
                source,
                around: &self.around,
                expected,
            }
            .find()
        }

        fn put(&self, name: &str, mode: u32, text: &[u8]) -> PathBuf {
            let path = self.dir.path().join(name);
            fs::write(&path, text).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
            path
        }

        /// A stand-in for `secret-tool` that keeps secrets in a directory.
        fn keyring(&mut self, script: &str) {
            self.around.keyring_tool = Some(self.put("secret-tool", 0o700, script.as_bytes()));
        }
    }

    const KEYRING: &str = "#!/bin/sh\nkeep=\"$0.kept\"\nif [ \"$1\" = store ]; then cat > \"$keep\"; else test -f \"$keep\" && cat \"$keep\"; fi\n";

    #[test]
    fn a_new_store_gets_a_private_key_file_and_finds_it_again() {
        let bench = Bench::new();
        let made = bench.find(&KeySource::Auto, None).expect("made");
        let file = made.file.expect("is in a file");
        let mode = fs::metadata(&file).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = bench
            .find(&KeySource::Auto, Some(made.seal.id()))
            .expect("found");
        assert_eq!(again.seal.id(), made.seal.id());
    }

    #[test]
    fn a_sealed_store_never_gets_a_new_key() {
        let bench = Bench::new();
        let id = Seal::new(&[9; KEY_LEN]).id();
        let error = bench.find(&KeySource::Auto, Some(id)).expect_err("no key");
        assert!(
            matches!(&error, StoreError::KeyMissing { looked, .. } if looked.contains("tenure.db.key")),
            "{error}"
        );
        assert_eq!(fs::read_dir(bench.dir.path()).expect("read").count(), 0);
        bench.put("tenure.db.key", 0o600, &[1; KEY_LEN]);
        let error = bench
            .find(&KeySource::Auto, Some(id))
            .expect_err("wrong key");
        let found = Seal::new(&[1; KEY_LEN]).id().to_string();
        assert!(
            matches!(&error, StoreError::WrongKey { found: f, .. } if *f == found),
            "{error}"
        );
    }

    #[test]
    fn a_key_file_that_others_may_read_is_refused() {
        let bench = Bench::new();
        bench.put("tenure.db.key", 0o640, &[1; KEY_LEN]);
        let text = bench
            .find(&KeySource::Auto, None)
            .expect_err("refused")
            .with_fix();
        assert!(
            text.contains("others may read it (mode 0640); take that right away with `chmod 600"),
            "{text}"
        );
    }

    #[test]
    fn the_credential_comes_first_and_the_fitting_key_wins() {
        let mut bench = Bench::new();
        bench.put(CREDENTIAL, 0o440, &[2; KEY_LEN]);
        bench.put("tenure.db.key", 0o600, &[1; KEY_LEN]);
        bench.around.credentials_dir = Some(bench.dir.path().to_owned());
        let first = bench.find(&KeySource::Auto, None).expect("found");
        assert!(
            first.source.contains("systemd credential"),
            "{}",
            first.source
        );
        let fitting = Seal::new(&[1; KEY_LEN]).id();
        let found = bench.find(&KeySource::Auto, Some(fitting)).expect("found");
        assert!(found.source.contains("key file"), "{}", found.source);
    }

    #[test]
    fn a_keyring_keeps_the_key_of_a_new_store() {
        let mut bench = Bench::new();
        bench.keyring(KEYRING);
        let made = bench.find(&KeySource::Auto, None).expect("made");
        assert_eq!((made.source.as_str(), made.file), ("the OS keyring", None));
        let again = bench
            .find(&KeySource::Keyring, Some(made.seal.id()))
            .expect("found");
        assert_eq!(again.seal.id(), made.seal.id());
    }

    #[test]
    fn a_keyring_that_fails_is_passed_over_and_reported_unless_it_was_asked_for() {
        let mut bench = Bench::new();
        bench.keyring("#!/bin/sh\necho locked >&2; exit 1\n");
        let made = bench.find(&KeySource::Auto, None).expect("made in a file");
        assert!(made.source.contains("key file"));
        assert!(
            made.skipped.iter().any(|why| why.contains("locked")),
            "{:?}",
            made.skipped
        );
        let text = bench
            .find(&KeySource::Keyring, None)
            .expect_err("fails")
            .to_string();
        assert!(text.contains("locked"), "{text}");
    }

    #[test]
    fn commands_give_keys_or_reasons() {
        let bench = Bench::new();
        let command =
            |script: &str| KeySource::Command(["sh", "-c", script].map(str::to_owned).to_vec());
        let hex = "5a".repeat(KEY_LEN);
        let found = bench
            .find(&command(&format!("echo {hex}")), None)
            .expect("found");
        assert_eq!(found.seal.id(), Seal::new(&[0x5a; KEY_LEN]).id());
        for (script, reason) in [
            ("echo vault sealed >&2; exit 3", "vault sealed"),
            ("echo no-key", "must hold 32 bytes"),
        ] {
            let text = bench
                .find(&command(script), None)
                .expect_err("fails")
                .to_string();
            assert!(text.contains(reason), "{text}");
        }
        let text = bench
            .find(
                &KeySource::Env("TENURE_KEY_THAT_NOBODY_SET".to_owned()),
                None,
            )
            .expect_err("fails")
            .to_string();
        assert!(text.contains("TENURE_KEY_THAT_NOBODY_SET"), "{text}");
    }
}
