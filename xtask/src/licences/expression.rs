//! SPDX licence expressions (SPDX 2.3 annex D): `AND`, `OR`, `WITH`, brackets, and the old `/` for `OR`.

/// The licences to comply with: the first choice whose parts are all allowed. `None` when there is no such choice.
pub(super) fn choose(
    text: &str,
    allowed: &dyn Fn(&str) -> bool,
) -> Result<Option<Vec<String>>, String> {
    let tokens = tokens(text);
    let mut parser = Parser {
        tokens: &tokens,
        allowed,
    };
    let chosen = parser.either()?;
    match parser.tokens.first() {
        None => Ok(chosen.map(without_repeats)),
        Some(extra) => Err(format!("`{extra}` was not expected")),
    }
}

fn without_repeats(list: Vec<String>) -> Vec<String> {
    let mut once: Vec<String> = Vec::new();
    for licence in list {
        if !once.contains(&licence) {
            once.push(licence);
        }
    }
    once
}

fn tokens(text: &str) -> Vec<String> {
    text.replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ")
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}

/// One licence set, or none that is allowed.
type Choice = Option<Vec<String>>;

struct Parser<'a> {
    tokens: &'a [String],
    allowed: &'a dyn Fn(&str) -> bool,
}

impl Parser<'_> {
    fn take(&mut self, word: &str) -> bool {
        let found = self.tokens.first().is_some_and(|token| token == word);
        if found {
            self.tokens = &self.tokens[1..];
        }
        found
    }

    fn either(&mut self) -> Result<Choice, String> {
        let mut choice = self.both()?;
        while self.take("OR") {
            let other = self.both()?;
            choice = choice.or(other);
        }
        Ok(choice)
    }

    fn both(&mut self) -> Result<Choice, String> {
        let mut choice = self.one()?;
        while self.take("AND") {
            let other = self.one()?;
            choice = choice.zip(other).map(|(mut left, right)| {
                left.extend(right);
                left
            });
        }
        Ok(choice)
    }

    fn one(&mut self) -> Result<Choice, String> {
        if self.take("(") {
            let inner = self.either()?;
            return if self.take(")") {
                Ok(inner)
            } else {
                Err("a `)` is missing".to_owned())
            };
        }
        let mut licence = self.name()?;
        if self.take("WITH") {
            licence = format!("{licence} WITH {}", self.name()?);
        }
        Ok((self.allowed)(&licence).then(|| vec![licence]))
    }

    fn name(&mut self) -> Result<String, String> {
        match self.tokens.split_first() {
            Some((word, rest)) if !["AND", "OR", "WITH", "(", ")"].contains(&word.as_str()) => {
                self.tokens = rest;
                Ok(word.clone())
            }
            Some((word, _)) => Err(format!("a licence was expected, not `{word}`")),
            None => Err("a licence is missing at the end".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::choose;

    fn chosen(text: &str) -> Option<String> {
        let allow = ["MIT", "ISC", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"];
        choose(text, &|name| allow.contains(&name))
            .unwrap()
            .map(|set| set.join("+"))
    }

    #[test]
    fn choices_and_obligations() {
        for (text, want) in [
            ("MIT", Some("MIT")),
            ("GPL-3.0", None),
            ("GPL-3.0 OR MIT", Some("MIT")),
            ("MIT/Apache-2.0", Some("MIT")),
            ("GPL-3.0 AND MIT", None),
            ("MIT AND ISC", Some("MIT+ISC")),
            ("GPL-3.0 OR MIT AND ISC", Some("MIT+ISC")),
            ("(GPL-3.0 OR MIT) AND ISC", Some("MIT+ISC")),
            ("MIT AND (GPL-3.0 OR LGPL-2.1)", None),
            (
                "ISC AND (Apache-2.0 OR ISC) AND ISC",
                Some("ISC+Apache-2.0"),
            ),
            (
                "Apache-2.0 WITH LLVM-exception",
                Some("Apache-2.0 WITH LLVM-exception"),
            ),
            ("MIT WITH LLVM-exception", None),
        ] {
            assert_eq!(chosen(text).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn malformed_expressions_are_errors() {
        for text in [
            "", "MIT OR", "AND MIT", "(MIT", "MIT)", "MIT ISC", "MIT WITH",
        ] {
            assert!(choose(text, &|_| true).is_err(), "{text}");
        }
    }
}
