//! Pages of codes as HTML: no script, readable on a phone, light and dark.

use askama::Template;
use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, html};
use tenure_core::Code;
use tenure_diagnose::catalogue::{self, Found, Lang, Meaning};

use super::place::{Place, Topic};
use super::reason;

#[derive(Template)]
#[template(path = "code.html")]
struct CodePage<'a> {
    text: &'a Text,
    lang: &'static str,
    title: String,
    body: String,
    style: String,
    index: String,
    markdown: String,
    other: String,
    home: Option<&'static str>,
    /// Where a search is sent; files cannot search.
    search: Option<String>,
}

#[derive(Template)]
#[template(path = "codes.html")]
struct IndexPage<'a> {
    text: &'a Text,
    lang: &'static str,
    style: String,
    other: String,
    home: Option<&'static str>,
    /// Where a search is sent; files cannot search.
    search: Option<String>,
    query: &'a str,
    /// The query was an address, and there is no such code; what was found is close to it.
    missing: bool,
    /// What the query is about, when it is no failure of a token.
    remark: Option<&'static str>,
    found: Vec<FoundLine>,
    groups: Vec<Group>,
}

struct FoundLine {
    href: String,
    code: &'static str,
    title: &'static str,
    reasons: Vec<String>,
}

struct Group {
    title: &'static str,
    codes: Vec<CodeLine>,
}

struct CodeLine {
    href: String,
    code: &'static str,
    title: &'static str,
    summary: &'static str,
}

/// What stands around the pages, by language.
struct Text {
    codes: &'static str,
    intro: &'static str,
    search: &'static str,
    find: &'static str,
    nothing: &'static str,
    no_code: &'static str,
    closest: &'static str,
    can_mean: &'static str,
    all: &'static str,
    other: &'static str,
    other_tag: &'static str,
    as_markdown: &'static str,
    sessions: &'static str,
}

const EN: Text = Text {
    codes: "Error codes",
    intro: "Every failure that Tenure shows has one of these codes. A code never changes its meaning.",
    search: "A code, a server\u{2019}s message, or what you see",
    find: "Find",
    nothing: "Nothing is known of this. Try fewer words, or the server\u{2019}s own code.",
    no_code: "There is no code",
    closest: "Closest to it",
    can_mean: "It can mean",
    all: "All codes",
    other: "Nederlands",
    other_tag: "nl",
    as_markdown: "This page as Markdown",
    sessions: "Sessions and events",
};

const NL: Text = Text {
    codes: "Foutcodes",
    intro: "Elke fout die Tenure laat zien, heeft een van deze codes. Een code verandert nooit van betekenis.",
    search: "Een code, een melding van de server, of wat je ziet",
    find: "Zoek",
    nothing: "Hiervan is niets bekend. Probeer minder woorden, of de code van de server zelf.",
    no_code: "Er is geen code",
    closest: "Het dichtst daarbij",
    can_mean: "Het kan betekenen",
    all: "Alle codes",
    other: "English",
    other_tag: "en",
    as_markdown: "Deze pagina als Markdown",
    sessions: "Sessies en gebeurtenissen",
};

fn text(lang: Lang) -> &'static Text {
    match lang {
        Lang::En => &EN,
        Lang::Nl => &NL,
    }
}

fn other(lang: Lang) -> Lang {
    match lang {
        Lang::En => Lang::Nl,
        Lang::Nl => Lang::En,
    }
}

/// The page of a code.
///
/// # Errors
/// When the template cannot be rendered.
pub fn code(place: Place, code: Code) -> askama::Result<String> {
    CodePage {
        text: text(place.lang),
        lang: place.lang.tag(),
        title: format!("{code} {}", catalogue::title(code, place.lang)),
        body: body(&catalogue::page(code, place.lang), place),
        style: place.file("style.css"),
        index: place.link(place.lang, Topic::Index),
        markdown: place.file(&place.markdown()),
        other: place.link(other(place.lang), place.topic),
        home: (!place.files).then_some("/"),
        search: (!place.files).then(|| place.link(place.lang, Topic::Index)),
    }
    .render()
}

