//! Takes secrets out of texts that servers wrote, before anybody sees them.
//!
//! Three nets, from the surest to the widest: what this exchange itself sent (`Known`), what is named as a
//! secret (`"refresh_token":"…"`, `password=…`, `Cookie: …`), and what looks like a token.

mod labels;
mod shapes;

use std::borrow::Cow;
use std::fmt::Write;

use tenure_core::Secret;

/// What stands in place of a secret.
pub const MASKED: &str = "[masked]";
/// Shorter secrets are not searched for: they would take out half the text.
const KNOWN_FROM: usize = 4;
/// Secrets below this length are masked only where they stand alone.
const ALONE_BELOW: usize = 16;
/// Runs of token characters from this length on are judged by their looks.
const RANDOM_FROM: usize = 20;

/// Masks JWTs, values named as secrets and long random-looking strings. Error codes, addresses, UUIDs and
/// prose stay readable.
pub fn mask(text: &str) -> String {
    let mut text = Cow::Borrowed(text);
    if text.contains('@') {
        text = Cow::Owned(shapes::mask_addressed(&text));
    }
    text = Cow::Owned(labels::mask_labelled(&text));
    // Values stand after `=` or in a JSON string: most texts have neither.
    if text.contains(['=', '"']) {
        text = Cow::Owned(mask_named(&text));
    }
    let text = mask_looks(&text);
    if text.contains("[masked]\n") || text.contains("[masked]\r\n") {
        return shapes::mask_continued(&text);
    }
    text
}

/// Secrets that were sent and might be echoed.
#[derive(Clone, Debug, Default)]
pub struct Known(Vec<Secret>);

impl Known {
    /// Adds one, in every spelling a body can give it.
    pub fn add(&mut self, secret: &Secret) {
        if secret.len() < KNOWN_FROM {
            return;
        }
        self.0.push(secret.clone());
        for other in spellings(secret.expose()) {
            self.0.push(Secret::new(other));
        }
        // Longest first, so that one that begins like another leaves no rest behind.
        self.0.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    }

    /// Masks the known secrets, then everything [`mask`] finds.
    pub fn mask(&self, text: &str) -> String {
        let known = self.0.iter().fold(text.to_owned(), |text, secret| {
            replace(text, secret.expose())
        });
        mask(&known)
    }
}

/// Takes `secret` out of `text`; a short one only where it stands alone, because a password such as `token`
/// must not take `invalid_token` apart; and one that servers' sentences are made of (`wrong`) only where it is
/// quoted: a gap in "The password is …" would give it away.
fn replace(text: String, secret: &str) -> String {
    if !text.contains(secret) {
        return text;
    }
    if secret.len() >= ALONE_BELOW {
        return text.replace(secret, MASKED);
    }
    let prose = labels::is_prose(secret);
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (at, _) in text.match_indices(secret) {
        let end = at + secret.len();
        if text[..at].ends_with(word) || text[end..].starts_with(word) {
            continue;
        }
        if prose && !is_quoted(&text[..at], &text[end..]) {
            continue;
        }
        out.push_str(&text[done..at]);
        out.push_str(MASKED);
        done = end;
    }
    out.push_str(&text[done..]);
    out
}

/// Whether a sentence quotes what stands between. A JSON string is the message itself and no quotation.
fn is_quoted(before: &str, after: &str) -> bool {
    let Some(rest) = before.strip_suffix(['"', '\'', '`', '“', '‘', '„', '«']) else {
        return false;
    };
    let json = before.ends_with('"')
        && !rest.ends_with('\\')
        && (rest.trim_end().is_empty() || rest.trim_end().ends_with([':', ',', '[', '{']));
    !json && after.starts_with(['"', '\'', '`', '”', '’', '“', '»', '\\'])
}

/// The other ways a body can spell the same text: form-urlencoded, and escaped for JSON as most servers do it
/// and as PHP does.
fn spellings(text: &str) -> Vec<String> {
    let form: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
    let quoted = serde_json::Value::from(text).to_string();
    let json = quoted[1..quoted.len() - 1].to_owned();
    let slashes = json.replace('/', "\\/");
    let ascii = escape_non_ascii(&slashes);
    [form, json, slashes, ascii]
        .into_iter()
        .filter(|other| other != text)
        .collect()
}

