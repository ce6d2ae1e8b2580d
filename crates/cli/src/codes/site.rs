//! The static site: `tenure docs build DIR`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tenure_core::Code;
use tenure_diagnose::catalogue::{self, Lang, Meaning};

use super::place::{Place, Topic};
use super::{describe, html, manifest};
use crate::error::{CommandError, Exit, Problem};

/// The style sheet of every page.
pub const STYLE: &str = include_str!("../../templates/style.css");

/// A file of the site, by its path from the root.
type File = (PathBuf, String);

/// `codes.json`: every code with its titles, what it means, and what servers say that means it.
pub fn codes_json() -> Value {
    json!({ "codes": Code::ALL.iter().copied().map(describe).collect::<Vec<_>>() })
}

/// Writes the site; returns how many files there are. An earlier build is replaced, with what it made and this one
/// does not; a directory with anything else is written into by `force` only, and its other files are left alone.
///
/// # Errors
/// When the directory holds something else, a page cannot be rendered, or a file cannot be written or removed.
pub fn build(dir: &Path, force: bool) -> Result<usize, CommandError> {
    if !force && !is_empty(dir) && !is_build(dir) {
        let problem = Problem::new("the directory is not empty and holds no earlier build")
            .at(dir.display())
            .fix(
                "name an empty or new directory, or write into this one all the same with --force",
            );
        return Err(CommandError::new(Exit::Failed, problem));
    }
    let files = files()
        .map_err(|error| CommandError::failed(format!("a page cannot be rendered: {error}")))?;
    remove_stale(dir, &files)?;
    for (path, text) in &files {
        let path = dir.join(path);
        let written = path
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| std::fs::write(&path, text));
        written.map_err(|error| {
            CommandError::failed(format!("cannot write {}: {error}", path.display()))
        })?;
    }
    Ok(files.len())
}

/// Removes what an earlier build made and this one does not. The new list is written last, so a build that was
/// broken off is cleared by the next one.
fn remove_stale(dir: &Path, files: &[File]) -> Result<(), CommandError> {
    let made = match manifest::read(dir) {
        Some(made) => made,
        None if is_build(dir) => before_lists(),
        None => return Ok(()),
    };
    let stale = made
        .iter()
        .filter(|path| files.iter().all(|(made_now, _)| made_now != *path));
    for path in stale {
        manifest::remove(dir, path).map_err(|error| {
            let path = dir.join(path);
            CommandError::failed(format!("cannot remove {}: {error}", path.display()))
        })?;
    }
    Ok(())
}

/// What builds made that left no list, and none makes any more: a page as Markdown stood beside its HTML.
fn before_lists() -> Vec<PathBuf> {
    let markdown = |lang, code: Code| {
        let place = Place {
            lang,
            topic: Topic::Code(code),
            files: true,
        };
        Path::new(&place.path()).with_file_name(format!("{code}.md"))
    };
    Lang::ALL
        .into_iter()
        .flat_map(|lang| Code::ALL.iter().map(move |code| markdown(lang, *code)))
        .collect()
}

/// Also when it is not there, or no directory: then writing says what is wrong.
fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none())
}

/// An earlier build is known by the list of its files, or by its list of codes.
fn is_build(dir: &Path) -> bool {
    if manifest::read(dir).is_some() {
        return true;
    }
    std::fs::read_to_string(dir.join("codes.json"))
        .ok()
        .and_then(|text| serde_json::from_str::<Value>(&text).ok())
        .is_some_and(|list| {
            list["codes"][0]["code"]
                .as_str()
                .is_some_and(|code| Code::parse(code).is_some())
        })
}

fn files() -> askama::Result<Vec<File>> {
    let mut files: Vec<File> = vec![
        ("style.css".into(), STYLE.to_owned()),
        ("codes.json".into(), pretty(&codes_json())),
        (
            "failure.schema.json".into(),
            pretty(&catalogue::failure_schema()),
        ),
        ("index.html".into(), START.to_owned()),
    ];
    for lang in Lang::ALL {
        let index = Place {
            lang,
            topic: Topic::Index,
            files: true,
        };
        files.push((
            index.path().into(),
            html::index(index, "", &Meaning::default())?,
        ));
        for code in Code::ALL {
            let place = Place {
                topic: Topic::Code(*code),
                ..index
            };
            files.push((place.markdown().into(), catalogue::page(*code, lang)));
            files.push((place.path().into(), html::code(place, *code)?));
        }
    }
    let list = manifest::text(files.iter().map(|(path, _)| path.as_path()));
    files.push((manifest::NAME.into(), list));
    Ok(files)
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// The root leads on to the codes.
const START: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" \
    content=\"0; url=error-codes/index.html\"><title>Tenure</title></head><body><a href=\"error-codes/index.html\">\
    Error codes</a> <a href=\"nl/error-codes/index.html\" lang=\"nl\">Foutcodes</a></body></html>\n";

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the links of a file lead, as written.
    fn links<'a>(path: &Path, text: &'a str) -> Vec<&'a str> {
        let (begin, end) = match path.extension().and_then(std::ffi::OsStr::to_str) {
            Some("html") => ("href=\"", '"'),
            Some("md") => ("](", ')'),
            _ => return Vec::new(),
        };
        let targets = text.split(begin).skip(1);
        targets
            .map(|rest| rest.split(end).next().expect("a part"))
            .filter(|link| !link.starts_with("https://"))
            .collect()
    }

    #[test]
    fn every_link_of_the_site_leads_to_a_file_of_it() {
        let files = files().expect("rendered");
        let known: std::collections::BTreeSet<_> =
            files.iter().map(|(path, _)| path.clone()).collect();
        let mut looked_at = [0, 0];
        for (path, text) in &files {
            for link in links(path, text) {
                let mut target = path.parent().expect("a directory").to_owned();
                for part in link.split('/') {
                    match part {
                        ".." => assert!(target.pop(), "{link} leads out"),
                        part => target.push(part),
                    }
                }
                assert!(known.contains(&target), "{}: {link}", path.display());
                looked_at[usize::from(path.extension().is_some_and(|end| end == "md"))] += 1;
            }
            assert!(!text.contains("<script"), "{}", path.display());
        }
        assert!(looked_at.iter().all(|many| *many > 200), "{looked_at:?}");
        assert_eq!(files.len(), 5 + 2 * (1 + 2 * Code::ALL.len()));
    }
}
