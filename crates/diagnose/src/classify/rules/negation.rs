//! Whether a sentence says of a cause that it is not so: "the refresh token is not expired yet".

/// So many words before a cause are looked at.
const WORDS: usize = 4;

/// Words that deny what follows.
const NOT: &[&str] = &[
    "not", "isnt", "hasnt", "wasnt", "arent", "havent", "never", "nicht", "niet", "pas", "não",
    "non", "nie", "не", "inte", "ikke",
];

/// Words that may stand between a denial and its cause.
const BETWEEN: &[&str] = &[
    "yet", "been", "already", "actually", "encore", "ancora", "aún", "todavía", "ainda", "ha",
    "está", "è", "wurde", "ist", "is", "jeszcze", "еще", "ещё",
];

/// Words after which one denial covers a second cause: "not expired or revoked".
const JOINED: &[&str] = &[
    "or", "nor", "and", "oder", "ou", "expired", "revoked", "used", "disabled",
];

/// The same where words are not parted by blanks: before a cause, and after one.
const NOT_BEFORE: &[&str] = &["未", "没有", "沒有", "未被", "并非", "不是"];
const NOT_AFTER: &[&str] = &["ていません", "ていない", "ではありません", "지 않", "지않"];
/// So many bytes after a cause are looked at.
const AFTER: usize = 36;

/// Whether the cause at `start..end` of a normalised text is denied there.
pub(super) fn denied(text: &str, start: usize, end: usize) -> bool {
    let before = text[..start].trim_end();
    if NOT_BEFORE.iter().any(|not| before.ends_with(not)) {
        return true;
    }
    let rest = &text[end..];
    let rest = &rest[..rest.floor_char_boundary(AFTER)];
    if !rest.is_ascii() && NOT_AFTER.iter().any(|not| rest.contains(not)) {
        return true;
    }
    let (mut between, mut joined) = (false, false);
    for word in before.rsplit(' ').take(WORDS) {
        if NOT.contains(&word) {
            return true;
        }
        // "No" alone denies a thing ("no or expired token"); "no ha caducado" the cause.
        if word == "no" {
            return between && !joined;
        }
        if BETWEEN.contains(&word) {
            between = true;
        } else if JOINED.contains(&word) {
            joined = true;
        } else {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::denied;

    fn said(text: &str, cause: &str) -> bool {
        let start = text.find(cause).expect("the cause stands in the text");
        denied(text, start, start + cause.len())
    }

    #[test]
    fn a_denied_cause_is_told_from_one_that_is_said() {
        for (text, cause) in [
            ("the refresh token is not expired yet", "expired"),
            ("token has not been revoked", "revoked"),
            ("token is not expired or revoked", "revoked"),
            ("das token ist noch nicht abgelaufen", "abgelaufen"),
            ("el token no ha caducado", "caducado"),
            ("le jeton n est pas encore expiré", "expiré"),
            ("令牌尚未过期", "过期"),
            ("토큰이 만료되지 않았습니다", "만료"),
        ] {
            assert!(said(text, cause), "{text}");
        }
        for (text, cause) in [
            ("token is not valid or expired", "expired"),
            ("session does not exist or has expired", "expired"),
            ("no or expired token", "expired"),
            ("token not found, expired", "expired"),
            ("token must not be expired", "expired"),
            ("expired", "expired"),
            ("令牌已过期", "过期"),
        ] {
            assert!(!said(text, cause), "{text}");
        }
    }
}
