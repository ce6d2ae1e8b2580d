//! A keeper opened from a program.

use std::collections::BTreeSet;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tenure_core::{Failure, Generation, Secret};
use tenure_keeper::login::{self, Import, LoggedOut, NewLogin};
use tenure_keeper::{Session, SessionConfig};
use tenure_store::fault::FaultPlan;
use tenure_store::keys::Surroundings;
use tenure_store::shared;
use tenure_store::sqlite::{self, SqliteStore};
use tenure_store::{EventRow, KeySource, Store};
use tokio::sync::broadcast;

use crate::builder::SessionBuilder;
use crate::error::{ConfigError, OpenError};

/// The store's file in a data directory.
const STORE: &str = "tenure.db";

/// Beside which name a host keeps its own files of a store that hosts share.
const FLEET: &str = "fleet";

/// Keeps sessions. Cheap to clone.
///
/// Needs a tokio runtime that stays: exchanges run in tasks of its own. End it with [`Keeper::shutdown`], so
/// that an exchange under way is finished and saved.
///
/// ```
/// use tenure::{Keeper, SessionBuilder};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("tenure.db");
/// let shop = SessionBuilder::new("shop")
///     .client_id("till-7")
///     .token_endpoint("https://login.example/token");
/// let keeper = Keeper::open(path, [shop]).await?;
/// let session = keeper.session("shop").expect("it was given above");
/// assert_eq!(session.status().state, tenure::State::Empty); // nobody has logged in yet
/// keeper.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Keeper {
    inner: tenure_keeper::Keeper,
    http: tenure_http::Client,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(f)
    }
}

impl Keeper {
    /// Keeps these sessions in the SQLite file `store`, made if it is not there.
    ///
    /// # Errors
    /// What is wrong with a session or the store.
    pub async fn open(
        store: impl Into<PathBuf>,
        sessions: impl IntoIterator<Item = SessionBuilder>,
    ) -> Result<Self, OpenError> {
        Self::builder().store(store).sessions(sessions).open().await
    }

    /// Keeps these sessions in the store of the command line tool: `tenure.db` in `$TENURE_DATA`, else in
    /// `$XDG_DATA_HOME/tenure` or `~/.local/share/tenure`. If `tenure.toml` names another store or key, use
    /// [`Builder::store`] and [`Builder::store_key`].
    ///
    /// # Errors
    /// What is wrong with a session, the directory or the store.
    pub async fn open_default(
        sessions: impl IntoIterator<Item = SessionBuilder>,
    ) -> Result<Self, OpenError> {
        Self::builder().sessions(sessions).open().await
    }

    /// A keeper with more to choose.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The session with this name.
    pub fn session(&self, name: &str) -> Option<Session> {
        self.inner.session(name)
    }

    /// All sessions, by name.
    pub fn sessions(&self) -> Vec<Session> {
        self.inner.sessions()
    }

    /// What happens from now on in this process.
    pub fn events(&self) -> broadcast::Receiver<EventRow> {
        self.inner.events()
    }

    /// Makes a login the session's current one, in every process that shares the store. The ways to log in are
    /// in [`crate::login`]; they ask servers with [`Keeper::http`].
    ///
    /// # Errors
    /// When it cannot be stored, or the session is unknown.
    pub async fn login(&self, name: &str, login: NewLogin) -> Result<Generation, Failure> {
        self.inner.login(name, login).await
    }

    /// Logs in with a name and a password. `remember` keeps both, sealed, for servers that give nothing to
    /// renew a token with.
    ///
    /// # Errors
    /// The server's refusal, or why it could not be asked or the login not be stored.
    pub async fn login_with_password(
        &self,
        session: &Session,
        username: &str,
        password: &Secret,
        remember: bool,
    ) -> Result<Generation, Failure> {
        let config = session.config();
        let login = login::password(&self.http, config, username, password, remember).await?;
        self.login(session.name(), login).await
    }

    /// Takes over what `tenure login --import` takes: a token response as JSON, or a name and a password for a
    /// server that wants those.
    ///
    /// # Errors
    /// When the text is none of these, or the login failed.
    pub async fn import(&self, session: &Session, json: &str) -> Result<Generation, Failure> {
        match login::import(session.config(), json)? {
            Import::Login(login) => self.login(session.name(), login).await,
            Import::Password { username, password } => {
                self.login_with_password(session, &username, &password, true)
                    .await
            }
        }
    }

