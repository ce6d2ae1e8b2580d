//! The pages of the codes, one per code and language (DESIGN §7).

macro_rules! pages {
    ($($lang:literal: $($code:literal),* $(,)?);* $(;)?) => {
        const PAGES: &[(&str, &str, &str)] = &[$($((
            $code,
            $lang,
            include_str!(concat!("../../../catalogue/codes/", $lang, "/", $code, ".md")),
        )),*),*];
    };
}

pages! {
    "en": "API02002", "API02003", "API02007", "API02008", "API02009", "API02010", "API02025", "API02026";
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
    use tenure_core::Code;

    use super::*;

    const SECTIONS: [&str; 5] = [
        "## What this means",
        "## Common causes",
        "## Server error mapping",
        "## How to fix",
        "## Related errors",
    ];

    #[test]
    fn every_page_is_complete_and_names_its_code() {
        for (text, lang, page) in PAGES {
            let code = Code::parse(text).expect("a page of a code that exists");
            let heading = format!("# {text} {}\n", code.title());
            assert!(
                page.starts_with(&heading),
                "{lang}/{text}: {heading:?} expected"
            );
            let found: Vec<&str> = page
                .lines()
                .filter(|line| line.starts_with("## "))
                .collect();
            assert_eq!(found, SECTIONS, "{lang}/{text}");
        }
    }

    #[test]
    fn related_codes_exist() {
        for (text, _, page) in PAGES {
            let (_, related) = page
                .split_once("## Related errors\n")
                .expect("checked above");
            for code in related.trim().split(", ") {
                assert!(Code::parse(code).is_some(), "{text} names {code:?}");
            }
        }
    }

    #[test]
    fn pages_are_found_by_code_and_language() {
        assert!(page("API02009", "en").is_some_and(|text| text.contains("AADSTS700082")));
        assert_eq!(page("API02009", "xx"), None);
        assert_eq!(page("API99999", "en"), None);
    }
}
