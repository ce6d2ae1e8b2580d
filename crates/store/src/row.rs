//! A session as it lies in any store: what is sealed, and what is written in JSON beside it.

use tenure_core::Generation;

use crate::record::{LeaseView, Record, Suspect, Trouble};
use crate::seal::SealError;
use crate::vault::{Field, Vault};

/// The columns that every store has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept<'a> {
    pub(crate) name: &'a str,
    pub(crate) generation: Generation,
    pub(crate) pair: Option<&'a [u8]>,
    pub(crate) login: Option<&'a [u8]>,
    pub(crate) intent: Option<&'a str>,
    pub(crate) latch: Option<&'a str>,
    pub(crate) info: &'a str,
    pub(crate) suspect: Option<Suspect>,
}

impl Kept<'_> {
    /// Opens what is sealed. What cannot be opened is named in [`Record::unreadable`].
    pub(crate) fn open(
        self,
        vault: &Vault,
        lease: Option<LeaseView>,
        trouble: Option<Trouble>,
    ) -> Record {
        let mut unreadable = Vec::new();
        let pair = self.pair.and_then(|sealed| {
            vault
                .open_pair(Field::Pair, self.name, self.generation, sealed)
                .map_err(|error| unreadable.push(format!("token pair: {error}")))
                .ok()
        });
        let secret = self.login.and_then(|sealed| {
            vault
                .open_login(self.name, sealed)
                .map_err(|error| unreadable.push(format!("stored login: {error}")))
                .ok()
        });
        let intent = parse(self.intent, "intent", &mut unreadable);
        let latch = parse(self.latch, "latch", &mut unreadable);
        let info = parse(Some(self.info), "info", &mut unreadable).unwrap_or_default();
        Record {
            name: self.name.to_owned(),
            generation: self.generation,
            pair,
            intent,
            latch,
            secret,
            info,
            lease,
            suspect: self.suspect,
            trouble,
            unsaved: false,
            unreadable: (!unreadable.is_empty()).then(|| unreadable.join("; ")),
        }
    }

    /// Why the sealed pair cannot be opened, if it cannot.
    pub(crate) fn locked_pair(self, vault: &Vault) -> Option<SealError> {
        vault
            .open_pair(Field::Pair, self.name, self.generation, self.pair?)
            .err()
    }

    /// Why the sealed pair or the stored login cannot be opened, if one of them cannot.
    pub(crate) fn locked(self, vault: &Vault) -> Option<SealError> {
        let login = || vault.open_login(self.name, self.login?).err();
        self.locked_pair(vault).or_else(login)
    }
}

fn parse<T: serde::de::DeserializeOwned>(
    json: Option<&str>,
    what: &str,
    unreadable: &mut Vec<String>,
) -> Option<T> {
    serde_json::from_str(json?)
        .map_err(|error| unreadable.push(format!("{what}: {error}")))
        .ok()
}