    /// Ends a session here; `everywhere` also revokes its tokens at the server first.
    ///
    /// # Errors
    /// When the server could not be asked to revoke (nothing is changed then), or the store failed.
    pub async fn logout(&self, name: &str, everywhere: bool) -> Result<LoggedOut, Failure> {
        self.inner.logout(name, everywhere).await
    }

    /// Ends the keeper: no exchange is begun any more, those under way finish and are saved.
    pub async fn shutdown(&self) {
        self.inner.shutdown().await;
    }

    /// How servers are asked.
    pub fn http(&self) -> &tenure_http::Client {
        &self.http
    }

    /// The keeper beneath, for what this one does not offer.
    pub fn inner(&self) -> &tenure_keeper::Keeper {
        &self.inner
    }
}

/// What a [`Keeper`] is opened with.
#[derive(Clone, Debug)]
pub struct Builder {
    place: Place,
    server: Option<Secret>,
    require_durable: bool,
    key: KeySource,
    sessions: Vec<SessionBuilder>,
    warm: bool,
}

#[derive(Clone, Debug)]
enum Place {
    /// The SQLite file.
    Store(PathBuf),
    /// The directory it is in.
    DataDir(PathBuf),
    /// The command line tool's.
    Usual,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            place: Place::Usual,
            server: None,
            require_durable: false,
            key: KeySource::Auto,
            sessions: Vec::new(),
            warm: true,
        }
    }
}

impl Builder {
    /// The SQLite file; its directory must exist.
    #[must_use]
    pub fn store(mut self, path: impl Into<PathBuf>) -> Self {
        self.place = Place::Store(path.into());
        self
    }

    /// The data directory, as with `--data` of the command line tool; made for this user alone if it is not
    /// there.
    #[must_use]
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.place = Place::DataDir(path.into());
        self
    }

    /// A store that many hosts share, at this address: `postgres://USER:PASSWORD@HOST/DATABASE` or
    /// `valkey://USER:PASSWORD@HOST/NUMBER`. What this host keeps of it lies in the data directory, and all hosts need the
    /// same key.
    #[must_use]
    pub fn shared_store(mut self, address: impl Into<Secret>) -> Self {
        self.server = Some(address.into());
        self
    }

    /// Refuses a server that may lose what it has acknowledged; without it, that is logged.
    #[must_use]
    pub fn require_durable(mut self) -> Self {
        self.require_durable = true;
        self
    }

    /// Where the store's key comes from. Default: the usual places, as for the command line tool.
    #[must_use]
    pub fn store_key(mut self, key: KeySource) -> Self {
        self.key = key;
        self
    }

    /// Adds a session.
    #[must_use]
    pub fn session(mut self, session: SessionBuilder) -> Self {
        self.sessions.push(session);
        self
    }

    /// Adds sessions.
    #[must_use]
    pub fn sessions(mut self, sessions: impl IntoIterator<Item = SessionBuilder>) -> Self {
        self.sessions.extend(sessions);
        self
    }

    /// Refreshes only when a token is wanted, whatever the sessions say: for a program that does one thing and
    /// ends.
    #[must_use]
    pub fn only_when_wanted(mut self) -> Self {
        self.warm = false;
        self
    }

    /// Checks everything, opens the store, and starts keeping.
    ///
    /// # Errors
    /// What is wrong with a session, the directory or the store.
    pub async fn open(self) -> Result<Keeper, OpenError> {
        let sessions = checked(&self.sessions)?;
        let path = self.place.store()?;
        let store = match self.server {
            Some(address) => {
                let options = shared::Options {
                    home: path.with_file_name(FLEET),
                    key: self.key,
                    around: Surroundings::from_env(),
                    require_durable: self.require_durable,
                    faults: FaultPlan::default(),
                };
                shared::open(&address, options).await? as Arc<dyn Store>
            }
            None => open_file(path, self.key).await?,
        };
        let http = tenure_http::Client::new()?;
        let options = tenure_keeper::Options {
            store,
            sessions,
            warm: self.warm,
            http: http.clone(),
            fault: FaultPlan::default(),
        };
        let inner = tenure_keeper::Keeper::open(options).await?;
        Ok(Keeper { inner, http })
    }
}

