//! Rust source without its comments and the contents of its literals, so that a search finds code only.

/// A source file, line by line.
pub(super) struct Source<'a> {
    /// As written.
    lines: Vec<&'a str>,
    /// The same lines with comments and literals blanked.
    code: Vec<String>,
    /// From this line (index) on there are only unit tests.
    tests_from: usize,
}

impl<'a> Source<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let code: Vec<String> = scrub(text).lines().map(str::to_owned).collect();
        let tests_from = tests_from(&code);
        Self {
            lines: text.lines().collect(),
            code,
            tests_from,
        }
    }

    /// `(line number, code, line as written)`.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str, &'a str)> {
        let both = self.code.iter().zip(&self.lines).enumerate();
        both.map(|(index, (code, line))| (index + 1, code.as_str(), *line))
    }

    /// Whether the line (from 1) is in the unit tests at the end of the file.
    pub(super) fn is_unit_test(&self, line: usize) -> bool {
        line > self.tests_from
    }

    /// Numbers of the lines whose code contains `path` as whole words: `tokio` is not in `tokio_util`.
    pub(super) fn find<'s>(&'s self, path: &'s str) -> impl Iterator<Item = usize> + 's {
        let hits = self
            .code
            .iter()
            .enumerate()
            .filter(move |(_, code)| has_words(code, path));
        hits.map(|(index, _)| index + 1)
    }
}

fn has_words(code: &str, words: &str) -> bool {
    code.match_indices(words).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + words.len()..].chars().next();
        let longer_left = before.is_some_and(is_word);
        let longer_right = words.ends_with(is_word) && after.is_some_and(is_word);
        !longer_left && !longer_right
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// By convention unit tests close a file: `#[cfg(test)]` followed by `mod … {`.
fn tests_from(code: &[String]) -> usize {
    let pairs = code.windows(2).position(|pair| {
        let module = pair[1].trim_start();
        pair[0].trim() == "#[cfg(test)]"
            && module.starts_with("mod ")
            && module.trim_end().ends_with('{')
    });
    pairs.unwrap_or(code.len())
}

/// Comments and the insides of string and character literals become spaces; line breaks stay.
fn scrub(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after_word = out.chars().next_back().is_some_and(is_word);
        let blank = blank_length(rest, after_word);
        if blank == 0 {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            let (gone, left) = rest.split_at(blank);
            out.extend(gone.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = left;
        }
    }
    out
}

/// How many bytes at the start of `text` are a comment or a literal; 0 when they are code.
fn blank_length(text: &str, after_word: bool) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return block_comment(text);
    }
    if let Some(inside) = text.strip_prefix('"') {
        return 1 + quoted(inside, '"');
    }
    if text.starts_with('\'') {
        return character(text);
    }
    if after_word { 0 } else { raw_string(text) }
}

/// Block comments nest.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// Up to and with the closing quote.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + 1;
        }
    }
    text.len()
}

/// `'x'` and `'\n'` are literals, `'a` is a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text[1..].chars();
    match (chars.next(), chars.next()) {
        (Some('\\'), _) | (Some(_), Some('\'')) => 1 + quoted(&text[1..], '\''),
        _ => 0,
    }
}

/// `r"…"`, `r#"…"#`, with `b` or `c` before the `r`.
fn raw_string(text: &str) -> usize {
    let after = text.strip_prefix(['b', 'c']).unwrap_or(text);
    let Some(after) = after.strip_prefix('r') else {
        return 0;
    };
    let hashes = after.len() - after.trim_start_matches('#').len();
    let Some(body) = after[hashes..].strip_prefix('"') else {
        return 0;
    };
    let start = text.len() - body.len();
    let end = format!("\"{}", "#".repeat(hashes));
    body.find(&end)
        .map_or(text.len(), |at| start + at + end.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_lines_kept() {
        for (text, want) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            ("f(\"todo\") g", "f(      ) g"),
            (r#"f("a\"b") g"#, "f(      ) g"),
            ("r#\"x\"y\"# z", "         z"),
            ("br\"x\" z", "      z"),
            ("r#type z", "r#type z"),
            ("let c = 'x'; d", "let c =    ; d"),
            (r"let c = '\''; d", "let c =     ; d"),
            ("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}"),
            ("number\"s\"", "number   "),
            ("\"one\ntwo\" x", "    \n     x"),
        ] {
            assert_eq!(scrub(text), want, "{text}");
        }
    }

    #[test]
    fn finds_whole_words_only() {
        let source =
            Source::new("use tokio_util::x;\nuse tokio::y;\n// tokio\nlet s = \"tokio\";\n");
        assert_eq!(source.find("tokio").collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn knows_where_the_unit_tests_start() {
        let source = Source::new("#[cfg(test)]\nuse a;\nfn f() {}\n#[cfg(test)]\nmod tests {\n}\n");
        assert!(!source.is_unit_test(3));
        assert!(source.is_unit_test(5));
        let source = Source::new("#[cfg(test)]\nmod tests;\nfn f() {}\n");
        assert!(!source.is_unit_test(3));
    }
}