fn escape_non_ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a string cannot fail.
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    out
}

/// Masks the value after a secret's name: `"name":"value"`, `name=value`.
fn mask_named(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((name_end, value)) = next_named(rest) {
        out.push_str(&rest[..value.start]);
        out.push_str(MASKED);
        debug_assert!(value.start >= name_end);
        rest = &rest[value.end..];
    }
    out.push_str(rest);
    out
}

/// Finds the next named secret: where its name ends and where its value lies.
fn next_named(text: &str) -> Option<(usize, std::ops::Range<usize>)> {
    let mut from = 0;
    while let Some(offset) = text[from..].find(is_name_char) {
        let start = from + offset;
        let end = start
            + text[start..]
                .find(|c| !is_name_char(c))
                .unwrap_or(text.len() - start);
        // Few names are followed by a value, so that is asked first; where one ends is looked for only after a
        // secret's name, because others (`error=error=…`) do not take it away and the next would look again.
        if text[end..].starts_with(['=', '"'])
            && is_secret_name(&text[start..end])
            && let Some(value) = value_after(text, end)
            && !labels::is_state(&text[value.clone()])
        {
            return Some((end, value));
        }
        from = end;
    }
    None
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

fn is_secret_name(name: &str) -> bool {
    let name: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    [
        "token",
        "secret",
        "password",
        "passwd",
        "pwd",
        "jwt",
        "assertion",
        "verifier",
        "devicecode",
        "cookie",
        "apikey",
        "accesskey",
        "secretkey",
        "privatekey",
        "authorization",
        "passphrase",
        "passcode",
        "sessionid",
        "sessid",
    ]
    .iter()
    .any(|ending| name.ends_with(ending))
        // The cookies of WordPress, whose names end with a hash.
        || ["wordpresslogged", "wordpresssec"]
            .iter()
            .any(|beginning| name.starts_with(beginning))
}

/// The value's range after a name that ends at `end`: a JSON string after `":`, or what follows `=`.
fn value_after(text: &str, end: usize) -> Option<std::ops::Range<usize>> {
    let after = &text[end..];
    if let Some(value) = after.strip_prefix('=') {
        let start = end + 1;
        let len = value
            .find(|c: char| {
                c.is_whitespace() || matches!(c, '&' | ';' | ',' | '"' | '\'' | '<' | '>')
            })
            .unwrap_or(value.len());
        return (len > 0).then_some(start..start + len);
    }
    let after = after.strip_prefix('"')?.trim_start();
    let after = after.strip_prefix(':')?.trim_start();
    let (value, len) = match after.strip_prefix('"') {
        Some(value) => (value, string_end(value)),
        None => (after, after.bytes().take_while(u8::is_ascii_digit).count()),
    };
    let start = text.len() - value.len();
    (len > 0).then_some(start..start + len)
}

/// Length of a JSON string's inside; to the end of the text when it was cut off.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at,
            _ => {}
        }
    }
    text.len()
}

/// Masks runs of token characters that look like no word, address or number.
fn mask_looks(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut run_start = None;
    for (at, c) in text.char_indices() {
        match (is_token_char(c), run_start) {
            (true, None) => run_start = Some(at),
            (false, Some(start)) => {
                push_run(&mut out, &text[start..at]);
                run_start = None;
                out.push(c);
            }
            (false, None) => out.push(c),
            (true, Some(_)) => {}
        }
    }
    if let Some(start) = run_start {
        push_run(&mut out, &text[start..]);
    }
    out
}

fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '+' | '~' | '!' | '=')
}

