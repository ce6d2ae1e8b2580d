//! What every command that touches sessions starts from: data directory, configuration, store, keeper.

use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tenure_core::Secret;
use tenure_diagnose::name::nearest;
use tenure_gateway::RouteOptions;
use tenure_keeper::{Keeper, SessionConfig};
use tenure_store::export::{Export, ImportReport};
use tenure_store::fault::FaultPlan;
use tenure_store::keys::Surroundings;
use tenure_store::shared::{self, SharedStore};
use tenure_store::sqlite::{self, SqliteStore};
use tenure_store::{KeySource, Store, StoreError};

use crate::args::Global;
use crate::builtin::BuiltIn;
use crate::config::keeper::{Address, StorePlace};
use crate::config::{self, Config, KeeperSection, Sourced, Spec, discover, unreadable};
use crate::error::{CommandError, Exit, Outcome, Problem};
use crate::output::Output;

/// Beside which name this host keeps its own files of a store that hosts share, in the data directory.
const SHARED: &str = "fleet";

/// What a command works with.
pub struct App {
    /// Where it writes.
    pub out: Output,
    /// The data directory.
    pub data: Sourced<PathBuf>,
    /// What is configured.
    pub setup: Setup,
}

/// What is configured.
pub enum Setup {
    /// By a file.
    File(Box<Config>),
    /// Nothing: the built-in example.
    BuiltIn(Box<BuiltIn>),
}

impl App {
    /// Finds and reads what there is.
    pub fn load(global: &Global, out: Output) -> Outcome<Self> {
        let data = discover::data_dir(global)?;
        let setup = match discover::config_file(global, &data.value)? {
            Some(path) => Setup::File(Box::new(config::load(&path.value, &data.value)?)),
            None => Setup::BuiltIn(Box::new(BuiltIn::load(&data.value)?)),
        };
        Ok(Self { out, data, setup })
    }

    /// `[keeper]`, or its defaults.
    pub fn keeper_section(&self) -> &KeeperSection {
        match &self.setup {
            Setup::File(config) => &config.keeper,
            Setup::BuiltIn(built_in) => &built_in.keeper,
        }
    }

    /// Every session.
    pub fn specs(&self) -> &[Spec] {
        match &self.setup {
            Setup::File(config) => &config.sessions,
            Setup::BuiltIn(built_in) => std::slice::from_ref(&built_in.session),
        }
    }

    /// Where the sessions are configured, for people.
    pub fn source(&self) -> String {
        match &self.setup {
            Setup::File(config) => config.path.display().to_string(),
            Setup::BuiltIn(_) => "the built-in default".to_owned(),
        }
    }

