//! Secrets that a label in plain text gives away, however short they are: `Bearer x`, `X-Api-Key: x`,
//! `Set-Cookie: sid=x`, `password: x`, "Refresh token rt_x".

use std::ops::Range;

use super::{MASKED, is_name_char};

/// What stands after a label and is the message, not the secret.
const MESSAGE: [&str; 60] = [
    "a",
    "already",
    "and",
    "are",
    "auth",
    "authentication",
    "authorization",
    "bearer",
    "basic",
    "cannot",
    "challenge",
    "claim",
    "credentials",
    "does",
    "empty",
    "error",
    "expired",
    "false",
    "field",
    "for",
    "format",
    "from",
    "has",
    "header",
    "in",
    "incorrect",
    "invalid",
    "is",
    "malformed",
    "method",
    "mismatch",
    "missing",
    "must",
    "no",
    "none",
    "not",
    "null",
    "of",
    "on",
    "only",
    "or",
    "prefix",
    "realm",
    "rejected",
    "required",
    "revoked",
    "scheme",
    "the",
    "this",
    "to",
    "token",
    "tokens",
    "too",
    "true",
    "type",
    "undefined",
    "unknown",
    "was",
    "with",
    "wrong",
];

/// Attributes of a cookie, which are no secrets.
const ATTRIBUTES: [&str; 8] = [
    "path", "domain", "expires", "max-age", "samesite", "secure", "httponly", "priority",
];

/// Prefixes that say of themselves what follows.
const PREFIXES: [&str; 16] = [
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "xoxa-",
    "xoxe-",
    "xoxe.",
    "sk_live_",
    "sk_test_",
    "rk_live_",
    "shpat_",
];

/// A run without a blank above this length, in bytes, is neither a word nor a parameter. Taken as a secret it is
/// passed over at once; looked into again from every label inside it, it would cost the square of its length.
const LONGEST_WORD: usize = 1024;

/// Whether a value is a word that people must read, such as `expired` or `null`.
fn is_message(value: &str) -> bool {
    let bare = value.trim_matches(|c: char| !c.is_alphanumeric());
    bare.is_empty() || MESSAGE.iter().any(|word| bare.eq_ignore_ascii_case(word))
}

/// Whether servers' sentences about a login are made of this word, so that it betrays nothing there.
pub(super) fn is_prose(word: &str) -> bool {
    const MORE: [&str; 14] = [
        "account", "again", "denied", "failed", "login", "name", "password", "please", "refused",
        "server", "supplied", "user", "username", "your",
    ];
    let mut words = MESSAGE.iter().chain(&MORE);
    words.any(|other| word.eq_ignore_ascii_case(other))
}

/// Whether a whole value says what is wrong with the secret instead of being it: no sentence follows, so that
/// fewer words can be meant.
pub(super) fn is_state(value: &str) -> bool {
    const STATES: [&str; 14] = [
        "bearer",
        "empty",
        "expired",
        "false",
        "incorrect",
        "invalid",
        "malformed",
        "missing",
        "none",
        "null",
        "required",
        "revoked",
        "true",
        "undefined",
    ];
    STATES.iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// Masks what stands after a label, line by line.
pub(super) fn mask_labelled(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let mut done = 0;
        for secret in secrets(line) {
            out.push_str(&line[done..secret.start]);
            out.push_str(MASKED);
            done = secret.end;
        }
        out.push_str(&line[done..]);
    }
    out
}

fn secrets(line: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(offset) = line[from..].find(is_name_char) {
        let start = from + offset;
        let end = line[start..]
            .find(|c| !is_name_char(c))
            .map_or(line.len(), |len| start + len);
        from = end;
        let label = line[start..end].to_ascii_lowercase();
        if is_key(&line[start..end]) {
            found.push(start..end);
        } else if matches!(label.as_str(), "cookie" | "set-cookie") && line[end..].starts_with(':')
        {
            found.extend(cookies(line, end + 1));
            break;
        } else if let Some(secret) = after(line, &label, end) {
            from = secret.end;
            found.push(secret);
        }
    }
    found
}

/// `AKIA…` and others that are recognised by how they begin.
fn is_key(word: &str) -> bool {
    let aws = word.len() == 20
        && (word.starts_with("AKIA") || word.starts_with("ASIA"))
        && word
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    aws || PREFIXES
        .iter()
        .any(|prefix| word.len() > prefix.len() && word.starts_with(prefix))
}

