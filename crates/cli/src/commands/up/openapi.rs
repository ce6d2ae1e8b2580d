//! The description of the local API, `openapi.json`.

use axum::http::header;
use axum::response::{IntoResponse, Response};

const DOCUMENT: &str = include_str!("openapi.json");

/// `/api/v1/openapi.json`.
pub async fn show() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;
    use tenure_core::{Class, Code, Heal, Who};

    use super::DOCUMENT;
    use crate::commands::up::admin::{Route, api, pages, tokens};

    fn document() -> Value {
        serde_json::from_str(DOCUMENT).expect("JSON")
    }

    /// `get /path` of every operation whose tag is one of these, or none of them.
    fn described(document: &Value, tags: &[&str], wanted: bool) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for (path, item) in document["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("operations") {
                if method == "parameters" {
                    continue;
                }
                let tag = operation["tags"][0].as_str().expect("a tag");
                if tags.contains(&tag) == wanted {
                    found.insert(format!("{method} {path}"));
                }
            }
        }
        found
    }

    fn served(routes: Vec<Route>) -> BTreeSet<String> {
        let name = |(method, path, _): &Route| format!("{method} {path}");
        routes.iter().map(name).collect()
    }

    #[test]
    fn what_is_served_is_described_and_the_other_way_round() {
        let document = document();
        assert_eq!(
            served(api()),
            described(&document, &["pages", "socket"], false)
        );
        assert_eq!(served(pages()), described(&document, &["pages"], true));
        assert_eq!(served(tokens()), described(&document, &["socket"], true));
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_operation_has_a_name() {
        let document = document();
        let mut open = vec![&document];
        let mut names = BTreeSet::new();
        while let Some(value) = open.pop() {
            match value {
                Value::Object(fields) => {
                    if let Some(Value::String(to)) = fields.get("$ref") {
                        let pointer = to.strip_prefix('#').expect("within the document");
                        assert!(document.pointer(pointer).is_some(), "{to}");
                    }
                    if let Some(Value::String(name)) = fields.get("operationId") {
                        assert!(names.insert(name.clone()), "{name} twice");
                    }
                    open.extend(fields.values());
                }
                Value::Array(items) => open.extend(items),
                _ => {}
            }
        }
        assert_eq!(names.len(), api().len() + pages().len() + tokens().len());
    }

    #[test]
    fn the_vocabulary_is_complete() {
        let document = document();
        let words = |name: &str| {
            let words = &document["components"]["schemas"][name]["enum"];
            let words = words.as_array().expect("words").iter();
            words
                .map(|word| word.as_str().expect("text").to_owned())
                .collect::<Vec<_>>()
        };
        let codes: Vec<_> = Code::ALL.iter().map(|word| word.as_str()).collect();
        let classes: Vec<_> = Class::ALL.iter().map(|word| word.as_str()).collect();
        let heals: Vec<_> = Heal::ALL.iter().map(|word| word.as_str()).collect();
        let who: Vec<_> = Who::ALL.iter().map(|word| word.as_str()).collect();
        assert_eq!(words("Code"), codes);
        assert_eq!(words("Class"), classes);
        assert_eq!(words("Heal"), heals);
        assert_eq!(words("Who"), who);
    }
}
