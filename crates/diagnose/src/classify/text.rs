//! Reading the sentences servers write about tokens. Everything here works on lower-case text.

use tenure_core::Class;

/// Whether any of the words occurs.
pub(super) fn has(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| text.contains(word))
}

const EXPIRED: &[&str] = &[
    "expired",
    "expiry utc time",
    "is too old",
    "can no longer be refreshed",
    "lifetime validation failed",
    "maxage exceeded",
    // German, French, Spanish and Portuguese, Italian, Dutch, Russian, Chinese, Japanese, Korean.
    "abgelaufen",
    "expiré",
    "expirado",
    "caducad",
    "scadut",
    "verlopen",
    "истек",
    "истёк",
    "过期",
    "期限切れ",
    "만료",
];
const REVOKED: &[&str] = &[
    "revoked",
    "blacklisted",
    "blocklisted",
    "stale token",
    "stale refresh token",
    "has been invalidated",
    "widerrufen",
    "révoqué",
    "revocad",
    "отозван",
    "daftar hitam",
];
const USED: &[&str] = &[
    "already used",
    "already been used",
    "already redeemed",
    "already been redeemed",
    "already claimed",
    "already been claimed",
    "already been refreshed",
    "token reuse",
    "reuse detected",
    "obsolete",
];
const REFUSED: &[&str] = &[
    "invalid",
    "incorrect",
    "unknown",
    "malformed",
    "not valid",
    "missing",
];

/// The standard sentence of `invalid_grant` (RFC 6749 §5.2) lists every cause and so tells none; servers put
/// what really happened after it.
fn without_standard_sentence(text: &str) -> &str {
    const END: &str = "issued to another client";
    if !text.contains("invalid, expired, revoked") {
        return text;
    }
    text.find(END).map_or("", |at| &text[at + END.len()..])
}

/// Whether the text names two or more causes with "or" between them.
fn undecided(text: &str) -> bool {
    let named = [EXPIRED, REVOKED, USED, REFUSED]
        .iter()
        .filter(|words| has(text, words))
        .count();
    named >= 2 && has(text, &[" or ", "/"]) && !text.contains("access/refresh")
}

/// What a description says about a refresh token that was refused. `None` when it says nothing.
pub(super) fn refresh(text: &str) -> Option<(Class, &'static str)> {
    let text = without_standard_sentence(text);
    if has(
        text,
        &[
            "too many concurrent",
            "multiple concurrent",
            "please retry the request",
            "concurrent refresh",
        ],
    ) {
        return Some((Class::ServerError, "concurrent_refresh"));
    }
    if has(
        text,
        &[
            "token issuer",
            "iss do not match",
            "issuer is invalid",
            "not issued by this server",
        ],
    ) {
        return Some((Class::WrongIssuer, "issuer_mismatch"));
    }
    if has(
        text,
        &[
            "prior to",
            "issued in the future",
            "used before issued",
            "time range",
            "not yet valid",
            "time skew",
        ],
    ) {
        return Some((Class::ClockSkew, "token_time_in_future"));
    }
    if undecided(text) {
        return Some((Class::RefreshInvalid, "invalid_or_expired"));
    }
    if let Some(account) = account(text) {
        return Some((Class::AccountDisabled, account));
    }
    if has(text, &["consent", "hasn't approved", "has not approved"]) {
        return Some((Class::ConsentRequired, "consent_missing"));
    }
    if has(
        text,
        &[
            "session not active",
            "session ended",
            "has ended",
            "session not found",
            "no valid session",
            "session expired",
            "session is not active",
            "started",
            "session doesn't have",
        ],
    ) && text.contains("session")
    {
        return Some((Class::SessionEnded, "session_ended"));
    }
    if has(text, &["rapt", "reauth related", "multi-factor", "mfa"]) {
        return Some((Class::StepUpRequired, "reauthentication_required"));
    }
    if has(text, USED) {
        return Some((Class::RefreshReused, "rotation_reuse"));
    }
    if has(text, REVOKED) {
        return Some((Class::RefreshRevoked, "refresh_token_revoked"));
    }
    if has(text, EXPIRED) || text.contains("token is not active") {
        return Some((Class::RefreshExpired, "refresh_token_expired"));
    }
    if has(
        text,
        &[
            "another client",
            "wrong client",
            "not linked to client",
            "unmatching clients",
            "client id from this request does not match",
        ],
    ) {
        return Some((Class::RefreshInvalid, "refresh_token_of_other_client"));
    }
    if has(
        text,
        &[
            "signature",
            "wrong number of segments",
            "malformed",
            "unable to parse",
            "syntax error",
        ],
    ) {
        return Some((Class::RefreshInvalid, "refresh_token_malformed_or_foreign"));
    }
    None
}