/// The secret after a label that ends at `end`.
fn after(line: &str, label: &str, end: usize) -> Option<Range<usize>> {
    match label {
        "bearer" | "dpop" => value(line, end, " ").filter(|at| is_credential(line, at)),
        "basic" => value(line, end, " ")
            .filter(|at| is_credential(line, at) && is_mixed(&line[at.clone()])),
        "authorization" | "proxy-authorization" => {
            let at = value(line, end, ":")?;
            match line[at.clone()].to_ascii_lowercase().as_str() {
                "bearer" | "basic" | "dpop" | "token" | "digest" => value(line, at.end, " "),
                _ => Some(at),
            }
            .filter(|at| is_credential(line, at))
        }
        _ if is_certain(label) && line[end..].starts_with(':') => {
            let at = value(line, end, ":").filter(|at| is_credential(line, at))?;
            Some(at.start..end_of_value(line, &at, end - label.len()))
        }
        "pin" | "otp" | "passcode" => {
            value(line, end, " :'\"(").filter(|at| is_digits(&line[at.clone()]))
        }
        _ if is_certain(label) => given(line, end),
        "token" | "password" | "secret" | "key" | "cookie" | "jwt" => given(line, end),
        _ => None,
    }
}

/// In prose: a word that looks like a secret, or a quotation of several words.
fn given(line: &str, end: usize) -> Option<Range<usize>> {
    if let Some(quoted) = quotation(line, end) {
        return Some(quoted);
    }
    value(line, end, " :'\"(").filter(|at| is_credential(line, at) && is_given(&line[at.clone()]))
}

/// `"a b"` after a label. One word in quotes may be the name of a claim.
fn quotation(line: &str, end: usize) -> Option<Range<usize>> {
    let rest = line[end..].trim_start_matches([' ', ':']);
    let quote = rest
        .chars()
        .next()
        .filter(|c| matches!(c, '"' | '\'' | '`'))?;
    let inside = rest[1..]
        .split(quote)
        .next()
        .filter(|inside| inside.len() + 1 < rest.len())?;
    let start = line.len() - rest.len() + 1;
    let words =
        inside.contains(' ') && !inside.starts_with(' ') && !inside.contains([':', ',', '{']);
    (words && !is_message(inside.split(' ').next()?)).then_some(start..start + inside.len())
}

/// Where the value of a label ends: where the label begins its line the value may have blanks, and is all of it.
fn end_of_value(line: &str, at: &Range<usize>, label: usize) -> usize {
    let alone = line[..label].trim().is_empty();
    let rest = line[at.start..].trim_end();
    let other = !rest.contains(' ')
        || rest.contains([':', '{', ',', ';', '=', '"'])
        || line[..at.start].ends_with(['"', '\'']);
    if !alone || other {
        return at.end;
    }
    at.start + rest.len()
}

fn is_digits(run: &str) -> bool {
    (3..=12).contains(&run.len()) && run.bytes().all(|b| b.is_ascii_digit())
}

/// Labels after whose colon nothing but the secret stands; a lone `token:` is prose as often.
fn is_certain(label: &str) -> bool {
    let ends = [
        "password",
        "passwd",
        "passphrase",
        "pwd",
        "secret",
        "api-key",
        "apikey",
        "api_key",
        "session_id",
        "sessionid",
    ];
    let compound = ["_token", "-token", "accesstoken", "refreshtoken"];
    ends.iter().chain(&compound).any(|end| label.ends_with(end))
}

/// The run of characters after what separates it from its label.
fn value(line: &str, end: usize, separators: &str) -> Option<Range<usize>> {
    let rest = &line[end..];
    let trimmed = rest.trim_start_matches(|c: char| separators.contains(c));
    if trimmed.len() == rest.len() {
        return None;
    }
    let trimmed = trimmed.trim_start_matches(' ');
    let start = line.len() - trimmed.len();
    let len = trimmed
        .find(|c: char| c.is_whitespace() || "\"'`,;<>()&\\{}".contains(c))
        .unwrap_or(trimmed.len());
    let len = trimmed[..len].trim_end_matches(['.', ':', '!', '?']).len();
    (len > 0).then_some(start..start + len)
}

