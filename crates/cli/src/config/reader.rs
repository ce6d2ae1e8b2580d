//! Walks a TOML file and says exactly where it is wrong. Every key that is asked for is known; what nobody asked
//! for is misspelt.

use std::cell::RefCell;
use std::ops::Range;

use tenure_diagnose::name::nearest;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::origin::{Origin, Sourced};
use super::value::Wrong;
use crate::error::Problem;

/// A file being read and what was found wrong in it.
pub struct Source<'a> {
    name: &'a str,
    text: &'a str,
    problems: RefCell<Vec<(usize, Problem)>>,
}

impl<'a> Source<'a> {
    /// A file's text under the name to show.
    pub fn new(name: &'a str, text: &'a str) -> Self {
        Self {
            name,
            text,
            problems: RefCell::default(),
        }
    }

    /// Parses the text; a syntax error is a problem with its place.
    pub fn parse(&self) -> Option<Spanned<DeTable<'a>>> {
        match DeTable::parse(self.text) {
            Ok(table) => Some(table),
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                let what = error.message().lines().collect::<Vec<_>>().join(", ");
                self.problem(
                    at,
                    Problem::new(what).fix("see https://toml.io for the notation"),
                );
                None
            }
        }
    }

    /// Everything found wrong, in the order of the file.
    pub fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|(at, _)| *at);
        problems.into_iter().map(|(_, problem)| problem).collect()
    }

    fn problem(&self, offset: usize, problem: Problem) {
        let (line, column) = self.position(offset);
        self.problems.borrow_mut().push((
            offset,
            problem.at(format_args!("{}:{line}:{column}", self.name)),
        ));
    }

    fn position(&self, offset: usize) -> (usize, usize) {
        position(self.text, offset)
    }

    fn origin(&self, offset: usize) -> Origin {
        Origin::File {
            name: self.name.to_owned(),
            line: self.position(offset).0,
        }
    }
}

/// Line and column of a byte, counted from 1.
pub fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
}

/// One table of the file.
pub struct Table<'a> {
    source: &'a Source<'a>,
    /// The table's path: `sessions.shop`; empty for the root.
    path: String,
    /// Where its heading is.
    at: usize,
    entries: &'a DeTable<'a>,
    asked: RefCell<Vec<&'static str>>,
}

/// A value and its place in the file.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    /// The value.
    pub value: &'a DeValue<'a>,
    /// Its first byte.
    pub at: usize,
}

impl<'a> Table<'a> {
    /// The root of a parsed file.
    pub fn root(source: &'a Source<'a>, parsed: &'a Spanned<DeTable<'a>>) -> Self {
        Self {
            source,
            path: String::new(),
            at: 0,
            entries: parsed.get_ref(),
            asked: RefCell::default(),
        }
    }

    /// Where the table begins.
    pub fn origin(&self) -> Origin {
        self.source.origin(self.at)
    }

    /// Where the value of `key` is, or the table when it has none.
    pub fn origin_of(&self, key: &str) -> Origin {
        self.source.origin(self.offset_of(key))
    }

    /// Notes what is wrong with the table as a whole.
    pub fn wrong(&self, what: impl Into<String>, fix: impl Into<String>) {
        self.source.problem(self.at, Problem::new(what).fix(fix));
    }

    /// Notes what is wrong with the value of `key`, or with the table when it has none.
    pub fn wrong_at(&self, key: &str, wrong: Wrong) {
        let what = format!("`{}`: {}", self.dotted(key), wrong.what);
        self.source
            .problem(self.offset_of(key), Problem::new(what).fix(wrong.fix));
    }

    /// Notes what is wrong with the table as a whole, under its name.
    pub fn wrong_here(&self, wrong: Wrong) {
        self.wrong(format!("`{}`: {}", self.path, wrong.what), wrong.fix);
    }

    /// Whether one of these keys is there.
    pub fn has_any(&self, keys: &[&str]) -> bool {
        keys.iter().any(|key| self.entries.get(*key).is_some())
    }

    fn offset_of(&self, key: &str) -> usize {
        self.entries
            .get(key)
            .map_or(self.at, |value| value.span().start)
    }