    /// The session with this name; for any other what there is, and which may have been meant.
    pub fn spec(&self, name: &str) -> Outcome<&Spec> {
        if let Some(spec) = self.specs().iter().find(|spec| spec.name == name) {
            return Ok(spec);
        }
        let names: Vec<&str> = self.specs().iter().map(|spec| spec.name.as_str()).collect();
        let known = match names.as_slice() {
            [] => format!(
                "there is none in {}; add one with `tenure init URL`",
                self.source()
            ),
            names => format!(
                "the sessions in {} are: {}",
                self.source(),
                names.join(", ")
            ),
        };
        let fix = match nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`? {known}"),
            None => known,
        };
        Err(CommandError::usage(
            format!("there is no session {name:?}"),
            fix,
        ))
    }

    /// The session with its secrets, for a command that cannot do without.
    pub fn session_config(&self, name: &str) -> Outcome<SessionConfig> {
        self.spec(name)?.build().map_err(|problem| CommandError {
            failure: Some(Box::new(unreadable(&problem))),
            ..CommandError::new(Exit::NeedsOperator, problem)
        })
    }

    /// All sessions with their secrets. One whose secret cannot be read is blocked, and none of the others.
    pub fn session_configs(&self) -> Vec<SessionConfig> {
        self.specs().iter().map(Spec::build_or_block).collect()
    }

    /// What the gateway passes on, by session.
    pub fn routes(&self) -> BTreeMap<String, RouteOptions> {
        self.specs()
            .iter()
            .map(|spec| (spec.name.clone(), spec.route))
            .collect()
    }

    /// The file the sessions are in, where they are in one.
    pub fn store_file(&self) -> Option<&Path> {
        match &self.keeper_section().store.value {
            StorePlace::Sqlite(path) => Some(path),
            StorePlace::Shared(_) => None,
        }
    }

    /// How a store in this file is opened.
    pub fn store_options(&self, path: &Path) -> Outcome<sqlite::Options> {
        Ok(sqlite::Options {
            path: path.to_owned(),
            key: self.store_key().clone(),
            around: Surroundings::from_env(),
            faults: fault_plan()?,
        })
    }

    /// Where the store's key comes from.
    pub fn store_key(&self) -> &KeySource {
        &self.keeper_section().store_key
    }

    /// Opens the store, made if it is not there.
    pub async fn open_store(&self) -> Outcome<OpenStore> {
        make_private_dir(&self.data.value)?;
        let (store, place, evidence) = match &self.keeper_section().store.value {
            StorePlace::Sqlite(path) => {
                let options = self.store_options(path)?;
                let opened = tokio::task::spawn_blocking(move || SqliteStore::open(options)).await;
                let store = opened.map_err(|error| {
                    CommandError::failed(format!("the store could not be opened: {error}"))
                })??;
                let evidence = store.rollback_evidence().map(str::to_owned);
                let place = path.display().to_string();
                (OpenStore::File(Arc::new(store)), place, evidence)
            }
            StorePlace::Shared(address) => {
                let store = self.open_shared(address).await?;
                let evidence = store.rollback_evidence();
                (
                    OpenStore::Shared(store),
                    "in the database".to_owned(),
                    evidence,
                )
            }
        };
        if let Some(evidence) = evidence {
            self.out.warn(format_args!(
                "the store {place} is older than it was: {evidence}. Tokens in it may have been replaced since; \
                 Tenure finds out by using them",
            ));
        }
        Ok(store)
    }

    async fn open_shared(&self, address: &Address) -> Outcome<Arc<SharedStore>> {
        let address = address.read().map_err(|wrong| {
            let problem = Problem::new(format!("`keeper.store`: {}", wrong.what))
                .at(&self.keeper_section().store.origin)
                .fix(wrong.fix);
            CommandError::new(Exit::NeedsOperator, problem)
        })?;
        let section = self.keeper_section();
        let options = shared::Options {
            home: self.data.value.join(SHARED),
            key: self.store_key().clone(),
            around: Surroundings::from_env(),
            require_durable: section.require_durable,
            faults: fault_plan()?,
        };
        Ok(shared::open(&address, options).await?)
    }

    /// A keeper over the store for these sessions; `warm` only in a process that stays.
    pub async fn open_keeper(&self, sessions: Vec<SessionConfig>, warm: bool) -> Outcome<Keeper> {
        let store = self.open_store().await?;
        self.keeper_over(store.store(), sessions, warm).await
    }

    /// The same over a store that is open.
    pub async fn keeper_over(
        &self,
        store: Arc<dyn Store>,
        sessions: Vec<SessionConfig>,
        warm: bool,
    ) -> Outcome<Keeper> {
        Ok(Keeper::open(tenure_keeper::Options {
            store,
            sessions,
            warm,
            http: http_client()?,
            fault: fault_plan()?,
        })
        .await?)
    }
}

/// A store that is open, of whatever kind.
#[derive(Clone)]
pub enum OpenStore {
    /// In a file of this host.
    File(Arc<SqliteStore>),
    /// In a database that hosts share.
    Shared(Arc<SharedStore>),
}

impl OpenStore {
    /// What every store can do.
    pub fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::File(store) => Arc::clone(store) as Arc<dyn Store>,
            Self::Shared(store) => Arc::clone(store) as Arc<dyn Store>,
        }
    }

    /// All sessions, sealed under a passphrase.
    pub async fn export(&self, passphrase: &Secret) -> Result<Export, StoreError> {
        match self {
            Self::File(store) => store.export(passphrase).await,
            Self::Shared(store) => store.export(passphrase).await,
        }
    }

    /// Takes sessions in from an export.
    pub async fn import(
        &self,
        bytes: &[u8],
        passphrase: &Secret,
        replace: bool,
    ) -> Result<ImportReport, StoreError> {
        match self {
            Self::File(store) => store.import(bytes, Some(passphrase), replace).await,
            Self::Shared(store) => store.import(bytes, Some(passphrase), replace).await,
        }
    }
}

/// The client that token endpoints are asked with.
pub fn http_client() -> Outcome<tenure_http::Client> {
    tenure_http::Client::new()
        .map_err(|error| CommandError::new(Exit::NeedsOperator, Problem::new(error.to_string())))
}

/// Makes a directory for this user alone, with those above it.
pub fn make_private_dir(dir: &Path) -> Outcome {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| {
            let problem = Problem::new(format!("cannot make the data directory: {error}"))
                .at(dir.display())
                .fix("name a directory this user can write with --data or $TENURE_DATA");
            CommandError::new(Exit::NeedsOperator, problem)
        })
}

/// Faults that a test asks for with `TENURE_FAULT`; debug builds only.
#[cfg(debug_assertions)]
pub fn fault_plan() -> Outcome<FaultPlan> {
    // One plan for the whole process: its counters are shared.
    static PLAN: std::sync::OnceLock<Result<FaultPlan, String>> = std::sync::OnceLock::new();
    let plan = PLAN.get_or_init(|| {
        FaultPlan::parse(&std::env::var("TENURE_FAULT").unwrap_or_default())
            .map_err(|error| error.to_string())
    });
    plan.clone()
        .map_err(|error| CommandError::usage(error, "correct $TENURE_FAULT, or unset it"))
}

/// Release builds have no fault points.
#[cfg(not(debug_assertions))]
pub fn fault_plan() -> Outcome<FaultPlan> {
    Ok(FaultPlan::default())
}
