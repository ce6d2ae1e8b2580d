//! Secrets that the form of a text gives away: `scheme://user:password@host`, mail addresses, and a token that was broken
//! over lines.

use super::{MASKED, is_token_char};

/// Who answers mail for everybody is no secret, and may be whom people are told to ask.
const ROLES: [&str; 9] = [
    "admin", "contact", "help", "helpdesk", "info", "noreply", "no-reply", "security", "support",
];

/// Masks what stands before the `@` of an address: the user and the password of a URL, the person of a mail address.
pub(super) fn mask_addressed(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (at, _) in text.match_indices('@') {
        if at < done {
            continue;
        }
        let before = &text[done..at];
        let start = done
            + before.rfind(|c| !is_local(c)).map_or(0, |end| {
                end + before[end..].chars().next().map_or(1, char::len_utf8)
            });
        let run = &text[start..at];
        let host = text[at + 1..].starts_with(|c: char| c.is_alphanumeric() || c == '[');
        let secret = match run.find("://") {
            // A path may have an `@`, too; a user is named before it.
            Some(scheme) if !run[scheme + 3..].contains('/') => start + scheme + 3..at,
            None if is_mail(run, &text[at + 1..]) => start..at,
            _ => continue,
        };
        if host && !secret.is_empty() {
            out.push_str(&text[done..secret.start]);
            out.push_str(MASKED);
            done = secret.end;
        }
    }
    out.push_str(&text[done..]);
    out
}

/// Of what a user, a password and a mail address's first part are made.
fn is_local(c: char) -> bool {
    c.is_alphanumeric() || "._%+-:/~!$*=?#^".contains(c)
}

fn is_mail(local: &str, rest: &str) -> bool {
    let domain = rest
        .split(|c: char| !(c.is_alphanumeric() || c == '.' || c == '-'))
        .next();
    let domain = domain.unwrap_or_default().trim_end_matches('.');
    let role = ROLES.iter().any(|role| local.eq_ignore_ascii_case(role));
    !role && domain.contains('.') && !local.is_empty() && !local.contains('/')
}

/// Masks the lines that go on with a token whose beginning was masked at the end of the line before.
pub(super) fn mask_continued(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut goes_on = false;
    for line in text.split_inclusive('\n') {
        let run = line.trim();
        if goes_on && is_rest(run) {
            let start = line.len() - line.trim_start().len();
            out.push_str(&line[..start]);
            out.push_str(MASKED);
            out.push_str(&line[start + run.len()..]);
        } else {
            out.push_str(line);
            goes_on = run.ends_with(MASKED);
        }
    }
    out
}

/// One run of a token's characters that is no word.
fn is_rest(run: &str) -> bool {
    let word = run
        .bytes()
        .skip(1)
        .all(|b| b.is_ascii_lowercase() || b == b'.');
    run.len() >= 4 && run.chars().all(is_token_char) && !word
}

#[cfg(test)]
mod tests {
    use super::super::mask;

    #[test]
    fn users_and_passwords_of_addresses() {
        for (said, shown) in [
            (
                "cannot connect to postgres://shop:hunter2@db.internal/x",
                "cannot connect to postgres://[masked]@db.internal/x",
            ),
            (
                "(https://u:p!9@host:80/x) failed",
                "(https://[masked]@host:80/x) failed",
            ),
            ("redis://:pw@[::1]:6379", "redis://[masked]@[::1]:6379"),
            ("ask ada.l+x@shop.example.", "ask [masked]@shop.example."),
            (
                r#"{"user":"ada@shop.example"}"#,
                r#"{"user":"[masked]@shop.example"}"#,
            ),
        ] {
            assert_eq!(mask(said), shown);
        }
        for said in [
            "write to support@shop.example",
            "https://npm.example/@scope/package",
            "see https://shop.example/users/@me",
            "at 12 @ noon",
            "the decorator @internal",
            "@@@@",
        ] {
            assert_eq!(mask(said), said);
        }
    }

    #[test]
    fn a_token_broken_over_lines() {
        let said = "refused:\neyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.Sf\nlKxwRJSM\nKF2Q\nSorry.\n";
        assert_eq!(
            mask(said),
            "refused:\n[masked]\n[masked]\n[masked]\nSorry.\n"
        );
    }
}
