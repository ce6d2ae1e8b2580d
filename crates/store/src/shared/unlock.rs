//! Finding the key of a store that hosts share, and proving that it is the right one.

use super::Options;
use super::rows::{Keys, Rows};
use crate::error::StoreError;
use crate::keys::{Found, Wanted};
use crate::seal::{KeyId, Ring};
use crate::sqlite::open::{key_check, open_keys};
use crate::vault::Vault;

/// How often the key is looked for when it is not the store's: a rekey may have come between two looks.
const LOOKS: usize = 3;

pub(super) async fn unlock(
    rows: &dyn Rows,
    store_id: &str,
    options: &Options,
) -> Result<Vault, StoreError> {
    let mut looks = 1;
    loop {
        let keys = rows.keys().await?;
        let looked = look(rows, store_id, options, &keys).await;
        let missed = matches!(
            looked,
            Err(StoreError::WrongKey { .. } | StoreError::KeyMissing { .. })
        );
        if !missed || looks == LOOKS {
            return looked;
        }
        looks += 1;
    }
}

async fn look(
    rows: &dyn Rows,
    store_id: &str,
    options: &Options,
    keys: &Keys,
) -> Result<Vault, StoreError> {
    let place = rows.place();
    let mut keys = keys.clone();
    let expected = keys.id.as_deref().map(|id| parse(place, id)).transpose()?;
    let mut found = find(place, store_id, options, expected).await?;
    if expected.is_none() {
        let check = key_check(store_id, &found.seal).map_err(|error| StoreError::Internal {
            path: place.into(),
            detail: error.to_string(),
        })?;
        let set = rows
            .set_first_key(&found.seal.id().to_string(), &check)
            .await?;
        let set = parse(place, &set)?;
        if set != found.seal.id() {
            // Another process was faster, with a key of its own.
            found = find(place, store_id, options, Some(set)).await?;
        }
        keys = rows.keys().await?;
    }
    let retired = open_keys(
        place.as_ref(),
        store_id,
        &found.seal,
        (keys.check, keys.retired),
    )?;
    Ok(Vault {
        store_id: store_id.to_owned(),
        ring: Ring {
            current: found.seal,
            retired,
        },
        source: found.source,
        skipped: found.skipped,
    })
}

/// Key sources may block (a helper command), so they are asked off the async threads.
async fn find(
    place: &str,
    store_id: &str,
    options: &Options,
    expected: Option<KeyId>,
) -> Result<Found, StoreError> {
    let (options, store_id, at) = (options.clone(), store_id.to_owned(), place.to_owned());
    let found = tokio::task::spawn_blocking(move || {
        Wanted {
            database: &options.home,
            store_id: &store_id,
            source: &options.key,
            around: &options.around,
            expected,
        }
        .find()
        .map_err(|error| error.at(&at))
    });
    found.await.map_err(|error| StoreError::Internal {
        path: place.into(),
        detail: error.to_string(),
    })?
}

fn parse(place: &str, text: &str) -> Result<KeyId, StoreError> {
    KeyId::parse(text).ok_or_else(|| StoreError::Corrupt {
        path: place.into(),
        detail: format!("the key id {text:?} in it is none"),
    })
}
