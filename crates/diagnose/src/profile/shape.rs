//! What a profile may hold, key by key. It is walked before the profile is read, so that every slip is told at once
//! and in the words of the file.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::parse::Place;
use crate::name::nearest;

/// What the value of a key is.
enum Shape {
    /// A string.
    Text,
    /// True or false.
    Flag,
    /// A whole number from zero to this.
    Number(i64),
    /// A list of strings.
    Texts,
    /// A list of whole numbers from zero to this.
    Numbers(i64),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list of these words.
    SomeOf(&'static [&'static str]),
    /// A table with these keys.
    Table(&'static [Key]),
    /// A list of such tables.
    Tables(&'static [Key]),
}

struct Key {
    name: &'static str,
    shape: Shape,
    required: bool,
}

const fn must(name: &'static str, shape: Shape) -> Key {
    Key {
        name,
        shape,
        required: true,
    }
}

const fn may(name: &'static str, shape: Shape) -> Key {
    Key {
        name,
        shape,
        required: false,
    }
}

const PROFILE: &[Key] = &[
    must("name", Shape::Text),
    must("title", Shape::Text),
    must("dialect", Shape::OneOf(DIALECTS)),
    must("client_auth", Shape::SomeOf(METHODS)),
    must("flows", Shape::SomeOf(FLOWS)),
    must("retry_unknown", Shape::Flag),
    must("rotation", Shape::Table(ROTATION)),
    may("aliases", Shape::Texts),
    may("json", Shape::Table(JSON)),
    may("discovery", Shape::Flag),
    may("token_issuers", Shape::Texts),
    may("endpoints", Shape::Table(ENDPOINTS)),
    may("lifetimes", Shape::Table(LIFETIMES)),
    may("refused_statuses", Shape::Numbers(u16::MAX as i64)),
    may("recognise", Shape::Table(RECOGNISE)),
    may("quirks", Shape::Texts),
    may("status_page", Shape::Text),
    may("docs", Shape::Texts),
    may("claims", Shape::Tables(CLAIM)),
];

const DIALECTS: &[&str] = &[
    "oauth2",
    "json-refresh",
    "wordpress-tmeister",
    "wordpress-usefulteam",
    "wordpress-simple-jwt-login-3",
    "wordpress-simple-jwt-login-4",
    "wcpos",
];

const METHODS: &[&str] = &["none", "basic", "post", "private_key_jwt"];

const FLOWS: &[&str] = &[
    "code",
    "device",
    "password",
    "client_credentials",
    "browser_tokens",
];

const ROTATION: &[Key] = &[
    must(
        "kind",
        Shape::OneOf(&[
            "strict",
            "none",
            "rotates",
            "same_successor",
            "parent_until_child_used",
        ]),
    ),
    may("grace_seconds", Shape::Number(i64::MAX)),
];

const JSON: &[Key] = &[
    may("send_refresh", Shape::Text),
    may("access", Shape::Text),
    may("refresh", Shape::Text),
    may("expires_in", Shape::Text),
    may("expires_at", Shape::Text),
    may("refresh_expires_in", Shape::Text),
];

const ENDPOINTS: &[Key] = &[
    may("token", Shape::Text),
    may("login", Shape::Text),
    may("authorization", Shape::Text),
    may("device_authorization", Shape::Text),
    may("revocation", Shape::Text),
    may("introspection", Shape::Text),
    may("validate", Shape::Text),
];

const LIFETIMES: &[Key] = &[
    may("access_s", Shape::Number(i64::MAX)),
    may("refresh_s", Shape::Number(i64::MAX)),
    may("refresh_idle_s", Shape::Number(i64::MAX)),
    may("session_s", Shape::Number(i64::MAX)),
];

const RECOGNISE: &[Key] = &[
    may("issuer_hosts", Shape::Texts),
    may("issuer_path", Shape::Texts),
    may("rest_namespaces", Shape::Texts),
    may("rest_routes", Shape::Texts),
    may("rest_routes_missing", Shape::Texts),
    may("rest_answer", Shape::Table(ANSWER)),
    may("rank", Shape::Number(u8::MAX as i64)),
    may("metadata_keys", Shape::Texts),
];

const ANSWER: &[Key] = &[
    must("method", Shape::Text),
    must("route", Shape::Text),
    may("has", Shape::Texts),
    may("lacks", Shape::Texts),
];

const CLAIM: &[Key] = &[
    must("about", Shape::Text),
    must("says", Shape::Text),
    may("sources", Shape::Texts),
    may("unverified", Shape::Flag),
];

/// Notes everything about the text that no profile can have.
pub(super) fn check(root: &Spanned<DeTable<'_>>, at: &Place<'_>) {
    Walk { path: "", at }.table(root.get_ref(), 0..0, PROFILE);
}

/// One table on the way down.
struct Walk<'a> {
    /// Its dotted name; empty for the root.
    path: &'a str,
    at: &'a Place<'a>,
}