/// Whether a text speaks of a refresh token and of something wrong with it.
pub(super) fn blames_refresh_token(text: &str) -> bool {
    has(text, &["refresh token", "refresh_token", "refreshtoken"])
        && [EXPIRED, REVOKED, USED, REFUSED]
            .iter()
            .any(|words| has(text, words))
        && !says_not_sent(text)
        || text.contains("token was already used")
}

/// Whether a text says that no refresh token arrived.
pub(super) fn says_not_sent(text: &str) -> bool {
    has(
        text,
        &[
            "no refresh token",
            "missing refresh",
            "refresh token is missing",
            "refresh token missing",
            "refresh_token is required",
            "missing a required parameter",
            "missing parameter",
            "missing jwt refresh",
            "cookie not found",
        ],
    ) && !has(text, &["has not been found", "was not found"])
}

/// What a text says about the account.
pub(super) fn account(text: &str) -> Option<&'static str> {
    if has(
        text,
        &[
            "user disabled",
            "account disabled",
            "user is disabled",
            "account is disabled",
            "inactive user",
            "user_disabled",
            "user suspended",
            "account has been disabled",
            "user_banned",
            "has been blocked",
            "deactivated",
            "account is locked",
            "user is inactive",
            "user account is inactive",
        ],
    ) {
        return Some("user_disabled");
    }
    has(
        text,
        &[
            "user not found",
            "user doesn't exist",
            "user does not exist",
            "who doesn't exist",
            "account not found",
            "user no longer exists",
            "user_not_found",
        ],
    )
    .then_some("user_deleted")
}

/// Whether a text asks for fewer requests.
pub(super) fn throttled(text: &str) -> bool {
    has(
        text,
        &[
            "rate limit",
            "rate_limit",
            "ratelimit",
            "too many requests",
            "too_many_requests",
            "toomanyrequests",
            "throttl",
            "limit exceeded",
            "limitexceeded",
            "limit_exceeded",
            "out of call volume",
            "attempts exceeded",
            "too many attempts",
            "slow down",
            "slowdown",
            "reduce your request rate",
            "quota",
            "number of logins exceeded",
            "reached your secondly limit",
        ],
    )
}

/// Words of other things that expire or are called tokens.
pub(super) fn about_something_else(text: &str) -> bool {
    has(
        text,
        &[
            "csrf",
            "xsrf",
            "crumb",
            "nonce",
            "coupon",
            "card ",
            "voucher",
            "gift",
            "subscription",
            "invitation",
            "invite",
            "verification code",
            "reset token",
            "password reset",
            "activation",
            "captcha",
            "one-time",
            "upload url",
            "page token",
            "pagetoken",
            "cursor",
            "sync token",
            "device token",
            "push token",
            "licence",
            "license",
            "offer",
            "meeting",
            "promo",
        ],
    )
}

