//! Scope strings: space separated, order kept, no meaning in repetition (RFC 6749 §3.3).

/// The scopes every issuer knows, whatever its options say.
pub(crate) const BUILT_IN: [&str; 3] = ["openid", "profile", "offline_access"];

/// The words of a scope string.
pub(crate) fn words(scope: &str) -> impl Iterator<Item = &str> {
    scope.split(' ').filter(|word| !word.is_empty())
}

/// Whether `scope` names `word`.
pub(crate) fn has(scope: &str, word: &str) -> bool {
    words(scope).any(|known| known == word)
}

/// Whether every word of `asked` is in `granted`.
pub(crate) fn within(asked: &str, granted: &str) -> bool {
    words(asked).all(|word| has(granted, word))
}

/// The words once each, in their order.
pub(crate) fn normal(scope: &str) -> String {
    let mut seen: Vec<&str> = Vec::new();
    for word in words(scope) {
        if !seen.contains(&word) {
            seen.push(word);
        }
    }
    seen.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_compare_by_word() {
        assert!(within("a b", "b c a") && within("", "a") && !within("a d", "a b"));
        assert!(!has("orders.read", "orders"));
        assert_eq!(normal("  a b a "), "a b");
    }
}
