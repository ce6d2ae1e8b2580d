//! Which files a build of the site made, so that the next one removes those it no longer makes.

use std::collections::BTreeSet;
use std::io;
use std::path::{Component, Path, PathBuf};

use serde_json::{Value, json};

/// The file that lists them, itself among them.
pub const NAME: &str = "site-files.json";

/// The list as it is written.
pub fn text<'a>(files: impl Iterator<Item = &'a Path>) -> String {
    let all: BTreeSet<String> = files.map(name).chain([NAME.to_owned()]).collect();
    format!(
        "{:#}\n",
        json!({ "made_by": "tenure docs build", "files": all })
    )
}

/// With `/` on every system.
fn name(path: &Path) -> String {
    let parts = path
        .components()
        .map(|part| part.as_os_str().to_string_lossy());
    parts.collect::<Vec<_>>().join("/")
}

/// The files an earlier build made, where it left its list.
pub fn read(dir: &Path) -> Option<Vec<PathBuf>> {
    let text = std::fs::read_to_string(dir.join(NAME)).ok()?;
    let list: Value = serde_json::from_str(&text).ok()?;
    let files = list["files"].as_array()?.iter();
    let paths = files.filter_map(Value::as_str).map(PathBuf::from);
    // A list that somebody wrote must not lead out of the directory.
    Some(paths.filter(|path| stays_inside(path)).collect())
}

fn stays_inside(path: &Path) -> bool {
    let mut parts = path.components();
    path.file_name().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// Removes a file of an earlier build, and the directories that are empty without it.
///
/// # Errors
/// When it is there and cannot be removed.
pub fn remove(dir: &Path, path: &Path) -> io::Result<()> {
    let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
    above.pop(); // The directory of the site itself.
    if above.iter().any(|parent| dir.join(parent).is_symlink()) {
        // It leads elsewhere, and the build did not make it.
        return Ok(());
    }
    match std::fs::remove_file(dir.join(path)) {
        Err(error) if gone(error.kind()) => return Ok(()),
        done => done?,
    }
    for parent in above {
        if std::fs::remove_dir(dir.join(parent)).is_err() {
            // Not empty: something else is in it.
            break;
        }
    }
    Ok(())
}

fn gone(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_cannot_lead_out_of_its_directory() {
        for path in ["../a", "/etc/passwd", "a/../../b", "", ".", ".."] {
            assert!(!stays_inside(Path::new(path)), "{path}");
        }
        assert!(stays_inside(Path::new("nl/error-codes.md")));
    }

    #[test]
    fn the_list_names_itself() {
        let text = text([Path::new("a/b.md")].into_iter());
        let list: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(list["files"], json!(["a/b.md", NAME]));
    }
}