/// Neither a word of the message, nor masked already, nor a parameter of a challenge (`realm="…"`).
fn is_credential(line: &str, at: &Range<usize>) -> bool {
    let run = &line[at.clone()];
    if run.contains(MASKED) {
        return leaves_a_rest(run);
    }
    if run.len() > LONGEST_WORD {
        return true;
    }
    let parameter = run.find('=').is_some_and(|sign| {
        let name = &run[..sign];
        let rest = line[at.start + sign + 1..].trim_start_matches('=');
        name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
            && (rest.starts_with('"') || at.start + sign + 1 < at.end && !run.ends_with('='))
    });
    !is_message(run) && !parameter && !is_label(line, at)
}

/// Whether something of a credential stands beside what was masked of it: it was known in part only.
fn leaves_a_rest(run: &str) -> bool {
    run.split(MASKED)
        .any(|rest| rest.contains(char::is_alphanumeric))
}

/// The label of what follows it, such as `Set-Cookie` in `jwt Set-Cookie: sid=x`: taken for the secret, it would
/// hide the real one from this net.
fn is_label(line: &str, at: &Range<usize>) -> bool {
    let label = line[at.clone()].to_ascii_lowercase();
    let known = [
        "authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
    ];
    line[at.end..].starts_with(':') && (known.contains(&label.as_str()) || is_certain(&label))
}

fn is_mixed(run: &str) -> bool {
    run.len() > LONGEST_WORD
        || run.contains(MASKED)
        || run.bytes().any(|b| b.is_ascii_digit() || b == b'=')
        || run.bytes().skip(1).any(|b| b.is_ascii_uppercase())
}

/// In prose: letters with digits, mixed cases in one word, or a prefix that tokens have. Codes of errors and
/// numbers have none of these.
fn is_given(run: &str) -> bool {
    let has = |test: fn(&u8) -> bool| run.bytes().any(|b| test(&b));
    let prefixed = run.starts_with("rt_") || run.starts_with("at_");
    let cases = has(u8::is_ascii_lowercase)
        && run.bytes().skip(1).any(|b| b.is_ascii_uppercase())
        && run.contains(['_', '-']);
    let mixed = has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic) && !run.contains("//");
    let rest = run.contains(MASKED) && leaves_a_rest(run);
    rest || run.len() > LONGEST_WORD || run.len() > 2 && (prefixed || cases || mixed)
}

/// The values in a cookie field, up to the end of the line, and what else is labelled between them.
fn cookies(line: &str, from: usize) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for Range { start, end } in cookie_parts(line, from) {
        let part = &line[start..end];
        let indent = part.len() - part.trim_start().len();
        let end = start + part.trim_end().len();
        let (name, sign) = match part.find('=') {
            // No name has a blank or a quote: something else stands there, and what is before the sign may be the
            // secret.
            Some(sign) if !is_cookie_name(part[..sign].trim()) => ("", indent),
            Some(sign) => (part[..sign].trim(), sign + 1),
            None => (part.trim(), indent),
        };
        let words = !part.contains('=') && start != from && part.trim().contains(' ');
        let prose = words && !part.contains(QUOTES);
        // None is as long; looked into again and again, one would cost the square of its length.
        let attribute = part.len() <= LONGEST_WORD
            && ATTRIBUTES
                .iter()
                .any(|known| name.eq_ignore_ascii_case(known));
        let at = (start + sign).min(end)..end;
        let value = &line[at.clone()];
        if prose || attribute {
            let inside = secrets(part);
            found.extend(
                inside
                    .into_iter()
                    .map(|at| start + at.start..start + at.end),
            );
        } else if !is_state(value) && !value.is_empty() && value.trim() != MASKED {
            found.push(at);
        }
    }
    found
}

/// What quotes a value, or makes JSON of it.
const QUOTES: [char; 3] = ['"', '{', '}'];

/// The parts between the semicolons of a cookie field. From its first quotation to its last nothing is parted: a
/// semicolon there may belong to a value, and where a quotation is cut off nobody can tell which.
fn cookie_parts(line: &str, from: usize) -> Vec<Range<usize>> {
    let field = &line[from..];
    let cut_off = field.matches('"').count() % 2 == 1;
    let quoted = match (field.find(QUOTES), field.rfind(QUOTES)) {
        (Some(first), _) if cut_off => from + first..line.len(),
        (Some(first), Some(last)) => from + first..from + last,
        _ => from..from,
    };
    let mut parts = Vec::new();
    let mut start = from;
    for (offset, _) in field.match_indices(';') {
        let at = from + offset;
        if !quoted.contains(&at) {
            parts.push(start..at);
            start = at + 1;
        }
    }
    parts.push(start..line.len());
    parts
}

