//! Where a page is, and how others are reached from there.

use tenure_core::Code;
use tenure_diagnose::catalogue::Lang;

/// What a page is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// All codes.
    Index,
    /// One code.
    Code(Code),
}

/// A page in one language, on the admin address or in a directory of files.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Its language.
    pub lang: Lang,
    /// What it is about.
    pub topic: Topic,
    /// Files, reached by relative names: the site works wherever it is put, also without a server.
    pub files: bool,
}

impl Place {
    /// The path of the page from the root, without a slash in front.
    pub fn path(self) -> String {
        let lang = match self.lang {
            Lang::En => "",
            Lang::Nl => "nl/",
        };
        let name = match self.topic {
            Topic::Index => String::new(),
            Topic::Code(code) => format!("/{code}"),
        };
        let file = if self.files { "/index.html" } else { "" };
        format!("{lang}error-codes{name}{file}")
    }

    /// The path of the same page as Markdown: the same on the admin address and in files, so that links from one
    /// such page to another hold in both.
    pub fn markdown(self) -> String {
        let page = Place {
            files: false,
            ..self
        };
        format!("{}.md", page.path())
    }

    /// How another page is reached from here.
    pub fn link(self, lang: Lang, topic: Topic) -> String {
        self.file(
            &Place {
                lang,
                topic,
                ..self
            }
            .path(),
        )
    }

    /// How a file is reached from here, by its path from the root.
    pub fn file(self, path: &str) -> String {
        if !self.files {
            return format!("/{path}");
        }
        let up = self.path().matches('/').count();
        format!("{}{path}", "../".repeat(up))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_from_page_to_page() {
        let code = Topic::Code(Code::TokenExpired);
        let served = Place {
            lang: Lang::En,
            topic: code,
            files: false,
        };
        assert_eq!(served.link(Lang::Nl, code), "/nl/error-codes/API02002");
        assert_eq!(served.link(Lang::En, Topic::Index), "/error-codes");
        let file = Place {
            lang: Lang::Nl,
            topic: code,
            files: true,
        };
        assert_eq!(file.path(), "nl/error-codes/API02002/index.html");
        assert_eq!(
            file.link(Lang::En, Topic::Code(Code::TokenInvalid)),
            "../../../error-codes/API02003/index.html"
        );
        assert_eq!(file.file("style.css"), "../../../style.css");
        assert_eq!(file.markdown(), "nl/error-codes/API02002.md");
    }
}
