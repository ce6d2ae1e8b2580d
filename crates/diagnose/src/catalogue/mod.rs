//! The pages of the codes, one per code and language (DESIGN §7), and how to find the one that is meant.

mod said;
mod schema;
mod search;
mod symptoms;
mod table;

use tenure_core::Code;

use crate::name::distance;

pub use said::{cause, system};
pub use schema::failure_schema;
pub use search::{Found, Hit, Meaning, closest_to_unknown, search};
pub use table::{ServerError, server_errors};

macro_rules! pages {
    ($($code:literal),* $(,)?) => {
        const PAGES: &[(&str, &str, &str)] = &[$(
            ($code, "en", include_str!(concat!("../../../../catalogue/codes/en/", $code, ".md"))),
            ($code, "nl", include_str!(concat!("../../../../catalogue/codes/nl/", $code, ".md"))),
        )*];
    };
}

pages! {
    "API01001", "API01002", "API01003", "API01004", "API01005", "API01006", "API01007", "API01008",
    "API01009", "API01010", "API02001", "API02002", "API02003", "API02004", "API02005", "API02006",
    "API02007", "API02008", "API02009", "API02010", "API02011", "API02012", "API02013", "API02014",
    "API02015", "API02016", "API02017", "API02018", "API02019", "API02020", "API02021", "API02022",
    "API02023", "API02024", "API02025", "API02026", "API02999", "API03001", "API03005",
}

/// Where a page wants the table of server errors.
const MARKER: &str = "<!-- generated: server-errors -->";

/// A language that every page is written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lang {
    /// English.
    #[default]
    En,
    /// Dutch.
    Nl,
}

impl Lang {
    /// Every language there is.
    pub const ALL: [Lang; 2] = [Lang::En, Lang::Nl];

    /// The language with this tag, e.g. `nl`.
    pub fn parse(tag: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lang| lang.tag() == tag)
    }

    /// Its tag (BCP 47).
    pub fn tag(self) -> &'static str {
        match self {
            Lang::En => "en",
            Lang::Nl => "nl",
        }
    }
}

/// The page as it was written, without the table of server errors.
fn written(code: Code, lang: Lang) -> &'static str {
    PAGES
        .iter()
        .find(|(known, language, _)| *known == code.as_str() && *language == lang.tag())
        // A test holds that every code has a page in every language.
        .map_or("", |(_, _, text)| *text)
}

/// The page of a code as Markdown (CommonMark with tables). Links to other codes are `API02007.md`.
pub fn page(code: Code, lang: Lang) -> String {
    written(code, lang).replace(MARKER, &table::markdown(code, lang))
}

/// The title of a code in a language, as its page has it.
pub fn title(code: Code, lang: Lang) -> &'static str {
    let first = written(code, lang).lines().next().unwrap_or_default();
    first
        .strip_prefix("# ")
        .and_then(|title| title.strip_prefix(code.as_str()))
        .map_or(code.title(), str::trim)
}

/// The codes whose names are closest to what somebody wrote, the closest first; of those equally close, by number.
pub fn closest(written: &str) -> Vec<Code> {
    const MANY: usize = 5;
    let upper = written.to_ascii_uppercase();
    let wanted = upper.split('.').next().unwrap_or_default();
    let mut codes = Code::ALL.to_vec();
    codes.sort_by_cached_key(|code| (distance(wanted, code.as_str()), code.as_str()));
    codes.truncate(MANY);
    codes
}

/// The codes a page names as related.
pub fn related(code: Code) -> Vec<Code> {
    let (_, links) = written(code, Lang::En)
        .rsplit_once("\n## ")
        .unwrap_or_default();
    links
        .lines()
        .filter_map(|line| line.strip_prefix("- ["))
        .filter_map(|line| Code::parse(line.split(']').next()?))
        .collect()
}