    fn dotted(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// The raw value of a key, which is known from here on.
    pub fn get(&self, key: &'static str) -> Option<Value<'a>> {
        self.asked.borrow_mut().push(key);
        self.entries.get(key).map(|value| Value {
            value: value.get_ref(),
            at: value.span().start,
        })
    }

    fn expected(&self, key: &str, found: Value<'_>, wanted: &str) {
        let what = format!(
            "`{}` is {}, expected {wanted}",
            self.dotted(key),
            kind(found.value)
        );
        self.source
            .problem(found.at, Problem::new(what).fix(example(key, wanted)));
    }

    /// A string.
    pub fn string(&self, key: &'static str) -> Option<Sourced<String>> {
        let found = self.get(key)?;
        let Some(text) = found.value.as_str() else {
            self.expected(key, found, "a string");
            return None;
        };
        Some(Sourced::new(text.to_owned(), self.source.origin(found.at)))
    }

    /// A string that `parse` understands.
    pub fn parsed<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<Sourced<T>> {
        let text = self.string(key)?;
        match parse(&text.value) {
            Ok(value) => Some(Sourced::new(value, text.origin)),
            Err(wrong) => {
                self.wrong_at(key, wrong);
                None
            }
        }
    }

    /// True or false.
    pub fn boolean(&self, key: &'static str) -> Option<bool> {
        let found = self.get(key)?;
        let value = found.value.as_bool();
        if value.is_none() {
            self.expected(key, found, "true or false");
        }
        value
    }

    /// A list of strings.
    pub fn strings(&self, key: &'static str) -> Option<Vec<String>> {
        let found = self.get(key)?;
        let list = found.value.as_array().and_then(|list| {
            list.iter()
                .map(|item| item.get_ref().as_str().map(str::to_owned))
                .collect::<Option<Vec<_>>>()
        });
        if list.is_none() {
            self.expected(key, found, "a list of strings");
        }
        list
    }

    /// A table below this one.
    pub fn table(&self, key: &'static str) -> Option<Table<'a>> {
        let found = self.get(key)?;
        let Some(entries) = found.value.as_table() else {
            self.expected(key, found, "a table");
            return None;
        };
        Some(self.below(key, found.at, entries))
    }

    fn below(&self, key: &str, at: usize, entries: &'a DeTable<'a>) -> Table<'a> {
        Table {
            source: self.source,
            path: self.dotted(key),
            at,
            entries,
            asked: RefCell::default(),
        }
    }

    /// A list of tables. What is no table in it is noted, by `instead` where it is a string.
    pub fn list(&self, key: &'static str, instead: impl Fn() -> Wrong) -> Option<Vec<Table<'a>>> {
        let found = self.get(key)?;
        let Some(list) = found.value.as_array() else {
            self.expected(key, found, "a list of tables");
            return None;
        };
        let mut tables = Vec::new();
        for (number, item) in list.iter().enumerate() {
            let (value, at) = (item.get_ref(), item.span().start);
            let name = format!("{key}[{number}]");
            if let Some(entries) = value.as_table() {
                tables.push(self.below(&name, at, entries));
            } else if value.is_str() {
                let wrong = instead();
                let what = format!("`{}`: {}", self.dotted(&name), wrong.what);
                self.source.problem(at, Problem::new(what).fix(wrong.fix));
            } else {
                self.expected(&name, Value { value, at }, "a table");
            }
        }
        Some(tables)
    }

    /// Every entry, as a table each, with its name and the place of the name. For tables whose keys are names.
    pub fn tables(&self) -> Vec<(&'a str, Table<'a>)> {
        self.entries
            .iter()
            .filter_map(|(name, value)| {
                let at = name.span().start;
                let Some(entries) = value.get_ref().as_table() else {
                    self.expected(
                        name.get_ref(),
                        Value {
                            value: value.get_ref(),
                            at: value.span().start,
                        },
                        "a table",
                    );
                    return None;
                };
                Some((
                    name.get_ref().as_ref(),
                    self.below(name.get_ref(), at, entries),
                ))
            })
            .collect()
    }

    /// Every entry as text, for tables of free names.
    pub fn texts(&self) -> Vec<(String, String)> {
        let mut texts = Vec::new();
        for (name, value) in self.entries {
            match value.get_ref().as_str() {
                Some(text) => texts.push((name.get_ref().to_string(), text.to_owned())),
                None => self.expected(
                    name.get_ref(),
                    Value {
                        value: value.get_ref(),
                        at: value.span().start,
                    },
                    "a string",
                ),
            }
        }
        texts
    }

    /// Notes a key that is nearly `key`, for readers that ask for this one only.
    pub fn slip_of(&self, key: &'static str) {
        for (name, _) in self.entries {
            let written = name.get_ref().as_ref();
            if written != key && nearest(written, [key].into_iter()).is_some() {
                let problem = Problem::new(format!("unknown key `{written}`"))
                    .fix(format!("did you mean `{key}`?"));
                self.source.problem(name.span().start, problem);
            }
        }
    }

    /// Names the keys nobody asked for. `elsewhere` says of a key where it belongs instead.
    pub fn finish(self, elsewhere: impl Fn(&str) -> Option<String>) {
        let known = self.asked.borrow();
        for (key, _) in self.entries {
            let Range { start, .. } = key.span();
            let key = key.get_ref().as_ref();
            if known.contains(&key) {
                continue;
            }
            let place = if self.path.is_empty() {
                "at the top of the file".to_owned()
            } else {
                format!("in [{}]", self.path)
            };
            let fix = nearest(key, known.iter().copied())
                .map(|name| format!("did you mean `{name}`?"))
                .or_else(|| elsewhere(key))
                .unwrap_or_else(|| format!("known here: {}", known.join(", ")));
            self.source.problem(
                start,
                Problem::new(format!("unknown key `{key}` {place}")).fix(fix),
            );
        }
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// What is easily written without quotes, because it begins with a number: addresses, times, sizes.
fn example_of(key: &str) -> Option<&'static str> {
    match key {
        "listen" => Some("127.0.0.1:7878"),
        "admin" => Some("127.0.0.1:7879"),
        "replay_limit" => Some("1MiB"),
        "access_ttl" => Some("5m"),
        "refresh_at" => Some("120s"),
        "exchange_timeout" => Some("15s"),
        "backoff_min" => Some("1s"),
        "backoff_max" => Some("60s"),
        _ => None,
    }
}

fn example(key: &str, wanted: &str) -> String {
    match wanted {
        "a string" => match example_of(key) {
            Some(value) => format!("write it in quotes, as {key} = \"{value}\""),
            None => format!("write it in quotes: {key} = \"…\""),
        },
        "true or false" => format!("write {key} = true or {key} = false, without quotes"),
        "a list of strings" => format!("write {key} = [\"…\", \"…\"]"),
        _ => format!("write {key} as {wanted}"),
    }
}
