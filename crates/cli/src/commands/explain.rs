//! `tenure explain`: what a code means, or which codes a server's message or a symptom can mean.

use serde_json::json;
use tenure_core::Code;
use tenure_diagnose::catalogue::{self, Hit, Lang};

use crate::args;
use crate::codes::{self, terminal};
use crate::error::{CommandError, Exit, Outcome, Problem};
use crate::output::Output;

/// Shows the page of a code, or what was found.
pub fn run(args: &args::Explain, out: Output) -> Outcome {
    let lang = args.lang.into();
    let query = args.query.join(" ");
    let found = catalogue::search(&query, lang);
    match &found[..] {
        [] => Err(nothing(&query)),
        [one] if matches!(one.hits[..], [Hit::Code]) => page(one.code, lang, args.all, out),
        found if out.json => out.json(&json!({
            "query": query,
            "found": codes::found_json(found, lang),
        })),
        found => lines(&terminal::found(&query, found, lang, out.out), out),
    }
}

fn page(code: Code, lang: Lang, all: bool, out: Output) -> Outcome {
    if out.json {
        let mut value = codes::describe(code);
        value["markdown"] = catalogue::page(code, lang).into();
        return out.json(&value);
    }
    lines(&terminal::page(code, lang, all, out.out), out)
}

fn lines(lines: &[String], out: Output) -> Outcome {
    out.line(lines.join("\n"))
}

fn nothing(query: &str) -> CommandError {
    CommandError::new(
        Exit::Failed,
        Problem::new(format!("nothing is known of {query:?}")).fix(
            "try fewer words, the server's own code, or a whole answer with `tenure classify --http FILE`",
        ),
    )
}
