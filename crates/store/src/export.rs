//! Taking all sessions out into one file, and back in.
//!
//! A sealed export is: `TENUREX1` ‖ Argon2id memory in KiB, passes, lanes (4 bytes each, little endian) ‖
//! salt (16 bytes) ‖ the JSON below, sealed under the derived key with all that stands before it as
//! associated data. A plain export is that JSON alone.

use argon2::{Algorithm, Argon2, Params, Version};
use rusqlite::{Transaction, params};
use serde::{Deserialize, Serialize};
use tenure_core::{Generation, Secret, TokenPair, Wall};
use zeroize::Zeroizing;

use crate::clock;
use crate::error::StoreError;
use crate::record::{Info, Latch, Record, StoredLogin, Suspect};
use crate::seal::{KEY_LEN, Seal, SealError, random};
use crate::sqlite::{SqliteStore, sessions};
use crate::store::Store;
use crate::vault::{Field, LoginIn, LoginOut, PairIn, PairOut, Vault};

const MAGIC: &[u8; 8] = b"TENUREX1";
const SALT_LEN: usize = 16;
const HEADER_LEN: usize = MAGIC.len() + 12 + SALT_LEN;
/// 64 MiB, 3 passes, 1 lane: the second choice of RFC 9106 §4 with one lane.
const COST: Cost = Cost {
    memory_kib: 64 * 1024,
    passes: 3,
    lanes: 1,
};
/// What an import is willing to spend on a header that says so: 1 GiB, 32 passes, 16 lanes.
const COST_MAX: Cost = Cost {
    memory_kib: 1024 * 1024,
    passes: 32,
    lanes: 16,
};
const NAME_AN_EXPORT: &str = "name a file that `tenure store export` wrote";
const FORMAT: &str = "tenure sessions";
const VERSION: u32 = 1;

#[derive(Clone, Copy, Debug)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// What an export holds.
#[derive(Debug)]
pub struct Export {
    /// The file's content.
    pub bytes: Zeroizing<Vec<u8>>,
    /// Sessions in it.
    pub sessions: Vec<String>,
    /// Sessions that cannot be opened and are not in it, with the reason.
    pub left_out: Vec<(String, String)>,
}

/// What an import did, by session name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// New here.
    pub imported: Vec<String>,
    /// Took the place of what was here.
    pub replaced: Vec<String>,
    /// Were here already and were left as they are.
    pub skipped: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Document<S> {
    format: String,
    version: u32,
    exported_at: Wall,
    sessions: Vec<S>,
}

#[derive(Serialize)]
struct SessionOut<'a> {
    name: &'a str,
    generation: Generation,
    pair: Option<PairOut<'a>>,
    login: Option<LoginOut<'a>>,
    latch: Option<&'a Latch>,
    info: &'a Info,
}

#[derive(Deserialize)]
struct SessionIn {
    name: String,
    generation: Generation,
    pair: Option<PairIn>,
    login: Option<LoginIn>,
    latch: Option<Latch>,
    #[serde(default)]
    info: Info,
}

/// A session on its way in, its secrets in their own type.
pub(crate) struct Incoming {
    pub(crate) name: String,
    pub(crate) generation: Generation,
    pub(crate) pair: Option<TokenPair>,
    pub(crate) login: Option<StoredLogin>,
    pub(crate) latch: Option<Latch>,
    pub(crate) info: Info,
}

impl From<SessionIn> for Incoming {
    fn from(session: SessionIn) -> Self {
        Self {
            name: session.name,
            generation: session.generation,
            pair: session.pair.map(|pair| pair.with(session.generation)),
            login: session.login.map(StoredLogin::from),
            latch: session.latch,
            info: session.info,
        }
    }
}

impl<'a> From<&'a Record> for SessionOut<'a> {
    fn from(record: &'a Record) -> Self {
        Self {
            name: &record.name,
            generation: record.generation,
            pair: record.pair.as_ref().map(PairOut::from),
            login: record.secret.as_ref().map(LoginOut::from),
            latch: record.latch.as_ref(),
            info: &record.info,
        }
    }
}

