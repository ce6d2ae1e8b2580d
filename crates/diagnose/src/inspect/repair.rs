//! Takes off, layer by layer, what people and programs wrap tokens in.
//!
//! Each step recognises one thing. What can be undone without guessing is undone, and the rest is looked at again;
//! what cannot ends the search with a plain statement of what it is.

use tenure_core::Secret;

use super::kind::Kind;
use super::{Flaw, homoglyphs, shapes, show};

/// A text has no more layers than this.
const MOST_LAYERS: usize = 12;

/// What one step found.
pub(super) enum Found {
    /// Undone; look at the rest.
    Repaired(Flaw, Secret),
    /// This is what it is, and its name with the article where it has one.
    Final(Flaw, Kind, Option<&'static str>),
}

impl Found {
    #[expect(
        clippy::unnecessary_wraps,
        reason = "every step ends by saying this or nothing"
    )]
    pub(super) fn repaired(
        cause: &'static str,
        text: impl Into<String>,
        repair: &'static str,
        rest: impl Into<String>,
    ) -> Option<Self> {
        let flaw = Flaw::new(cause, text).repaired_by(repair);
        Some(Found::Repaired(flaw, Secret::new(rest)))
    }

    #[expect(
        clippy::unnecessary_wraps,
        reason = "every step ends by saying this or nothing"
    )]
    pub(super) fn last(cause: &'static str, text: impl Into<String>, kind: Kind) -> Option<Self> {
        Some(Found::Final(Flaw::new(cause, text), kind, None))
    }

    /// The same, under its own name.
    pub(super) fn named(mut self, own: &'static str) -> Self {
        if let Found::Final(_, _, name) = &mut self {
            *name = Some(own);
        }
        self
    }
}

/// What is left when nothing more can be taken off.
pub(super) struct Peeled {
    /// What was found on the way, outermost first.
    pub(super) flaws: Vec<Flaw>,
    /// What is left.
    pub(super) text: Secret,
    /// Set when it is no JWT, whatever is done.
    pub(super) kind: Option<Kind>,
    /// What it is called then, with its article.
    pub(super) name: Option<&'static str>,
}

type Step = fn(&str) -> Option<Found>;

/// In this order: a step may rely on what those before it have taken off.
const STEPS: &[Step] = &[
    invisible,
    whitespace_around,
    shapes::placeholder,
    quotes,
    header_line,
    scheme,
    shapes::document,
    shapes::parameters,
    shapes::cookies,
    percent,
    escapes,
    punctuation,
    shapes::known_prefix,
    several,
    whitespace_inside,
    homoglyphs::step,
    alphabet,
];

pub(super) fn peel(input: &Secret) -> Peeled {
    let mut peeled = Peeled {
        flaws: Vec::new(),
        text: input.clone(),
        kind: None,
        name: None,
    };
    for _ in 0..MOST_LAYERS {
        match STEPS.iter().find_map(|step| step(peeled.text.expose())) {
            Some(Found::Repaired(flaw, rest)) => {
                if !peeled.flaws.iter().any(|known| known.cause == flaw.cause) {
                    peeled.flaws.push(flaw);
                }
                peeled.text = rest;
            }
            Some(Found::Final(flaw, kind, name)) => {
                peeled.flaws.push(flaw);
                (peeled.kind, peeled.name) = (Some(kind), name);
                return peeled;
            }
            None => return peeled,
        }
    }
    peeled
}

/// Whether it has the looks of a whole JWT: JSON at the start, and at least two dots.
pub(super) fn is_jwt_like(text: &str) -> bool {
    text.starts_with("eyJ") && text.matches('.').count() >= 2
}

fn invisible(text: &str) -> Option<Found> {
    if !text.contains(show::is_invisible) {
        return None;
    }
    let rest: String = text.chars().filter(|c| !show::is_invisible(*c)).collect();
    Found::repaired(
        "invisible_characters",
        "There are invisible characters in it (a byte order mark, a zero-width space), as copying from a \
         document brings along.",
        "removing the invisible characters",
        rest,
    )
}

fn whitespace_around(text: &str) -> Option<Found> {
    let rest = text.trim();
    if rest.len() == text.len() || rest.is_empty() {
        return None;
    }
    if text.trim_end_matches(['\r', '\n']) == rest {
        return Found::repaired(
            "line_break_at_end",
            "A line break is at its end, as reading a whole file or a command's output leaves it.",
            "removing the line break",
            rest,
        );
    }
    Found::repaired(
        "whitespace_around",
        "There is white space before or after it.",
        "removing the white space",
        rest,
    )
}

const QUOTES: [(&str, &str); 9] = [
    ("\\\"", "\\\""),
    ("b'", "'"),
    ("b\"", "\""),
    ("\"", "\""),
    ("'", "'"),
    ("`", "`"),
    ("\u{201c}", "\u{201d}"),
    ("\u{2018}", "\u{2019}"),
    ("\u{ab}", "\u{bb}"),
];

fn quotes(text: &str) -> Option<Found> {
    const WORDS: &str = "It stands in quotes, which became part of it.";
    let both = QUOTES.iter().find_map(|(open, close)| {
        text.strip_prefix(open)
            .and_then(|rest| rest.strip_suffix(close))
    });
    if let Some(rest) = both {
        return Found::repaired("quoted", WORDS, "removing the quotes", rest);
    }
    let marks = [
        '"', '\'', '`', '\u{201c}', '\u{201d}', '\u{2018}', '\u{2019}',
    ];
    let rest = text.trim_matches(marks);
    // With its counterpart further in, the quote belongs to something larger, such as an assignment.
    (rest.len() < text.len() && !rest.is_empty() && !rest.contains(marks))
        .then(|| {
            Found::repaired(
                "quoted",
                "A quote is at one end of it and became part of it.",
                "removing the quote",
                rest,
            )
        })
        .flatten()
}

