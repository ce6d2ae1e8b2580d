//! Class and first heal of every code, as in DESIGN §7: what a page says when it has no text yet.

use tenure_core::{Class, Code, Heal};

/// The class a code belongs to and the step that heals it first.
pub fn meaning(code: Code) -> (Class, Heal) {
    use Heal::{ContactAdmin, FixClock, FixConfig, Refresh, Relogin, RequestScope, RetryLater};
    match code {
        Code::TokenExpired => (Class::AccessExpired, Refresh),
        Code::TokenInvalid => (Class::AccessInvalid, Refresh),
        Code::SigningKeyChanged => (Class::KeyMismatch, Refresh),
        Code::WrongServer => (Class::WrongIssuer, FixConfig),
        Code::AccessTokenRevoked => (Class::AccessRevoked, Relogin),
        Code::AuthRequired => (Class::AccessMissing, Relogin),
        Code::NotYetValid => (Class::NotYetValid, RetryLater),
        Code::ClockSkew => (Class::ClockSkew, FixClock),
        Code::InsufficientPermissions => (Class::InsufficientScope, RequestScope),
        Code::UserNotAuthorized => (Class::UserNotAuthorized, ContactAdmin),
        Code::StrongerSignIn => (Class::StepUpRequired, Relogin),
        Code::RefreshFailed => (Class::RefreshFailed, RetryLater),
        Code::RefreshInvalid => (Class::RefreshInvalid, Relogin),
        Code::RefreshExpired => (Class::RefreshExpired, Relogin),
        Code::RefreshRevoked => (Class::RefreshRevoked, Relogin),
        Code::RefreshReused => (Class::RefreshReused, Relogin),
        Code::SessionEnded => (Class::SessionEnded, Relogin),
        Code::ConsentRequired => (Class::ConsentRequired, Relogin),
        Code::AccountDisabled => (Class::AccountDisabled, ContactAdmin),
        Code::ClientRejected => (Class::ClientInvalid, FixConfig),
        Code::ClientNotAllowed => (Class::ClientUnauthorized, FixConfig),
        Code::HeaderLost => (Class::HeaderLost, FixConfig),
        Code::InvalidCredentials => (Class::LoginRejected, Relogin),
        Code::ApiKeyInvalid => (Class::AccessInvalid, FixConfig),
        Code::ReplyLost => (Class::ReplyLost, Relogin),
        Code::StoreUnavailable => (Class::StoreUnavailable, FixConfig),
        Code::InvalidRequest => (Class::BadRequest, FixConfig),
        Code::RateLimited => (Class::RateLimited, RetryLater),
        Code::ServerError => (Class::ServerError, RetryLater),
        Code::WebsiteUnavailable => (Class::ServerUnavailable, RetryLater),
        Code::ConnectionTimeout => (Class::Timeout, RetryLater),
        Code::ConnectionRefused => (Class::ConnectionRefused, RetryLater),
        Code::ConnectionReset => (Class::ConnectionReset, RetryLater),
        Code::DnsFailed => (Class::DnsFailed, FixConfig),
        Code::TlsError => (Class::TlsError, FixConfig),
        Code::NetworkUnreachable | Code::DeviceOffline => (Class::NetworkUnreachable, RetryLater),
        Code::AnswerIntercepted => (Class::NetworkIntercepted, RetryLater),
        Code::Unrecognised => (Class::Unknown, Refresh),
    }
}

/// What a heal asks for, as a sentence.
pub fn advice(heal: Heal) -> &'static str {
    match heal {
        Heal::Refresh => "Tenure refreshes the token by itself.",
        Heal::Relogin => "A person logs in again.",
        Heal::RetryLater => "It passes; Tenure tries again by itself.",
        Heal::FixClock => "Somebody sets a clock right.",
        Heal::FixConfig => "Somebody changes a configuration.",
        Heal::RequestScope => "A further scope is asked for.",
        Heal::ContactAdmin => "An administrator of the server acts.",
        Heal::None => "Nothing is to be done: it is not about the token.",
    }
}
