//! The static site: `tenure docs build DIR`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tenure_core::Code;
use tenure_diagnose::catalogue::{self, Lang};

use super::place::{Place, Topic};
use super::{describe, html};
use crate::error::CommandError;

/// The style sheet of every page.
pub const STYLE: &str = include_str!("../../templates/style.css");

/// A file of the site, by its path from the root.
type File = (PathBuf, String);

/// `codes.json`: every code with its titles, what it means, and what servers say that means it.
pub fn codes_json() -> Value {
    json!({ "codes": Code::ALL.iter().copied().map(describe).collect::<Vec<_>>() })
}

/// Writes the site; returns how many files there are. Files that are there already are replaced, others left alone.
///
/// # Errors
/// When a page cannot be rendered or a file cannot be written.
pub fn build(dir: &Path) -> Result<usize, CommandError> {
    let files = files()
        .map_err(|error| CommandError::failed(format!("a page cannot be rendered: {error}")))?;
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
        files.push((index.path().into(), html::index(index, "", &[])?));
        for code in Code::ALL {
            let place = Place {
                topic: Topic::Code(*code),
                ..index
            };
            let path = PathBuf::from(place.path());
            files.push((
                path.with_file_name(format!("{code}.md")),
                catalogue::page(*code, lang),
            ));
            files.push((path, html::code(place, *code)?));
        }
    }
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

    #[test]
    fn every_link_of_the_site_leads_to_a_file_of_it() {
        let files = files().expect("rendered");
        let known: std::collections::BTreeSet<_> =
            files.iter().map(|(path, _)| path.clone()).collect();
        for (path, text) in files.iter().filter(|(path, _)| {
            path.extension()
                .is_some_and(|extension| extension == "html")
        }) {
            for link in text.split("href=\"").skip(1) {
                let link = link.split('"').next().expect("a part");
                if link.starts_with("https://") {
                    continue;
                }
                let mut target = path.parent().expect("a directory").to_owned();
                for part in link.split('/') {
                    match part {
                        ".." => assert!(target.pop(), "{link} leads out"),
                        part => target.push(part),
                    }
                }
                assert!(known.contains(&target), "{}: {link}", path.display());
            }
            assert!(!text.contains("<script"), "{}", path.display());
        }
        assert_eq!(files.len(), 4 + 2 * (1 + 2 * Code::ALL.len()));
    }
}