fn push_run(out: &mut String, run: &str) {
    let pieces = || run.split(['.', '/', '=', '+', '~', '!']);
    let jwt = run.contains("eyJ") && run.matches('.').count() >= 1;
    if !jwt && !pieces().any(looks_random) && !is_long_base64(run) {
        out.push_str(run);
        return;
    }
    // A trailing full stop belongs to the sentence.
    out.push_str(MASKED);
    if run.ends_with('.') {
        out.push('.');
    }
}

/// Letters and digits mixed, long, and not a UUID or words joined by dashes.
fn looks_random(piece: &str) -> bool {
    if piece.len() < RANDOM_FROM || is_uuid(piece) {
        return false;
    }
    let digits = piece.bytes().filter(u8::is_ascii_digit).count();
    let upper = piece.bytes().filter(u8::is_ascii_uppercase).count();
    let lower = piece.bytes().filter(u8::is_ascii_lowercase).count();
    let longest_word = piece.split(['-', '_']).map(str::len).max().unwrap_or(0);
    let mixed = digits >= 2 && upper + lower >= 1 && longest_word >= 9;
    // In camelCase few letters are capitals, in a random string about half.
    let cases = upper * 4 >= piece.len() && lower * 4 >= piece.len();
    mixed || cases
}

/// Standard base64 has `/` and `+`, which cut it into pieces too short to be judged.
fn is_long_base64(run: &str) -> bool {
    let count = |test: fn(&u8) -> bool| run.bytes().filter(test).count();
    run.len() >= 32
        && count(u8::is_ascii_digit) >= 3
        && count(u8::is_ascii_uppercase) >= 4
        && count(u8::is_ascii_lowercase) >= 4
        && (run.contains('/') || run.contains('+') || run.contains('='))
        && !run.contains("//")
        && !run.contains('.')
}

fn is_uuid(piece: &str) -> bool {
    let lengths = [8, 4, 4, 4, 12];
    let mut parts = piece.split('-');
    lengths.iter().all(|length| {
        parts.next().is_some_and(|part| {
            part.len() == *length && part.bytes().all(|b| b.is_ascii_hexdigit())
        })
    }) && parts.next().is_none()
}