async fn open_file(path: PathBuf, key: KeySource) -> Result<Arc<dyn Store>, OpenError> {
    let options = sqlite::Options {
        key,
        around: Surroundings::from_env(),
        ..sqlite::Options::new(path)
    };
    let opened = tokio::task::spawn_blocking(move || SqliteStore::open(options)).await;
    let store = opened.map_err(|error| OpenError::Interrupted(error.to_string()))??;
    if let Some(evidence) = store.rollback_evidence() {
        tracing::warn!(
            evidence,
            "the store is older than it was; tokens in it may have been replaced since"
        );
    }
    Ok(Arc::new(store))
}

fn checked(sessions: &[SessionBuilder]) -> Result<Vec<SessionConfig>, ConfigError> {
    let mut names = BTreeSet::new();
    let mut configs = Vec::with_capacity(sessions.len());
    for session in sessions {
        let config = session.build()?;
        if !names.insert(config.name.clone()) {
            return Err(ConfigError {
                session: config.name,
                key: "name",
                problem: "two sessions have this name".to_owned(),
                fix: "give each its own".to_owned(),
            });
        }
        configs.push(config);
    }
    Ok(configs)
}

impl Place {
    fn store(self) -> Result<PathBuf, OpenError> {
        let dir = match self {
            Place::Store(path) => return Ok(path),
            Place::DataDir(dir) => dir,
            Place::Usual => usual_dir(variable).ok_or(OpenError::NoDataDir)?,
        };
        make_private(&dir)?;
        Ok(dir.join(STORE))
    }
}

fn make_private(dir: &Path) -> Result<(), OpenError> {
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir);
    made.map_err(|source| OpenError::DataDir {
        path: dir.to_owned(),
        source,
    })
}

/// The command line tool's data directory.
fn usual_dir(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    // The XDG specification has relative paths ignored.
    let xdg = || variable("XDG_DATA_HOME").filter(|path| path.is_absolute());
    variable("TENURE_DATA")
        .or_else(|| xdg().map(|home| home.join("tenure")))
        .or_else(|| variable("HOME").map(|home| home.join(".local/share/tenure")))
}

/// A variable that is set to something.
fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_directory_is_the_command_line_tools() {
        let dir = |set: &[(&str, &str)]| {
            usual_dir(|name| {
                let found = set.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| PathBuf::from(value))
            })
        };
        let all = [
            ("TENURE_DATA", "/d"),
            ("XDG_DATA_HOME", "/x"),
            ("HOME", "/h"),
        ];
        assert_eq!(dir(&all), Some("/d".into()));
        assert_eq!(dir(&all[1..]), Some("/x/tenure".into()));
        assert_eq!(dir(&all[2..]), Some("/h/.local/share/tenure".into()));
        let relative = [("XDG_DATA_HOME", "x"), ("HOME", "/h")];
        assert_eq!(dir(&relative), Some("/h/.local/share/tenure".into()));
        assert_eq!(dir(&[]), None);
    }

    #[test]
    fn a_data_directory_is_for_its_user_alone() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().expect("a directory");
        let dir = root.path().join("a/b");
        let store = Place::DataDir(dir.clone()).store().expect("made");
        assert_eq!(store, dir.join("tenure.db"));
        let mode = std::fs::metadata(&dir).expect("there").permissions().mode();
        assert_eq!(mode & 0o077, 0);
        let file = root.path().join("file");
        std::fs::write(&file, "").expect("written");
        let error = Place::DataDir(file.join("under"))
            .store()
            .expect_err("no directory");
        assert!(error.to_string().contains("under"), "{error}");
    }

    #[tokio::test]
    async fn two_sessions_of_one_name_are_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let shop = SessionBuilder::new("shop")
            .client_id("a")
            .token_endpoint("https://a.example/t");
        let path = dir.path().join("tenure.db");
        let error = Keeper::open(&path, [shop.clone(), shop])
            .await
            .expect_err("twice");
        assert!(matches!(error, OpenError::Config(_)), "{error}");
        assert!(!path.exists(), "nothing was made");
    }
}
