//! Which issuer: `[issuer]` of the configuration, or the built-in example's.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tenure_issuer::{Database, Issuer, IssuerError, Options};
use url::Url;

use super::key::{self, Key};
use crate::app::{App, Setup, make_private_dir};
use crate::builtin::{API_PATH, BuiltIn};
use crate::commands::up::example;
use crate::config::{IssuerSection, Sourced, issuer};
use crate::error::{CommandError, Exit, Outcome, Problem};

/// An issuer that is not open yet.
pub struct Which {
    /// What it is.
    pub options: Options,
    /// Where it is to listen.
    pub listen: Sourced<SocketAddr>,
    /// Where the administrators' API is to listen, if it is served.
    pub admin_listen: Option<Sourced<SocketAddr>>,
    /// Whether plain http to other machines is allowed.
    pub insecure: bool,
    /// Where it is configured, for people.
    pub source: String,
    /// The key file, if it was made just now.
    fresh_key: Option<PathBuf>,
}

/// Finds the issuer.
pub fn find(app: &App) -> Outcome<Which> {
    let config = match &app.setup {
        Setup::BuiltIn(built_in) => return of_example(app, built_in),
        Setup::File(config) => config,
    };
    if let Some(section) = &config.issuer {
        return configured(app, section);
    }
    let problem = Problem::new("there is no [issuer] in this configuration")
        .at(config.path.display())
        .fix("add [issuer] with url and audience (docs/issuer.md); the built-in example's issuer is looked after where there is no configuration");
    Err(CommandError::new(Exit::NeedsOperator, problem))
}

/// Finds and opens it.
pub async fn open(app: &App) -> Outcome<Arc<Issuer>> {
    find(app)?.open().await
}

fn of_example(app: &App, built_in: &BuiltIn) -> Outcome<Which> {
    let data = &app.data.value;
    if !example::database(data).exists() {
        let problem = Problem::new("there is no issuer here: nothing is configured, and the built-in example has not run yet")
            .at(data.display())
            .fix("start `tenure up` once, or write [issuer] into tenure.toml (docs/issuer.md)");
        return Err(CommandError::new(Exit::NeedsOperator, problem));
    }
    let audience = built_in
        .issuer
        .join(API_PATH)
        .map_err(|error| CommandError::failed(format!("{}: {error}", built_in.issuer)))?;
    let seal = example::seal(data)?;
    Ok(Which {
        options: example::options(data, &built_in.issuer, audience.as_str(), seal),
        listen: Sourced::default(SocketAddr::from((
            Ipv4Addr::LOCALHOST,
            built_in.issuer_port(),
        ))),
        admin_listen: None,
        insecure: false,
        source: app.source(),
        fresh_key: None,
    })
}

fn configured(app: &App, section: &IssuerSection) -> Outcome<Which> {
    make_private_dir(&app.data.value)?;
    let (database, sealed) = match &section.database {
        issuer::Database::Sqlite(path) => (Database::Sqlite(path.clone()), path.exists()),
        issuer::Database::Postgres(source) => {
            let url = source.value.read().map_err(|wrong| {
                let problem = Problem::new(format!("`issuer.database`: {}", wrong.what))
                    .at(&source.origin)
                    .fix(wrong.fix);
                CommandError::new(Exit::NeedsOperator, problem)
            })?;
            (Database::Postgres(url), false)
        }
    };
    let key = if sealed {
        Key {
            seal: key::read(&section.key_file)?,
            made: false,
        }
    } else {
        key::read_or_make(&section.key_file)?
    };
    let mut options = Options::new(
        section.url.value.clone(),
        PathBuf::new(),
        Arc::new(key.seal),
        section.audience.clone(),
    );
    options.database = database;
    options.scopes.clone_from(&section.scopes);
    options.trusted_proxies.clone_from(&section.trusted_proxies);
    options.signing_alg = section.signing_alg;
    options.wordpress = section.wordpress;
    options.dpop_nonces = section.dpop_nonces;
    options.registration = section.registration;
    options.revoke_at_once = section.revoke_at_once;
    options.rotation.use_visible = section.first_uses;
    options.access_ttl_s = section.access_ttl.as_secs();
    let ms = |life: Duration| u64::try_from(life.as_millis()).unwrap_or(u64::MAX);
    options.rotation.idle_ms = section.idle_lifetime.map(ms);
    options.rotation.absolute_ms = section.session_lifetime.map(ms);
    options.rotation.window_ms = ms(section.rotation_window);
    Ok(Which {
        options,
        listen: section.listen.clone(),
        admin_listen: section.admin_listen.clone(),
        insecure: section.insecure,
        source: app.source(),
        fresh_key: key.made.then(|| section.key_file.clone()),
    })
}

impl Which {
    /// Opens it; what it cannot do is told with where it is configured.
    pub async fn open(self) -> Outcome<Arc<Issuer>> {
        Issuer::open(self.options).await.map_err(|error| {
            if let (IssuerError::Unsealable { .. }, Some(path)) = (&error, &self.fresh_key) {
                // The database is another key's; one that opens nothing would only be in its way.
                drop(std::fs::remove_file(path));
                let problem = Problem::new(
                    "the issuer's database is sealed with a key that is not here",
                )
                .at(path.display())
                .fix("copy the key file from the machine that made the database to this place");
                return CommandError::new(Exit::NeedsOperator, problem);
            }
            let mut error = fault(&error);
            if error.exit == Exit::Usage {
                // No argument was wrong: a setting was.
                error.exit = Exit::NeedsOperator;
            }
            for problem in &mut error.problems {
                problem.place.get_or_insert(self.source.clone());
            }
            error
        })
    }

    /// The base of its endpoints.
    pub fn url(&self) -> &Url {
        &self.options.issuer_url
    }
}

/// What an issuer refuses or cannot do.
pub fn fault(error: &IssuerError) -> CommandError {
    match error {
        IssuerError::Store(error) => error.clone().into(),
        IssuerError::NotFound { kind: "key", name } if name == "next" => CommandError::usage(
            "there is no next key that could be promoted",
            "publish one with `tenure issuer keys rotate` first",
        ),
        IssuerError::NotFound {
            kind: kind @ "registration token",
            name,
        } => CommandError::usage(
            format!("there is no {kind} {name:?}"),
            "`tenure issuer registration list` shows those that exist",
        ),
        IssuerError::NotFound { kind, name } => CommandError::usage(
            format!("there is no {kind} {name:?}"),
            format!("`tenure issuer {kind}s list` shows those that exist"),
        ),
        IssuerError::Setting { name, why } => {
            let (what, fix) = why.split_once("; ").unwrap_or((why, ""));
            let problem = Problem {
                fix: (!fix.is_empty()).then(|| fix.to_owned()),
                ..Problem::new(format!("{name}: {what}"))
            };
            CommandError::new(Exit::Usage, problem)
        }
        IssuerError::TooEarly { wait_s } => {
            let problem = Problem::new(
                "the next key was published too recently: somebody may hold a key set without it",
            )
            .fix(format!(
                "type `tenure issuer keys promote` again in {wait_s} s; an issuer that runs does it by itself then"
            ));
            CommandError::new(Exit::TryLater, problem)
        }
        IssuerError::Unsealable { .. } | IssuerError::Key { .. } | IssuerError::Password(_) => {
            CommandError::new(Exit::NeedsOperator, Problem::new(error.to_string()))
        }
    }
}

impl From<IssuerError> for CommandError {
    fn from(error: IssuerError) -> Self {
        fault(&error)
    }
}
