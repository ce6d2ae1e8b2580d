//! `tenure explain`: what a code means, or which codes a server's message or a symptom can mean.

use serde_json::json;
use tenure_core::Code;
use tenure_diagnose::catalogue::{self, Hit, Lang};
use tenure_wire::mask;

use crate::args;
use crate::codes::{self, terminal};
use crate::error::{CommandError, Exit, Outcome, Problem};
use crate::output::Output;

/// Shows the page of a code, or what was found.
pub fn run(args: &args::Explain, out: Output) -> Outcome {
    let lang = args.lang.into();
    let query = args.query.join(" ");
    let meaning = catalogue::search(&query, lang);
    let query = shown(&query);
    match &meaning.found[..] {
        [] if meaning.other.is_none() => Err(nothing(&query, lang)),
        [one] if matches!(one.hits[..], [Hit::Code]) => page(one.code, lang, args.all, out),
        found if out.json => out.json(&json!({
            "query": query,
            "other": meaning.other,
            "found": codes::found_json(found, lang),
        })),
        _ => lines(&terminal::found(&query, &meaning, lang, out.out), out),
    }
}

/// What was asked for, as it may be repeated: whoever pastes a token is not shown it, nor a whole page.
fn shown(query: &str) -> String {
    const LONGEST: usize = 200;
    let cut = &query[..query.floor_char_boundary(LONGEST)];
    let more = if cut.len() < query.len() { "…" } else { "" };
    format!("{}{more}", mask(cut))
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

/// Nothing is known of it; what looks like a code of ours leads to the closest ones.
fn nothing(query: &str, lang: Lang) -> CommandError {
    let (what, fix) = match (catalogue::closest_to_unknown(query), lang) {
        (Some(close), Lang::En) => (
            format!("there is no code {query:?}"),
            format!("look at the closest: {}", titles(&close, lang)),
        ),
        (Some(close), Lang::Nl) => (
            format!("er is geen code {query:?}"),
            format!("kijk bij de dichtstbijzijnde: {}", titles(&close, lang)),
        ),
        (None, Lang::En) => (
            format!("nothing is known of {query:?}"),
            "try fewer words, the server's own code, or a whole answer with `tenure classify --http FILE`".to_owned(),
        ),
        (None, Lang::Nl) => (
            format!("van {query:?} is niets bekend"),
            "probeer minder woorden, de code van de server zelf, of een heel antwoord met `tenure classify --http BESTAND`"
                .to_owned(),
        ),
    };
    let problem = Problem::new(what).fix(fix).in_lang(lang);
    CommandError::new(Exit::Failed, problem)
}

fn titles(codes: &[Code], lang: Lang) -> String {
    const SHOWN: usize = 3;
    let title = |code: &Code| format!("{code} {}", catalogue::title(*code, lang));
    let titles: Vec<String> = codes.iter().take(SHOWN).map(title).collect();
    titles.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_repeated_is_masked_and_short() {
        let token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.SflKxwRJSMeKKF2QT4fw";
        assert_eq!(shown(token), "[masked]");
        assert_eq!(shown("API02009"), "API02009");
        assert!(shown(&"é ".repeat(50_000)).len() < 300);
    }
}
