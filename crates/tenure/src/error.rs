//! What can go wrong, each with its cause and its fix.

use std::path::PathBuf;

use tenure_core::Failure;
use tenure_store::StoreError;

/// A session that is described wrongly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("session {session}: `{key}`: {problem}; {fix}")]
pub struct ConfigError {
    /// Name of the session, as given.
    pub session: String,
    /// What is wrong, by its name in `tenure.toml` and in [`crate::SessionBuilder`].
    pub key: &'static str,
    /// What is wrong with it.
    pub problem: String,
    /// What to do.
    pub fix: String,
}

/// Why a keeper could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A session is described wrongly.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no place to keep sessions in.
    #[error("no data directory: HOME is not set; name one with `data_dir` or $TENURE_DATA")]
    NoDataDir,
    /// The data directory cannot be made.
    #[error("cannot make the data directory {}: {source}; name a directory this user can write", .path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The store cannot be used.
    #[error("{}", .0.with_fix())]
    Store(#[from] StoreError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] tenure_http::SetupError),
    /// The runtime ended while the store was being opened.
    #[error("the store could not be opened: {0}; open the keeper in a runtime that stays")]
    Interrupted(String),
}

/// A request could not be given a token: nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("session {session} has no valid token: {failure}{}", advice(.failure))]
pub struct NoToken {
    /// Name of the session.
    pub session: String,
    /// Why, and what heals it.
    pub failure: Box<Failure>,
}

fn advice(failure: &Failure) -> String {
    let root = failure.root();
    let detail = if root.detail.is_empty() {
        String::new()
    } else {
        format!(": {}", root.detail)
    };
    let command = root.command.as_ref().or(failure.command.as_ref());
    command.map_or_else(
        || detail.clone(),
        |command| format!("{detail}; type `{command}`"),
    )
}

/// A layer was made for a session that has no upstream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "session {0} has no upstream, so there is nowhere its token may go; name the API with `upstream`"
)]
pub struct NoUpstream(pub String);