/// The page of all codes, with what was found for a query where there is one.
///
/// # Errors
/// When the template cannot be rendered.
pub fn index(place: Place, query: &str, meaning: &Meaning) -> askama::Result<String> {
    let lang = place.lang;
    let reasons = |found: &Found| found.hits.iter().map(|hit| reason(hit, lang)).collect();
    let lines = meaning
        .found
        .iter()
        .map(|found| found_line(place, found.code, reasons(found)))
        .collect();
    IndexPage {
        remark: meaning.other,
        ..listing(place, query, lines)
    }
    .render()
}

/// The page for an address that names no code: the search, and the codes whose names are closest.
///
/// # Errors
/// When the template cannot be rendered.
pub fn unknown(place: Place, name: &str, close: &[Code]) -> askama::Result<String> {
    let lines = close
        .iter()
        .map(|code| {
            let summary = catalogue::summary(*code, place.lang).to_owned();
            found_line(place, *code, vec![summary])
        })
        .collect();
    IndexPage {
        missing: true,
        ..listing(place, name, lines)
    }
    .render()
}

fn listing(place: Place, query: &str, found: Vec<FoundLine>) -> IndexPage<'_> {
    let lang = place.lang;
    IndexPage {
        text: text(lang),
        lang: lang.tag(),
        style: place.file("style.css"),
        other: place.link(other(lang), Topic::Index),
        home: (!place.files).then_some("/"),
        search: (!place.files).then(|| place.link(lang, Topic::Index)),
        query,
        missing: false,
        remark: None,
        found,
        groups: groups(place),
    }
}

fn found_line(place: Place, code: Code, reasons: Vec<String>) -> FoundLine {
    FoundLine {
        href: place.link(place.lang, Topic::Code(code)),
        code: code.as_str(),
        title: catalogue::title(code, place.lang),
        reasons,
    }
}

fn groups(place: Place) -> Vec<Group> {
    let titles: [(&str, &'static str, &'static str); 3] = [
        ("API02", "Tokens and logins", "Tokens en inloggen"),
        ("API01", "Network and server", "Netwerk en server"),
        ("API03", "Requests", "Verzoeken"),
    ];
    titles
        .into_iter()
        .map(|(prefix, en, nl)| {
            let mut codes: Vec<Code> = Code::ALL
                .iter()
                .copied()
                .filter(|code| code.as_str().starts_with(prefix))
                .collect();
            codes.sort_by_key(|code| code.as_str());
            Group {
                title: if place.lang == Lang::En { en } else { nl },
                codes: codes
                    .into_iter()
                    .map(|code| CodeLine {
                        href: place.link(place.lang, Topic::Code(code)),
                        code: code.as_str(),
                        title: catalogue::title(code, place.lang),
                        summary: catalogue::summary(code, place.lang),
                    })
                    .collect(),
            }
        })
        .collect()
}

/// Markdown as HTML; links to other codes lead to their pages as seen from here. Raw HTML is not let through.
fn body(markdown: &str, place: Place) -> String {
    let events = Parser::new_ext(markdown, Options::ENABLE_TABLES).map(|event| match event {
        Event::Start(Tag::Link {
            link_type,
            dest_url,
            title,
            id,
        }) => Event::Start(Tag::Link {
            link_type,
            dest_url: target(dest_url, place),
            title,
            id,
        }),
        Event::Html(raw) | Event::InlineHtml(raw) => Event::Text(raw),
        other => other,
    });
    let mut out = String::new();
    html::push_html(&mut out, events);
    out
}

fn target(dest: CowStr<'_>, place: Place) -> CowStr<'_> {
    match dest.strip_suffix(".md").and_then(Code::parse) {
        Some(code) => place.link(place.lang, Topic::Code(code)).into(),
        None => dest,
    }
}
