//! Makes texts and codes comparable: lower case, one blank between words, no quotes, camelCase taken apart.

/// Appends `text`, normalised, with a blank before it. At most `max` bytes stand in `out` afterwards.
pub(crate) fn push_normal(out: &mut String, text: &str, max: usize) {
    out.reserve(text.len().min(max.saturating_sub(out.len())) + 8);
    blank(out);
    let bytes = text.as_bytes();
    // The state of a word: how many letters since its start, and whether the last was lower case.
    let (mut letters, mut lower) = (0_usize, false);
    let mut at = 0;
    while at < bytes.len() && out.len() + 8 <= max {
        let byte = bytes[at];
        if !byte.is_ascii() {
            let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) else {
                return;
            };
            push_wide(out, c);
            (letters, lower) = (0, false);
            at += c.len_utf8();
            continue;
        }
        at += 1;
        match KINDS[usize::from(byte)] {
            LOWER => {
                let rest = &bytes[at..];
                let more = rest
                    .iter()
                    .take_while(|byte| byte.is_ascii_lowercase())
                    .count();
                out.push_str(&text[at - 1..at + more]);
                at += more;
                letters += 1 + more;
                lower = true;
            }
            UPPER => {
                let before_lower = bytes.get(at).is_some_and(u8::is_ascii_lowercase);
                if letters > 1 && (lower || before_lower) {
                    blank(out);
                    letters = 0;
                }
                out.push(char::from(byte.to_ascii_lowercase()));
                letters += 1;
                lower = false;
            }
            KEPT => {
                out.push(char::from(byte));
                (letters, lower) = (0, false);
            }
            QUOTE => {}
            _ => {
                blank(out);
                (letters, lower) = (0, false);
            }
        }
    }
}

const OTHER: u8 = 0;
const LOWER: u8 = 1;
const UPPER: u8 = 2;
const KEPT: u8 = 3;
const QUOTE: u8 = 4;

/// What becomes of each ASCII character.
const KINDS: [u8; 128] = {
    let mut kinds = [OTHER; 128];
    let mut at = 0;
    while at < 128 {
        kinds[at] = match at as u8 {
            b'a'..=b'z' => LOWER,
            b'A'..=b'Z' => UPPER,
            b'0'..=b'9'
            | b':'
            | b'.'
            | b','
            | b'/'
            | b'#'
            | b'('
            | b')'
            | b'='
            | b'<'
            | b'>'
            | b'@'
            | b'+'
            | b'&'
            | b'%' => KEPT,
            b'\'' | b'"' | b'`' => QUOTE,
            _ => OTHER,
        };
        at += 1;
    }
    kinds
};

fn push_wide(out: &mut String, c: char) {
    match c {
        '\u{2018}' | '\u{2019}' | '\u{201c}' | '\u{201d}' | '«' | '»' => {}
        _ if c.is_whitespace() => blank(out),
        _ => out.extend(c.to_lowercase()),
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
        Some((key, number))
            if number
                .trim_start_matches('-')
                .bytes()
                .all(|b| b.is_ascii_digit()) =>
        {
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
