//! The pages of the codes, one per code and language.

/// The Markdown page of a code (`API02002`) in a language (`en`), when there is one.
pub fn page(code: &str, lang: &str) -> Option<&'static str> {
    PAGES.iter().find(|(c, l, _)| *c == code && *l == lang).map(|(_, _, text)| *text)
}

const PAGES: &[(&str, &str, &str)] = &[];