/// The first sentence of a page: what happened.
pub fn summary(code: Code, lang: Lang) -> &'static str {
    let text = written(code, lang)
        .split("\n## ")
        .nth(1)
        .and_then(|section| section.split_once('\n'))
        .map_or("", |(_, text)| text.trim());
    text.find(". ").map_or_else(
        || text.lines().next().unwrap_or_default(),
        |end| &text[..=end],
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tenure_core::Code;

    use super::*;

    /// The headings of a page, by language.
    const SECTIONS: [(&str, [&str; 5]); 2] = [
        (
            "en",
            [
                "## What this means",
                "## Common causes",
                "## Server error mapping",
                "## How to fix",
                "## Related errors",
            ],
        ),
        (
            "nl",
            [
                "## Wat dit betekent",
                "## Veelvoorkomende oorzaken",
                "## Wat de server zegt",
                "## Oplossen",
                "## Verwante fouten",
            ],
        ),
    ];

    fn related(text: &'static str) -> BTreeSet<&'static str> {
        let (_, links) = text.rsplit_once("\n## ").expect("a last section");
        links
            .lines()
            .filter_map(|line| line.strip_prefix("- ["))
            .map(|line| line.split(']').next().expect("a part"))
            .collect()
    }

    #[test]
    fn every_code_has_a_complete_page_in_every_language() {
        for code in Code::ALL {
            for (lang, sections) in SECTIONS {
                let page = written(*code, Lang::parse(lang).expect("known"));
                let heading = if lang == "en" {
                    format!("# {code} {}\n", code.title())
                } else {
                    format!("# {code} ")
                };
                assert!(page.starts_with(&heading), "{lang}/{code}: {heading:?}");
                let found: Vec<&str> = page
                    .lines()
                    .filter(|line| line.starts_with("## "))
                    .collect();
                assert_eq!(found, sections, "{lang}/{code}");
            }
        }
    }

    #[test]
    fn related_codes_exist_and_are_linked_both_ways() {
        for code in Code::ALL {
            let en = related(written(*code, Lang::En));
            assert_eq!(en, related(written(*code, Lang::Nl)), "{code}");
            for other in en {
                let other = Code::parse(other).unwrap_or_else(|| panic!("{code} names {other}"));
                let back = related(written(other, Lang::En));
                assert!(back.contains(code.as_str()), "{other} does not name {code}");
            }
        }
    }

    #[test]
    fn links_lead_to_pages() {
        for code in Code::ALL {
            for lang in Lang::ALL {
                for link in written(*code, lang).split("](").skip(1) {
                    let target = link.split(')').next().expect("a part");
                    let known = target.strip_suffix(".md").and_then(Code::parse);
                    assert!(
                        known.is_some() || target.starts_with("https://"),
                        "{lang:?}/{code}: {target}"
                    );
                }
            }
        }
    }

    #[test]
    fn titles_and_summaries_are_taken_from_the_pages() {
        assert_eq!(title(Code::TokenExpired, Lang::En), "Token Expired");
        assert_eq!(title(Code::TokenExpired, Lang::Nl), "Token verlopen");
        for code in Code::ALL {
            for lang in Lang::ALL {
                let said = summary(*code, lang);
                assert!(said.ends_with('.') && said.len() > 20, "{code}: {said:?}");
            }
        }
    }

    #[test]
    fn the_closest_codes_are_those_with_few_letters_changed() {
        assert_eq!(closest("api0202")[0], Code::TokenExpired);
        assert_eq!(closest("API99999.md")[0], Code::Unrecognised);
        assert_eq!(closest("").len(), 5);
    }

    #[test]
    fn tables_are_generated_where_servers_say_something() {
        for code in Code::ALL {
            for lang in Lang::ALL {
                let page = page(*code, lang);
                assert!(!page.contains(MARKER));
                if written(*code, lang).contains(MARKER) {
                    assert!(page.contains("\n|---|"), "{code}: no rule yields it");
                } else {
                    assert!(server_errors(*code).is_empty(), "{code} wants a table");
                }
            }
        }
    }
}