/// The records with their tokens in the clear.
pub(crate) fn plain(records: Vec<Record>) -> Result<Export, StoreError> {
    let (readable, unreadable): (Vec<_>, Vec<_>) = records
        .into_iter()
        .partition(|record| record.unreadable.is_none());
    let document = Document {
        format: FORMAT.to_owned(),
        version: VERSION,
        exported_at: clock::wall(),
        sessions: readable.iter().map(SessionOut::from).collect(),
    };
    let bytes = serde_json::to_vec(&document)
        .map(Zeroizing::new)
        .map_err(|error| bad(&error.to_string()))?;
    Ok(Export {
        bytes,
        sessions: readable.into_iter().map(|record| record.name).collect(),
        left_out: unreadable
            .into_iter()
            .map(|record| (record.name, record.unreadable.unwrap_or_default()))
            .collect(),
    })
}

/// A plain export sealed under a passphrase. Takes a moment: the key derivation is made to be slow.
pub(crate) async fn sealed(plain: Export, passphrase: &Secret) -> Result<Export, StoreError> {
    let salt = random::<SALT_LEN>().map_err(|error| bad(&error.to_string()))?;
    let passphrase = passphrase.clone();
    let sealing = tokio::task::spawn_blocking(move || {
        let mut bytes = header(COST, &salt);
        let sealed = derive(&passphrase, COST, &salt)?
            .seal(&bytes, &plain.bytes)
            .map_err(|error| bad(&error.to_string()))?;
        bytes.extend_from_slice(&sealed);
        Ok(Export {
            bytes: Zeroizing::new(bytes),
            ..plain
        })
    });
    sealing.await.map_err(|error| bad(&error.to_string()))?
}

/// The sessions of an export, in either form.
pub(crate) async fn opened(
    bytes: &[u8],
    passphrase: Option<&Secret>,
) -> Result<Vec<Incoming>, StoreError> {
    let (bytes, passphrase) = (Zeroizing::new(bytes.to_vec()), passphrase.cloned());
    // The key derivation is made to be slow.
    tokio::task::spawn_blocking(move || read(&bytes, passphrase.as_ref()))
        .await
        .map_err(|error| bad(&error.to_string()))?
}

impl SqliteStore {
    /// All sessions, sealed under a passphrase. Takes a moment: the key derivation is made to be slow.
    pub async fn export(&self, passphrase: &Secret) -> Result<Export, StoreError> {
        sealed(self.export_plain().await?, passphrase).await
    }

    /// All sessions with their tokens **in the clear**. Only when a person asked for exactly that.
    pub async fn export_plain(&self) -> Result<Export, StoreError> {
        plain(self.list().await?)
    }

    /// Takes sessions in from an export, all in one transaction. What is here already stays unless `replace`;
    /// replacing is a new generation and fences a running exchange. Imported pairs are marked `suspect`: a
    /// newer pair may exist where they came from.
    pub async fn import(
        &self,
        bytes: &[u8],
        passphrase: Option<&Secret>,
        replace: bool,
    ) -> Result<ImportReport, StoreError> {
        let sessions = opened(bytes, passphrase).await?;
        let vault = self.vault();
        let (report, saves) = self
            .db()
            .write(move |tx| {
                if !sessions::same_key(tx, &vault)? {
                    return Ok(Err(bad_but("the store was rekeyed meanwhile", "try again")));
                }
                let mut report = ImportReport::default();
                for session in &sessions {
                    take_in(tx, &vault, session, replace, &mut report)?;
                }
                Ok(Ok((report, sessions::saves(tx)?)))
            })
            .await??;
        self.advance(saves);
        Ok(report)
    }
}

fn take_in(
    tx: &Transaction<'_>,
    vault: &Vault,
    session: &Incoming,
    replace: bool,
    report: &mut ImportReport,
) -> rusqlite::Result<()> {
    let name = &session.name;
    let row = sessions::get(tx, name)?;
    let here = Generation(row.as_ref().map_or(0, |row| row.generation));
    let Some(generation) = session.lands_at(here, replace) else {
        report.note(name, here, replace);
        return Ok(());
    };
    if let Some(row) = &row {
        sessions::put_aside(tx, vault, row)?;
    }
    let (pair, login) = seal(vault, session, generation)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    sessions::put(
        tx,
        name,
        generation,
        (&session.info, session.latch.as_ref()),
    )?;
    tx.execute(
        "UPDATE sessions SET pair = ?2, login = ?3, suspect = ?4 WHERE name = ?1",
        params![
            name,
            pair,
            login,
            pair.as_ref().map_or(0, |_| Suspect::Imported.stored())
        ],
    )?;
    report.note(name, here, replace);
    Ok(())
}

impl Incoming {
    /// The generation it gets where this one is stored; `None` when what is there stays.
    pub(crate) fn lands_at(&self, here: Generation, replace: bool) -> Option<Generation> {
        match (here.0 > 0, replace) {
            (false, _) => Some(self.generation),
            (true, true) => Some(here.max(self.generation).next()),
            (true, false) => None,
        }
    }
}

