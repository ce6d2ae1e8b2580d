//! Makes texts and codes comparable: lower case, one blank between words, no quotes, camelCase taken apart.

/// Appends `text`, normalised, with a blank before it. At most `max` bytes stand in `out` afterwards.
pub(crate) fn push_normal(out: &mut String, text: &str, max: usize) {
    // The state of a word: how many letters since its start, and whether the last was lower case.
    let (mut letters, mut lower) = (0_usize, false);
    let mut chars = text.chars().peekable();
    blank(out);
    while let Some(c) = chars.next() {
        if out.len() + 4 > max {
            return;
        }
        match c {
            '\'' | '"' | '`' | '\u{2018}' | '\u{2019}' | '\u{201c}' | '\u{201d}' | '«' | '»' => {}
            'A'..='Z' => {
                let before_lower = chars.peek().is_some_and(char::is_ascii_lowercase);
                if letters > 1 && (lower || before_lower) {
                    blank(out);
                    letters = 0;
                }
                out.push(c.to_ascii_lowercase());
                letters += 1;
                lower = false;
            }
            'a'..='z' => {
                out.push(c);
                letters += 1;
                lower = true;
            }
            '0'..='9' | ':' | '.' | ',' | '/' | '#' | '(' | ')' | '=' | '<' | '>' | '@' | '+' | '&' | '%' => {
                out.push(c);
                (letters, lower) = (0, false);
            }
            _ if c.is_ascii() => {
                blank(out);
                (letters, lower) = (0, false);
            }
            _ if c.is_whitespace() => blank(out),
            _ => {
                out.extend(c.to_lowercase());
                (letters, lower) = (0, false);
            }
        }
    }
}

fn blank(out: &mut String) {
    if !out.ends_with(' ') {
        out.push(' ');
    }
}

/// A text on its own, normalised.
pub(crate) fn normal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    push_normal(&mut out, text, usize::MAX);
    out.trim().to_owned()
}

/// A code as it is looked up: letters, digits and `:` in lower case, so that `TokenExpired`, `token_expired` and
/// `TOKEN-EXPIRED` are one.
pub(crate) fn plain(code: &str) -> String {
    code.chars()
        .filter(|c| c.is_alphanumeric() || *c == ':')
        .flat_map(char::to_lowercase)
        .take(120)
        .collect()
}

/// A rule's code as it is looked up; `key:-101` keeps the sign of its number.
pub(crate) fn lookup(code: &str) -> String {
    match code.split_once(':') {
        Some((key, number)) if number.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit()) => {
            format!("{}:{number}", plain(key))
        }
        _ => plain(code),
    }
}

/// The last part of a name or address: `steps.jwt.TokenExpired`, `https://x/probs/expired`.
pub(crate) fn last_part(code: &str) -> &str {
    let code = code.trim_end_matches(['/', ':', '.']);
    code.rsplit(['.', '#', '/', ':']).next().unwrap_or(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_sentences_become_words() {
        for (text, expected) in [
            ("TokenExpiredError", "token expired error"),
            ("JWTExpired", "jwt expired"),
            ("OAuthException", "oauth exception"),
            ("refresh_token_expired", "refresh token expired"),
            ("The \"exp\"  claim\nis over", "the exp claim is over"),
            ("Über-Token", "über token"),
            ("令牌已过期", "令牌已过期"),
        ] {
            assert_eq!(normal(text), expected);
        }
        assert_eq!(plain("Token_Expired"), "tokenexpired");
        assert_eq!(last_part("steps.jwt.TokenExpired"), "TokenExpired");
        assert_eq!(last_part("https://x/probs/expired/"), "expired");
    }
}
