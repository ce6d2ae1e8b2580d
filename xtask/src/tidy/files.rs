//! The text files of the tree, without what a build or an editor leaves there.

use std::fs;
use std::path::Path;

/// One text file.
pub(super) struct File {
    /// From the root, with `/`.
    pub(super) path: String,
    pub(super) text: String,
}

impl File {
    #[cfg(test)]
    pub(super) fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    pub(super) fn is_rust(&self) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|extension| extension == "rs")
    }

    /// `core` for `crates/core/src/lib.rs`; `xtask` for the files of this package.
    pub(super) fn crate_dir(&self) -> Option<&str> {
        if self.path.starts_with("xtask/") {
            return Some("xtask");
        }
        let (name, _) = self.path.strip_prefix("crates/")?.split_once('/')?;
        Some(name)
    }
}

/// All of them, in order. Git is not asked: an unpacked archive has none.
pub(super) fn read(root: &Path) -> Result<Vec<File>, String> {
    let mut files = Vec::new();
    walk(root, "", &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn walk(dir: &Path, prefix: &str, files: &mut Vec<File>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{} cannot be read: {error}", dir.display());
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Ok(name) = entry.file_name().into_string() else {
            return Err(format!("{} holds a name that is not UTF-8", dir.display()));
        };
        let path = format!("{prefix}{name}");
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() && !is_left_out(&name) {
            walk(&entry.path(), &format!("{path}/"), files)?;
        } else if kind.is_file() {
            let bytes = fs::read(entry.path()).map_err(|error| format!("{path}: {error}"))?;
            // What is not UTF-8 is not text: images, databases.
            if let Ok(text) = String::from_utf8(bytes) {
                files.push(File { path, text });
            }
        }
    }
    Ok(())
}

/// Build output, Git's own files, editors' folders.
fn is_left_out(directory: &str) -> bool {
    let ours = [".ci", ".cargo"];
    directory == "target" || (directory.starts_with('.') && !ours.contains(&directory))
}
