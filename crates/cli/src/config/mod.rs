//! The configuration: found, read, checked. Every value knows where it comes from, every fault where it is.

pub mod discover;
pub mod issuer;
pub mod keeper;
pub mod origin;
pub mod reader;
pub mod rules;
pub mod secret;
pub mod session;
pub mod timing;
pub mod value;
mod wordpress;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use issuer::IssuerSection;
pub use keeper::KeeperSection;
pub use origin::{Origin, Sourced};
use reader::{Source, Table};
use session::{Context, Profiles};
pub use session::{Spec, unreadable};

use crate::error::{CommandError, Exit, Outcome, Problem};

/// A configuration file, read and checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it was read from.
    pub path: PathBuf,
    /// `[keeper]`.
    pub keeper: KeeperSection,
    /// `[sessions.…]`, by name.
    pub sessions: Vec<Spec>,
    /// `[issuer]`, where there is one.
    pub issuer: Option<IssuerSection>,
}

/// What is in a configuration file.
struct Sections {
    keeper: KeeperSection,
    sessions: Vec<Spec>,
    issuer: Option<IssuerSection>,
    rules: Vec<PathBuf>,
}

/// Reads and checks a configuration file. The paths of stores are relative to `data`.
pub fn load(path: &Path, data: &Path) -> Outcome<Config> {
    let name = path.display().to_string();
    let text = read_text(path, "configuration", "name another with --config")
        .map_err(|problem| CommandError::new(Exit::NeedsOperator, problem))?;
    let beside = path.parent().unwrap_or(Path::new(""));
    let (profiles, mut problems) = own_profiles(&beside.join("profiles"));
    let parsed = parse(&name, &text, data, beside, &profiles);
    if let Ok(sections) = &parsed {
        problems.extend(rules::install(&sections.rules));
    }
    match parsed {
        Ok(sections) if problems.is_empty() => Ok(Config {
            path: path.to_owned(),
            keeper: sections.keeper,
            sessions: sections.sessions,
            issuer: sections.issuer,
        }),
        parsed => {
            problems.splice(0..0, parsed.err().unwrap_or_default());
            Err(CommandError::many(Exit::NeedsOperator, problems))
        }
    }
}

/// A file's text. What is no UTF-8 is told with its place, as any other fault of the file.
fn read_text(path: &Path, what: &str, otherwise: &str) -> Result<String, Problem> {
    let name = path.display();
    let bytes = std::fs::read(path).map_err(|error| {
        Problem::new(format!("cannot read the {what}: {error}"))
            .at(&name)
            .fix(format!("make the file readable, or {otherwise}"))
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..good]);
        let (line, column) = reader::position(&before, good);
        Problem::new(format!("the {what} is not UTF-8 text from here on"))
            .at(format_args!("{name}:{line}:{column}"))
            .fix("save the file as UTF-8 (`iconv -f LATIN1 -t UTF-8` converts an older one)")
    })
}

/// Checks a configuration's text: all of it, so that every fault is told at once.
fn parse(
    name: &str,
    text: &str,
    data: &Path,
    beside: &Path,
    profiles: &Profiles,
) -> Result<Sections, Vec<Problem>> {
    let source = Source::new(name, text);
    let parsed = source.parse();
    let mut keeper = KeeperSection::defaults(data);
    let mut sessions = Vec::new();
    let mut issuer = None;
    let mut rules = Vec::new();
    if let Some(parsed) = &parsed {
        let root = Table::root(&source, parsed);
        if let Some(table) = root.table("keeper") {
            keeper = keeper::read(table, data, beside);
        }
        let context = Context {
            profiles,
            timing: &keeper.timing,
            beside,
        };
        for (name, table) in root
            .table("sessions")
            .map(|table| table.tables())
            .unwrap_or_default()
        {
            sessions.extend(session::read(name, table, &context));
        }
        issuer = root
            .table("issuer")
            .and_then(|table| issuer::read(table, data, beside));
        rules = rules::files(&root, beside);
        root.finish(|key| (key == "session").then(|| "did you mean [sessions.NAME]?".to_owned()));
    }
    drop(parsed);
    let problems = source.into_problems();
    if problems.is_empty() {
        Ok(Sections {
            keeper,
            sessions,
            issuer,
            rules,
        })
    } else {
        Err(problems)
    }
}

/// The user's own profiles: every `*.toml` in the directory. A broken one is told even if no session names it.
fn own_profiles(dir: &Path) -> (Profiles, Vec<Problem>) {
    let mut profiles = Profiles::default();
    let mut problems = Vec::new();
    for path in profile_paths(dir, &mut problems) {
        match own_profile(&path) {
            Ok(profile) => drop(profiles.own.insert(profile.name.clone(), Arc::new(profile))),
            Err(wrong) => {
                let stem = path.file_stem().unwrap_or_default();
                profiles.broken.insert(stem.to_string_lossy().into_owned());
                problems.extend(wrong);
            }
        }
    }
    (profiles, problems)
}

/// The files, in order. A directory that is there and cannot be read hides profiles.
fn profile_paths(dir: &Path, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => {
            if error.kind() == std::io::ErrorKind::PermissionDenied {
                problems.push(
                    Problem::new(format!("cannot read the directory of profiles: {error}"))
                        .at(dir.display())
                        .fix("make the directory readable, or move it away"),
                );
            }
            return Vec::new();
        }
    };
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .collect();
    paths.sort();
    paths
}

fn own_profile(path: &Path) -> Result<tenure_diagnose::Profile, Vec<Problem>> {
    let name = path.display().to_string();
    let text = read_text(path, "profile", "move it away").map_err(|problem| vec![problem])?;
    let told = |error: tenure_diagnose::ProfileError| {
        let place = format!("{}:{}:{}", error.file, error.line, error.column);
        Problem::new(error.problem).at(place).fix(error.fix)
    };
    let profile = tenure_diagnose::parse_profile(&text, &name)
        .map_err(|errors| errors.0.into_iter().map(told).collect::<Vec<_>>())?;
    if path
        .file_stem()
        .is_some_and(|stem| stem != profile.name.as_str())
    {
        let problem = Problem::new(format!("the profile calls itself {:?}", profile.name))
            .at(&name)
            .fix("give the file the same name");
        return Err(vec![problem]);
    }
    Ok(profile)
}