impl ImportReport {
    /// Says what became of a session where this generation was stored.
    pub(crate) fn note(&mut self, name: &str, here: Generation, replace: bool) {
        let list = match (here.0 > 0, replace) {
            (false, _) => &mut self.imported,
            (true, true) => &mut self.replaced,
            (true, false) => &mut self.skipped,
        };
        list.push(name.to_owned());
    }
}

type Sealed = (Option<Vec<u8>>, Option<Vec<u8>>);

pub(crate) fn seal(
    vault: &Vault,
    session: &Incoming,
    generation: Generation,
) -> Result<Sealed, SealError> {
    let pair = session
        .pair
        .as_ref()
        .map(|pair| vault.seal_pair(Field::Pair, &session.name, generation, pair));
    let login = session
        .login
        .as_ref()
        .map(|login| vault.seal_login(&session.name, login));
    Ok((pair.transpose()?, login.transpose()?))
}

/// Reads either form of an export.
fn read(bytes: &[u8], passphrase: Option<&Secret>) -> Result<Vec<Incoming>, StoreError> {
    let document = if bytes.starts_with(MAGIC) {
        let passphrase = passphrase.ok_or_else(|| {
            bad_but(
                "the export is sealed",
                "give the passphrase it was made with",
            )
        })?;
        parse(&unseal(bytes, passphrase)?)?
    } else {
        parse(bytes)?
    };
    if document.format != FORMAT {
        let what = format!(
            "it is no export of Tenure's sessions (format {:?})",
            document.format
        );
        return Err(bad_but(&what, NAME_AN_EXPORT));
    }
    if document.version > VERSION {
        let what = format!(
            "it has version {}, and this program knows up to {VERSION}",
            document.version
        );
        return Err(bad_but(&what, "use the newer program that wrote it"));
    }
    Ok(document.sessions.into_iter().map(Incoming::from).collect())
}

fn parse(json: &[u8]) -> Result<Document<SessionIn>, StoreError> {
    // The place is told, not the text: it may be a secret.
    serde_json::from_slice(json).map_err(|error| {
        bad_but(
            &format!(
                "it is no export of Tenure's sessions (line {}, column {})",
                error.line(),
                error.column()
            ),
            NAME_AN_EXPORT,
        )
    })
}

fn unseal(bytes: &[u8], passphrase: &Secret) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let (header, sealed) = bytes
        .split_at_checked(HEADER_LEN)
        .ok_or_else(|| bad_but("it is cut short", "take another copy of it"))?;
    let number = |at: usize| {
        let at = MAGIC.len() + 4 * at;
        u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let cost = Cost {
        memory_kib: number(0),
        passes: number(1),
        lanes: number(2),
    };
    if cost.memory_kib > COST_MAX.memory_kib
        || cost.passes > COST_MAX.passes
        || cost.lanes > COST_MAX.lanes
    {
        return Err(bad_but(
            "its header asks for more memory or time than any export needs",
            NAME_AN_EXPORT,
        ));
    }
    derive(passphrase, cost, &header[HEADER_LEN - SALT_LEN..])?
        .open(header, sealed)
        .map_err(|_| {
            bad_but(
                "the passphrase is wrong, or the file was changed or cut short",
                "try the passphrase again, or another copy of the file",
            )
        })
}

fn header(cost: Cost, salt: &[u8; SALT_LEN]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for number in [cost.memory_kib, cost.passes, cost.lanes] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(salt);
    bytes
}

fn derive(passphrase: &Secret, cost: Cost, salt: &[u8]) -> Result<Seal, StoreError> {
    if passphrase.is_empty() {
        return Err(bad_but("the passphrase is empty", "give one"));
    }
    let mut key = Zeroizing::new([0; KEY_LEN]);
    Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(KEY_LEN))
        .and_then(|params| {
            Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(
                passphrase.expose().as_bytes(),
                salt,
                &mut *key,
            )
        })
        .map_err(|error| bad(&format!("the key cannot be derived: {error}")))?;
    Ok(Seal::new(&key))
}

fn bad(detail: &str) -> StoreError {
    StoreError::Import {
        detail: detail.to_owned(),
        fix: None,
    }
}

fn bad_but(detail: &str, fix: &str) -> StoreError {
    StoreError::Import {
        detail: detail.to_owned(),
        fix: Some(fix.to_owned()),
    }
}
