//! The secret that signs the access tokens: shared with APIs, sealed in the database, published nowhere.
//!
//! As with every signing key, refresh tokens do not depend on it: a secret that is lost or replaced costs no login
//! where the dialect has a refresh.

use tenure_core::Secret;
use tenure_jose::{KeyError, KeySet, SigningKey, b64url, random};

use crate::admin::Admin;
use crate::audit::Act;
use crate::changes::{Change, Kind};
use crate::db::{Db, values};
use crate::error::IssuerError;
use crate::issuer::Issuer;
use crate::options::Options;

const NAME: &str = "wordpress";
const AAD: &[u8] = b"tenure issuer wordpress secret";
/// What it is called in errors.
const WHAT: &str = "(the WordPress secret)";

/// The secret, parsed once.
pub(crate) struct Shared {
    /// 64 characters of text, as WordPress's own salts are: it goes into the configuration of APIs.
    secret: Secret,
    pub(crate) signing: SigningKey,
    pub(crate) verify: KeySet,
}

fn key_error(error: &KeyError) -> IssuerError {
    IssuerError::Key {
        kid: WHAT.to_owned(),
        why: error.to_string(),
    }
}

fn open(options: &Options, sealed: &[u8]) -> Result<Shared, IssuerError> {
    let unsealable = || IssuerError::Unsealable {
        what: WHAT.to_owned(),
    };
    let plain = options.seal.open(AAD, sealed).map_err(|_| unsealable())?;
    let text = std::str::from_utf8(&plain).map_err(|_| unsealable())?;
    // Without a name: the plugins' headers have no `kid`.
    let signing = SigningKey::from_secret("", text.as_bytes()).map_err(|e| key_error(&e))?;
    Ok(Shared {
        secret: Secret::new(text),
        verify: KeySet::from_signing_key(&signing),
        signing,
    })
}

/// A new one, sealed.
fn fresh(options: &Options) -> Result<Vec<u8>, IssuerError> {
    let secret = Secret::new(b64url(random::<48>()));
    options
        .seal
        .seal(AAD, secret.expose().as_bytes())
        .map_err(|_| IssuerError::Unsealable {
            what: WHAT.to_owned(),
        })
}

async fn read(db: &Db) -> Result<Option<Vec<u8>>, IssuerError> {
    let sealed = db
        .read(|tx| {
            tx.row("SELECT sealed FROM secrets WHERE name = ?1", values![NAME])?
                .map(|row| row.get(0))
                .transpose()
        })
        .await?;
    Ok(sealed)
}

/// Reads the secret, where a WordPress dialect is spoken. Makes the first one, and another one where it is damaged.
pub(crate) async fn load(db: &Db, options: &Options) -> Result<Option<Shared>, IssuerError> {
    if options.wordpress.is_none() {
        return Ok(None);
    }
    let found = read(db).await?;
    if let Some(sealed) = &found {
        match open(options, sealed) {
            Ok(shared) => return Ok(Some(shared)),
            Err(error) => {
                tracing::warn!(%error, "the WordPress secret cannot be read; another one takes its place");
            }
        }
    }
    let (candidate, now) = (fresh(options)?, (options.clock)());
    // Several processes may come here at once: the first wins, all read back what it wrote.
    db.write(move |tx| {
        let changed = match &found {
            None => tx.execute(
                "INSERT INTO secrets (name, sealed) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
                values![NAME, &candidate],
            )?,
            Some(damaged) => tx.execute(
                "UPDATE secrets SET sealed = ?2 WHERE name = ?1 AND sealed = ?3",
                values![NAME, &candidate, damaged],
            )?,
        };
        if changed > 0 {
            Change::reload(Kind::Keys, now).append(tx)?;
        }
        Ok(())
    })
    .await?;
    match read(db).await? {
        Some(sealed) => open(options, &sealed).map(Some),
        None => Err(IssuerError::Unsealable {
            what: WHAT.to_owned(),
        }),
    }
}

impl Issuer {
    /// The secret that access tokens of the WordPress dialect are signed with, for APIs that check them; `None` where no
    /// such dialect is spoken. Whoever has it can make tokens of everybody.
    pub fn wordpress_secret(&self) -> Option<Secret> {
        self.ring()
            .wordpress
            .as_ref()
            .map(|shared| shared.secret.clone())
    }
}

impl Admin<'_> {
    /// Makes another secret: access tokens signed with the one before are refused from now on. Sessions live on where
    /// the dialect has a refresh.
    ///
    /// # Errors
    /// When no WordPress dialect is spoken or the database fails.
    pub async fn replace_wordpress_secret(&self) -> Result<(), IssuerError> {
        let issuer = self.issuer();
        if issuer.options.wordpress.is_none() {
            return Err(IssuerError::Setting {
                name: "wordpress",
                why: "no WordPress dialect is spoken here; there is no secret to replace".into(),
            });
        }
        let (sealed, pen) = (fresh(&issuer.options)?, self.pen());
        issuer
            .db
            .write(move |tx| {
                tx.execute(
                    "UPDATE secrets SET sealed = ?2 WHERE name = ?1",
                    values![NAME, &sealed],
                )?;
                pen.note(tx, &Act::new("key.secret"))?;
                Change::reload(Kind::Keys, pen.now_ms).append(tx)
            })
            .await?;
        issuer.reload_keys().await
    }
}