fn is_cookie_name(name: &str) -> bool {
    !name.contains(|c: char| {
        c.is_whitespace() || matches!(c, ':' | ',' | '\\') || QUOTES.contains(&c)
    })
}

#[cfg(test)]
mod tests {
    use super::super::mask;

    #[test]
    fn a_labelled_secret_is_masked_whatever_its_length() {
        for (text, shown) in [
            (
                "Authorization: Bearer abc",
                "Authorization: Bearer [masked]",
            ),
            (
                "the header was Bearer x1.",
                "the header was Bearer [masked].",
            ),
            ("authorization: Basic YTpi", "authorization: Basic [masked]"),
            ("got Basic YTpi here", "got Basic [masked] here"),
            ("Authorization: hunter2", "Authorization: [masked]"),
            ("X-Api-Key: k1", "X-Api-Key: [masked]"),
            ("Cookie: a=1; b=two", "Cookie: a=[masked]; b=[masked]"),
            (
                "Set-Cookie: sid=ab; Path=/; HttpOnly",
                "Set-Cookie: sid=[masked]; Path=/; HttpOnly",
            ),
            ("key AKIAIOSFODNN7EXAMPLE is gone", "key [masked] is gone"),
            ("password=x", "password=[masked]"),
            ("token=a&password=of", "token=[masked]&password=[masked]"),
            ("password: hunter", "password: [masked]"),
            ("client_secret: s", "client_secret: [masked]"),
            (r#"{"password": "x"}"#, r#"{"password": "[masked]"}"#),
            (r#"{"password": 1234}"#, r#"{"password": [masked]}"#),
            (
                r#"{"Authorization":"abc"}"#,
                r#"{"Authorization":"[masked]"}"#,
            ),
            (
                "Refresh token rt_X for mail a@b",
                "Refresh token [masked] for mail a@b",
            ),
            ("glpat-short", "[masked]"),
            ("Cookie: sid=ab [masked]cd", "Cookie: sid=[masked]"),
            (
                r#"Cookie: a=1; s={"refresh_token":"x;y=z;w"}; Path=/"#,
                "Cookie: a=[masked]; s=[masked]; Path=/",
            ),
            (r#"set-cookie: {"sid":"x=y;z"}"#, "set-cookie: [masked]"),
            (r#"cookie: a=b; "x;y"#, "cookie: a=[masked]; [masked]"),
            ("Cookie: a=b; hunter", "Cookie: a=[masked]; [masked]"),
            ("Bearer ab[masked]cd", "Bearer [masked]"),
            ("X-Api-Key: [masked]cd.", "X-Api-Key: [masked]."),
            ("Basic [masked]:ab", "Basic [masked]"),
            ("password: [masked]cd!", "password: [masked]!"),
            ("cookie: refresh_token: ab 1=", "cookie: [masked]"),
            (
                "cookie: a=b; password: cd; path=/ Bearer ef",
                "cookie: a=[masked]; password: [masked]; path=/ Bearer [masked]",
            ),
            ("jwt Set-Cookie: sid=ab", "jwt Set-Cookie: sid=[masked]"),
            ("password: api_key: ab", "password: api_key: [masked]"),
            (
                "token X-Api-Key: k1, Bearer Cookie: a=b",
                "token X-Api-Key: [masked], Bearer Cookie: a=[masked]",
            ),
        ] {
            assert_eq!(mask(text), shown);
            assert_eq!(mask(shown), shown, "again");
        }
    }

    #[test]
    fn the_message_after_a_label_stays() {
        for text in [
            r#"Bearer realm="api", error="invalid_token""#,
            "Bearer error=invalid_token",
            "Bearer token is missing",
            "Bearer authentication required",
            "Basic plan",
            "Authorization: Bearer null",
            "Authorization: undefined",
            "password: incorrect",
            "password=null",
            r#"{"token":"expired","cookie":"missing"}"#,
            "Invalid Refresh Token: Already Used",
            "Invalid password: too short",
            "token invalid_grant, token ERR_JWT_EXPIRED",
        ] {
            assert_eq!(mask(text), text);
        }
    }
}