/// At most `max` bytes, cut between characters.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_by_their_looks() {
        for secret in [
            "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln",
            "8xLOxBtZp8a1b2c3d4e5",
            "12.9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "ghr_1B4a2e77838347a7E420ce178F2E7c6912E169246c34E1ccbF66C46812d16D5B1A9Dc86A1498",
            "xoxe-1-My0xLTE3MDAwMDAwMDAwMDAwMDAtMTcwMDAw",
            "Zm9vYmFy/Zm9v1mFyZm9v+mFyZm9vY2FyZm9v3mFyZg==",
        ] {
            let masked = mask(&format!("refused: {secret}, sorry"));
            assert_eq!(masked, "refused: [masked], sorry");
        }
    }

    #[test]
    fn what_people_must_read_stays() {
        for text in [
            r#"{"error":"invalid_grant","error_description":"The refresh token has expired."}"#,
            r#"{"code":"jwt_auth_obsolete_refresh_token","message":"Refresh token is obsolete."}"#,
            r#"{"code":"woocommmerce_pos_auth_invalid_token","message":"Expired token","data":{"status":403}}"#,
            "AADSTS700082: The refresh token has expired due to inactivity. Trace ID: 00000000-1111-2222-3333-444444444400",
            "Invalid Refresh Token: Already Used",
            "https://docs.github.com/apps/managing-oauth-apps/troubleshooting-oauth-app-access-token-request-errors/#bad-refresh-token",
            "https://login.microsoftonline.com/error?code=7000215",
            "Cannot handle token prior to 2024-05-14T09:26:53+0000",
            "timestamp 1715678813000000000000",
            "ResourceNotFoundExceptionForUserPoolClient",
            "ERR_REFRESH_TOKEN_WAS_ALREADY_USED",
        ] {
            assert_eq!(mask(text), text);
        }
    }

    #[test]
    fn named_values_in_json_form_and_cut_off_texts() {
        assert_eq!(
            mask(r#"{"access_token":"abc","expires_in":5}"#),
            r#"{"access_token":"[masked]","expires_in":5}"#
        );
        assert_eq!(
            mask(r#"{"refreshToken" : "a\"b"#),
            r#"{"refreshToken" : "[masked]"#
        );
        assert_eq!(
            mask("access_token=gho_1&scope=repo&client-secret=x"),
            "access_token=[masked]&scope=repo&client-secret=[masked]"
        );
        assert_eq!(mask(r#"{"token":null}"#), r#"{"token":null}"#);
    }

    #[test]
    fn secrets_of_several_words_and_in_brackets() {
        for (said, shown) in [
            (
                r#"{"password":"correct horse battery"}"#,
                r#"{"password":"[masked]"}"#,
            ),
            (
                "password: correct horse battery\nretry",
                "password: [masked]\nretry",
            ),
            ("passphrase: alpha b", "passphrase: [masked]"),
            ("session_id: a1 b2", "session_id: [masked]"),
            (
                "client_secret Xq7Lp2 invalid",
                "client_secret [masked] invalid",
            ),
            (
                "Refresh token (rt9x8y7) expired",
                "Refresh token ([masked]) expired",
            ),
            (
                "The token \"ab cd\" is invalid",
                "The token \"[masked]\" is invalid",
            ),
            ("PIN 1234 is wrong", "PIN [masked] is wrong"),
            (
                "wordpress_logged_in_ab=ada%7C17 is not valid",
                "wordpress_logged_in_ab=[masked] is not valid",
            ),
        ] {
            assert_eq!(mask(said), shown);
        }
        for said in [
            "password: is wrong",
            "The token \"exp\" claim is missing",
            "token \"is expired\"",
            "pin code required",
            "secret: not found, error: 404",
        ] {
            assert_eq!(mask(said), said);
        }
    }

    #[test]
    fn what_was_sent_is_masked_in_every_spelling() {
        let mut known = Known::default();
        known.add(&Secret::new("pass/wörd \"1\""));
        let shown = known.mask(
            r#"a pass/wörd "1" b pass%2Fw%C3%B6rd+%221%22 c {"x":"pass/wörd \"1\"","y":"pass\/wörd \"1\""}"#,
        );
        assert_eq!(
            shown,
            r#"a [masked] b [masked] c {"x":"[masked]","y":"[masked]"}"#
        );
        assert!(!format!("{known:?}").contains("rd"));
    }

    #[test]
    fn short_passwords_leave_codes_alone_and_long_ones_leave_no_rest() {
        let mut known = Known::default();
        known.add(&Secret::new("token"));
        known.add(&Secret::new("pass"));
        known.add(&Secret::new("pass/word"));
        assert_eq!(
            known.mask("invalid_token: 'token' pass/word token"),
            "invalid_token: '[masked]' [masked] token"
        );
        known.add(&Secret::new("a-long-secret-of-words"));
        assert_eq!(known.mask("xa-long-secret-of-wordsx"), "x[masked]x");
    }

    #[test]
    fn a_password_that_is_a_word_of_the_sentence_is_masked_where_it_is_quoted() {
        let mut known = Known::default();
        known.add(&Secret::new("wrong"));
        for said in [
            "The user name or the password is wrong.",
            r#"{"error":"wrong","error_description":"User or password wrong"}"#,
            "wrong",
        ] {
            assert_eq!(known.mask(said), said);
        }
        for (said, shown) in [
            ("'wrong' is no password", "'[masked]' is no password"),
            (
                r#"nobody has the password "wrong""#,
                r#"nobody has the password "[masked]""#,
            ),
            (
                r#"{"message":"not \"wrong\", try again"}"#,
                r#"{"message":"not \"[masked]\", try again"}"#,
            ),
            ("password=wrong", "password=[masked]"),
        ] {
            assert_eq!(known.mask(said), shown);
        }
        known.add(&Secret::new("hunter"));
        assert_eq!(known.mask("no user has hunter"), "no user has [masked]");
    }

    #[test]
    fn cut_never_splits_a_character() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
        assert_eq!(cut("a", 9), "a");
    }
}
