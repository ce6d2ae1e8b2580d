//! The pages of the codes, one per code and language (DESIGN §7).

macro_rules! pages {
    ($($code:literal),* $(,)?) => {
        const PAGES: &[(&str, &str, &str)] = &[$(
            ($code, "en", include_str!(concat!("../../../catalogue/codes/en/", $code, ".md"))),
            ($code, "nl", include_str!(concat!("../../../catalogue/codes/nl/", $code, ".md"))),
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

/// The Markdown page of a code (`API02002`) in a language (`en`), when there is one.
pub fn page(code: &str, lang: &str) -> Option<&'static str> {
    PAGES
        .iter()
        .find(|(known, language, _)| *known == code && *language == lang)
        .map(|(_, _, text)| *text)
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
                let page = page(code.as_str(), lang).unwrap_or_else(|| panic!("no {lang}/{code}"));
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
            let code = code.as_str();
            let en = related(page(code, "en").expect("checked above"));
            assert_eq!(en, related(page(code, "nl").expect("checked above")));
            for other in en {
                let back = page(other, "en").unwrap_or_else(|| panic!("{code} names {other}"));
                assert!(related(back).contains(code), "{other} does not name {code}");
            }
        }
    }

    #[test]
    fn unknown_codes_and_languages_have_no_page() {
        assert_eq!(page("API02009", "xx"), None);
        assert_eq!(page("API99999", "en"), None);
    }
}