/// What a text says about an access token that was refused.
pub(super) fn access(text: &str) -> Option<(Class, &'static str)> {
    let token = has(text, &["token", "jwt", "jws", "bearer"]);
    if has(
        text,
        &[
            "jwks remote fetch",
            "unable to reach authentication",
            "authentication service is",
            "fetch jwks",
            "jwks endpoint",
            "unable to obtain configuration",
            "introspection endpoint is",
        ],
    ) {
        return Some((Class::ServerUnavailable, "auth_service_down"));
    }
    if about_something_else(text) {
        return None;
    }
    if token
        && has(
            text,
            &[
                "issued in the future",
                "used before issued",
                "iat prior",
                "'iat'",
                "issued at",
            ],
        )
        && has(text, &["future", "before", "prior"])
    {
        return Some((Class::ClockSkew, "token_iat_in_future"));
    }
    if token
        && has(
            text,
            &[
                "prior to",
                "not yet valid",
                "not valid yet",
                "not active yet",
                "not before",
                "(nbf)",
                "nbf has not",
                "jwt not active",
                "is not valid before",
                "immature",
            ],
        )
        && !has(text, EXPIRED)
    {
        return Some((Class::NotYetValid, "token_not_yet_valid"));
    }
    if has(
        text,
        &[
            "iss do not match",
            "invalid issuer",
            "issuer '",
            "jwt issuer",
            "issuer invalid",
            "issuer_mismatch",
            "issuer is not",
            "issuer does not match",
            "wrong issuer",
        ],
    ) {
        return Some((Class::WrongIssuer, "issuer_mismatch"));
    }
    if has(text, &["audience"]) {
        return Some((Class::AccessInvalid, "wrong_audience"));
    }
    let expired = has(text, EXPIRED);
    let alone = !has(text, REVOKED) && !(undecided(text));
    if expired && alone && (token || has(text, &["session", "credentials", "key"])) {
        return Some((Class::AccessExpired, "access_token_expired"));
    }
    if token && has(text, REVOKED) && !expired && !undecided(text) {
        return Some((Class::AccessRevoked, "access_token_revoked"));
    }
    if has(
        text,
        &[
            "signature",
            "jwsinvalidsignature",
            "jwt verification fails",
            "no matching key",
            "signing key",
            "no suitable key",
            "have key to match",
            "kid",
        ],
    ) && (token || has(text, &["verif", "invalid", "not found"]))
    {
        return Some((Class::KeyMismatch, "signature_invalid"));
    }
    if let Some(account) = account(text) {
        return Some((Class::AccountDisabled, account));
    }
    if token
        && has(
            text,
            &[
                "missing",
                "no token",
                "not provided",
                "not present",
                "no authorization token",
                "empty",
                "no access token",
                "is required",
            ],
        )
        && !expired
    {
        return Some((Class::AccessMissing, "no_token_seen"));
    }
    if token
        && (expired
            || has(text, REFUSED)
            || has(
                text,
                &[
                    "segments",
                    "not recognized",
                    "not recognised",
                    "decode",
                    "could not be verified",
                ],
            ))
    {
        return Some((Class::AccessInvalid, "invalid_or_expired"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_sentence_tells_nothing_but_what_follows_it_does() {
        let standard = "the provided authorization grant (e.g., authorization code, resource owner credentials) or refresh token is invalid, expired, revoked, does not match the redirection uri used in the authorization request, or was issued to another client.";
        assert_eq!(refresh(standard), None);
        let used = format!("{standard} the refresh token was already used.");
        assert_eq!(
            refresh(&used),
            Some((Class::RefreshReused, "rotation_reuse"))
        );
        let expired = format!("{standard} the refresh token expired.");
        assert_eq!(
            refresh(&expired),
            Some((Class::RefreshExpired, "refresh_token_expired"))
        );
    }

    #[test]
    fn two_causes_in_one_breath_decide_nothing() {
        for text in [
            "the refresh token is invalid or expired.",
            "token has been expired or revoked.",
            "refresh token is invalid or has already been claimed by another client.",
        ] {
            assert_eq!(
                refresh(text),
                Some((Class::RefreshInvalid, "invalid_or_expired")),
                "{text}"
            );
        }
        assert_eq!(
            refresh("expired access/refresh token"),
            Some((Class::RefreshExpired, "refresh_token_expired"))
        );
    }

    #[test]
    fn other_things_expire_too() {
        for text in [
            "coupon code expired",
            "invalid csrf token",
            "your subscription has expired. renew to continue.",
        ] {
            assert_eq!(access(text), None, "{text}");
        }
        assert_eq!(
            access("expired token"),
            Some((Class::AccessExpired, "access_token_expired"))
        );
    }
}