impl Walk<'_> {
    fn dotted(&self, key: &str) -> String {
        match self.path {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }

    fn table(&self, table: &DeTable<'_>, heading: Range<usize>, keys: &[Key]) {
        let mut meant = Vec::new();
        for (name, value) in table {
            let word = name.get_ref().as_ref();
            match keys.iter().find(|key| key.name == word) {
                Some(key) => self.value(key, value),
                None => meant.extend(self.unknown(word, name.span(), table, keys)),
            }
        }
        let missing = |key: &&Key| {
            key.required && !table.contains_key(key.name) && !meant.contains(&key.name)
        };
        for key in keys.iter().filter(missing) {
            let name = self.dotted(key.name);
            let fix = format!("Add {}", example(&name, &key.shape, self.path));
            let problem = format!("`{name}` is missing");
            self.at.note(heading.clone(), &name, &problem, &fix);
        }
    }

    /// Notes a key nobody knows; which one was meant, if that can be told.
    fn unknown(
        &self,
        word: &str,
        span: Range<usize>,
        table: &DeTable<'_>,
        keys: &[Key],
    ) -> Option<&'static str> {
        let free = || {
            keys.iter()
                .map(|key| key.name)
                .filter(|name| !table.contains_key(*name))
        };
        let meant = nearest(word, free());
        let known: Vec<&str> = keys.iter().map(|key| key.name).collect();
        let fix = meant.map_or_else(
            || format!("Known here: {}", known.join(", ")),
            |name| format!("Did you mean `{name}`?"),
        );
        let place = match self.path {
            "" => "in a profile".to_owned(),
            path => format!("in [{path}]"),
        };
        let problem = format!("there is no key `{word}` {place}");
        self.at.note(span, word, &problem, &fix);
        meant
    }

    fn value(&self, key: &Key, found: &Spanned<DeValue<'_>>) {
        let name = self.dotted(key.name);
        let (value, span) = (found.get_ref(), found.span());
        let below = Walk {
            path: &name,
            at: self.at,
        };
        match (&key.shape, value) {
            (Shape::Text, DeValue::String(_)) | (Shape::Flag, DeValue::Boolean(_)) => {}
            (Shape::Number(most), DeValue::Integer(_)) => self.number(&name, *most, found),
            (Shape::OneOf(words), DeValue::String(_)) => self.word(&name, words, found),
            (Shape::Table(keys), DeValue::Table(table)) => below.table(table, span, keys),
            (
                Shape::Texts | Shape::Numbers(_) | Shape::SomeOf(_) | Shape::Tables(_),
                DeValue::Array(list),
            ) => {
                for item in list {
                    below.item(&key.shape, item);
                }
            }
            (shape, other) => self.mistyped(&name, shape, other, span),
        }
    }

    /// One of a list; the path is the list's.
    fn item(&self, shape: &Shape, found: &Spanned<DeValue<'_>>) {
        match (shape, found.get_ref()) {
            (Shape::Texts, DeValue::String(_)) => {}
            (Shape::Numbers(most), DeValue::Integer(_)) => self.number(self.path, *most, found),
            (Shape::SomeOf(words), DeValue::String(_)) => self.word(self.path, words, found),
            (Shape::Tables(keys), DeValue::Table(table)) => self.table(table, found.span(), keys),
            (shape, other) => self.mistyped(self.path, shape, other, found.span()),
        }
    }

    fn number(&self, name: &str, most: i64, found: &Spanned<DeValue<'_>>) {
        let number = found
            .get_ref()
            .as_integer()
            .and_then(|number| i64::from_str_radix(number.as_str(), number.radix()).ok());
        if number.is_some_and(|number| (0..=most).contains(&number)) {
            return;
        }
        let problem = format!("`{name}` is too large, or below zero");
        let fix = format!("Write a whole number from 0 to {most}");
        self.at.note(found.span(), name, &problem, &fix);
    }

    fn word(&self, name: &str, words: &[&'static str], found: &Spanned<DeValue<'_>>) {
        let word = found.get_ref().as_str().unwrap_or_default();
        if words.contains(&word) {
            return;
        }
        let problem = format!("`{name}` cannot be {word:?}");
        let fix = match nearest(word, words.iter().copied()) {
            Some(near) => format!("Did you mean {near:?}?"),
            None => format!("Write one of {}", quoted(words)),
        };
        self.at.note(found.span(), name, &problem, &fix);
    }

    fn mistyped(&self, name: &str, shape: &Shape, found: &DeValue<'_>, span: Range<usize>) {
        let problem = format!("`{name}` holds {}, not {}", kind(found), wanted(shape));
        let fix = format!("Write {}", example(name, shape, ""));
        self.at.note(span, name, &problem, &fix);
    }
}

fn quoted(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    words.join(", ")
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn wanted(shape: &Shape) -> &'static str {
    match shape {
        Shape::Text | Shape::OneOf(_) => "a string",
        Shape::Flag => "true or false",
        Shape::Number(_) => "a whole number",
        Shape::Texts | Shape::SomeOf(_) => "a list of strings",
        Shape::Numbers(_) => "a list of whole numbers",
        Shape::Table(_) => "a table",
        Shape::Tables(_) => "a list of tables",
    }
}

/// How a key is written; `within` is the table it is in, when that has a heading above it already.
fn example(name: &str, shape: &Shape, within: &str) -> String {
    let key = match name.strip_prefix(within) {
        Some(rest) => rest.trim_start_matches('.'),
        None => name,
    };
    let first = |keys: &[Key]| {
        let needed: Vec<&str> = keys
            .iter()
            .filter(|key| key.required)
            .map(|key| key.name)
            .collect();
        match needed.as_slice() {
            [] => String::new(),
            needed => format!(" with `{}`", needed.join("`, `")),
        }
    };
    match shape {
        Shape::Text => format!("`{key} = \"…\"`"),
        Shape::Flag => format!("`{key} = true` or `{key} = false`"),
        Shape::Number(_) => format!("a number: `{key} = 1`"),
        Shape::Texts => format!("`{key} = [\"…\"]`"),
        Shape::Numbers(_) => format!("`{key} = [401]`"),
        Shape::OneOf(words) => format!("`{key} = …` with one of {}", quoted(words)),
        Shape::SomeOf(words) => format!("`{key} = […]` with some of {}", quoted(words)),
        Shape::Table(keys) => format!("a table `[{name}]`{}", first(keys)),
        Shape::Tables(keys) => format!("tables `[[{name}]]`{}", first(keys)),
    }
}
