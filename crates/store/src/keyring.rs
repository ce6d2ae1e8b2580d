//! The OS keyring as a source of the store's key.

use std::io;
use std::path::Path;
use std::time::Duration;

use crate::helper;
use crate::keys::{Key, file_text, parse};

/// The OS keyring by way of libsecret's `secret-tool`, which speaks to whatever Secret Service the desktop has.
pub(crate) struct Keyring<'a> {
    /// The program.
    pub(crate) tool: &'a Path,
    /// Which store's key.
    pub(crate) store_id: &'a str,
    /// How long the tool may take.
    pub(crate) limit: Duration,
}

impl Keyring<'_> {
    fn ask(&self, verb: &[&str], input: &[u8]) -> io::Result<helper::Output> {
        let tool = self.tool.to_string_lossy().into_owned();
        let attributes = ["application", "tenure", "store", self.store_id];
        let argv: Vec<String> = std::iter::once(tool)
            .chain(verb.iter().chain(&attributes).map(|arg| (*arg).to_owned()))
            .collect();
        helper::run(&argv, input, self.limit)
    }

    /// The key, `None` when the keyring has none for this store.
    pub(crate) fn read(&self) -> io::Result<Option<Vec<u8>>> {
        let said = self.ask(&["lookup"], b"")?;
        if said.status.success() {
            return Ok(Some(said.stdout.to_vec()));
        }
        // "Not there" and "failed" have the same status; only a failure says something.
        if said.stderr.is_empty() {
            return Ok(None);
        }
        Err(io::Error::other(said.stderr))
    }

    /// Puts the key there and reads it back.
    pub(crate) fn write(&self, key: &Key) -> io::Result<()> {
        let said = self.ask(&["store", "--label=Tenure session store"], &file_text(key))?;
        if !said.status.success() {
            return Err(io::Error::other(format!(
                "it did not take the key: {}",
                said.stderr
            )));
        }
        match self.read()?.and_then(|bytes| parse(&bytes)) {
            Some(kept) if kept == *key => Ok(()),
            _ => Err(io::Error::other("it did not keep the key")),
        }
    }
}
