//! The pages of the codes as people see them: in a terminal, as HTML on the admin address, as a static site.

pub mod html;
mod manifest;
pub mod place;
pub mod site;
pub mod terminal;

use serde_json::{Value, json};
use tenure_core::Code;
use tenure_diagnose::catalogue::{self, Found, Hit, Lang, ServerError};

/// A code as `tenure explain CODE --json` and `codes.json` have it.
pub fn describe(code: Code) -> Value {
    let in_every = |what: fn(Code, Lang) -> &'static str| -> Value {
        Lang::ALL
            .into_iter()
            .map(|lang| (lang.tag().to_owned(), Value::from(what(code, lang))))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    json!({
        "code": code,
        "title": in_every(catalogue::title),
        "summary": in_every(catalogue::summary),
        "page": format!("/error-codes/{code}"),
        "related": catalogue::related(code),
        "server_errors": catalogue::server_errors(code).iter().map(server_error).collect::<Vec<_>>(),
    })
}

fn server_error(error: &ServerError) -> Value {
    json!({
        "system": error.system,
        "where": error.place,
        "answer": error.answer,
        "cause": error.cause,
        "rule": error.rule,
        "source": error.source,
    })
}

/// What was found for a query, as `tenure explain QUERY --json` has it.
pub fn found_json(found: &[Found], lang: Lang) -> Value {
    let all: Vec<Value> = found
        .iter()
        .map(|found| {
            json!({
                "code": found.code,
                "title": catalogue::title(found.code, lang),
                "because": found.hits.iter().map(hit_json).collect::<Vec<_>>(),
            })
        })
        .collect();
    all.into()
}

fn hit_json(hit: &Hit) -> Value {
    match hit {
        Hit::Code => json!({ "kind": "code" }),
        Hit::Server(error) => {
            let mut value = server_error(error);
            value["kind"] = "server".into();
            value
        }
        Hit::Read(place) => json!({ "kind": "read", "where": place }),
        Hit::Symptom(text) => json!({ "kind": "symptom", "text": text }),
        Hit::Page => json!({ "kind": "page" }),
    }
}

/// One reason as a line for people.
pub fn reason(hit: &Hit, lang: Lang) -> String {
    let en = lang == Lang::En;
    match hit {
        Hit::Code => if en {
            "the code itself"
        } else {
            "de code zelf"
        }
        .to_owned(),
        Hit::Server(error) => {
            let at = match (error.place, en) {
                (Some("token"), true) => " (when renewing)",
                (Some("token"), false) => " (bij het vernieuwen)",
                (Some(_), true) => " (API)",
                _ => "",
            };
            format!(
                "{}{at}: {}, {}",
                catalogue::system(error.system, lang),
                error.answer,
                catalogue::cause(error.cause, lang)
            )
        }
        Hit::Read(place) => match (*place, en) {
            ("token", true) => "a token endpoint that says so means this",
            ("token", false) => "een tokenadres dat dit zegt, bedoelt dit",
            (_, true) => "an API that says so means this",
            (_, false) => "een API die dit zegt, bedoelt dit",
        }
        .to_owned(),
        Hit::Symptom(text) => format!("\u{201c}{text}\u{201d}"),
        Hit::Page => if en {
            "its page has these words"
        } else {
            "de pagina bevat deze woorden"
        }
        .to_owned(),
    }
}