fn header_line(text: &str) -> Option<Found> {
    let (name, rest) = text.split_once(':')?;
    let known = [
        "authorization",
        "proxy-authorization",
        "x-auth-token",
        "x-access-token",
        "x-api-key",
    ];
    known
        .iter()
        .any(|known| name.trim().eq_ignore_ascii_case(known))
        .then(|| {
            Found::repaired(
                "header_line",
                "It is a whole header line, not its token alone.",
                "removing the header's name",
                rest.trim(),
            )
        })
        .flatten()
}

fn scheme(text: &str) -> Option<Found> {
    let (word, rest) = text.split_at_checked(text.find([' ', ':', '\t'])?)?;
    let rest = rest.trim_start_matches([' ', ':', '\t']);
    if word.eq_ignore_ascii_case("basic") && !rest.contains(' ') {
        return Found::last(
            "basic_credentials",
            "It is `Basic` credentials, a user name and a password in base64, not a token.",
            Kind::NoToken,
        );
    }
    ["bearer", "token", "jwt", "dpop"]
        .iter()
        .any(|known| word.eq_ignore_ascii_case(known))
        .then(|| {
            Found::repaired(
                "bearer_prefix",
                format!(
                    "The word `{word}` is kept before it; programs that add the word themselves then send it twice."
                ),
                "removing the word before it",
                rest,
            )
        })
        .flatten()
}

fn percent(text: &str) -> Option<Found> {
    let decoded = percent_decoded(text)?;
    Found::repaired(
        "url_encoded",
        "It is URL-encoded (`%2E` and the like), as if it stood in a query.",
        "decoding it",
        decoded,
    )
}

/// `None` when nothing is encoded, or what comes out is no text.
pub(super) fn percent_decoded(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let hex = |at: usize| {
        let digit = |at: usize| bytes.get(at).and_then(|byte| (*byte as char).to_digit(16));
        Some((digit(at)? * 16 + digit(at + 1)?) as u8)
    };
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], hex(at + 1)) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    (out.len() < bytes.len())
        .then(|| String::from_utf8(out).ok())
        .flatten()
}

fn escapes(text: &str) -> Option<Found> {
    if !text.contains('\\') {
        return None;
    }
    let rest = ["\\r", "\\n", "\\t"]
        .iter()
        .fold(text.to_owned(), |text, escape| text.replace(escape, ""))
        .replace('\\', "");
    Found::repaired(
        "escape_sequences",
        "There are escapes in it (`\\n`, `\\/`, `\\\"`) that nobody undid, as if it was cut out of JSON or source.",
        "undoing the escapes",
        rest,
    )
}

fn punctuation(text: &str) -> Option<Found> {
    let rest = text.trim_matches([',', ';', '<', '>', '(', ')']);
    (rest.len() < text.len() && is_jwt_like(rest))
        .then(|| {
            Found::repaired(
                "punctuation_around",
                "Punctuation before or after it (such as a comma) was copied along.",
                "removing the punctuation",
                rest,
            )
        })
        .flatten()
}

fn several(text: &str) -> Option<Found> {
    let separators = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '|' | '&');
    let pieces: Vec<&str> = text
        .split(separators)
        .filter(|piece| !piece.is_empty())
        .collect();
    let tokens: Vec<&str> = pieces
        .iter()
        .map(|piece| piece.trim_matches(['"', '\'']))
        .filter(|piece| is_jwt_like(piece))
        .collect();
    if tokens.len() < 2 {
        return None;
    }
    if tokens.iter().all(|token| *token == tokens[0]) && tokens.len() == pieces.len() {
        return Found::repaired(
            "token_repeated",
            format!("The same token stands there {} times.", tokens.len()),
            "taking it once",
            tokens[0],
        );
    }
    Found::last(
        "two_tokens",
        format!(
            "These are {} tokens joined together; send the access token alone.",
            tokens.len()
        ),
        Kind::NoToken,
    )
}

fn whitespace_inside(text: &str) -> Option<Found> {
    if !text.contains(char::is_whitespace) {
        return None;
    }
    let rest: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    if !is_jwt_like(&rest) {
        return Found::last(
            "text",
            "It is a text with spaces, not a token.",
            Kind::NoToken,
        );
    }
    let (cause, what) = if text.contains(['\n', '\r']) {
        (
            "line_break_inside",
            "It is broken into lines, as mail programs and terminals do.",
        )
    } else {
        ("whitespace_inside", "There is white space inside it.")
    };
    Found::repaired(cause, what, "joining it again", rest)
}

fn alphabet(text: &str) -> Option<Found> {
    if !is_jwt_like(text) || !text.contains(['+', '/', '=']) {
        return None;
    }
    let rest: String = text
        .chars()
        .filter(|c| *c != '=')
        .map(|c| match c {
            '+' => '-',
            '/' => '_',
            other => other,
        })
        .collect();
    if text.contains(['+', '/']) {
        return Found::repaired(
            "standard_base64",
            "It is written in plain base64 (`+` and `/`), where tokens have base64url (`-` and `_`).",
            "writing it in base64url",
            rest,
        );
    }
    Found::repaired(
        "padding",
        "It is padded with `=`, which tokens are not.",
        "removing the padding",
        rest,
    )
}
