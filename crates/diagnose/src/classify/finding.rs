//! What a rule found, and how it becomes a [`Failure`].

use tenure_core::{Class, Code, Evidence, Failure, Heal, Who};
use tenure_wire::mask;

use super::Local;

/// Longest text of a server shown in a detail, in bytes.
const SAID_MAX: usize = 240;

/// What one rule found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub class: Class,
    /// Finer cause, snake case.
    pub cause: &'static str,
    /// The rule's name.
    pub rule: &'static str,
    /// Who does what, where it differs from the class's own.
    pub heal: Option<(Heal, Who)>,
    /// Whether the answer proves that this cannot work again (I5).
    pub proven: bool,
}

impl Found {
    /// A finding that proves nothing final.
    pub fn passing(class: Class, cause: &'static str, rule: &'static str) -> Self {
        Self {
            class,
            cause,
            rule,
            heal: None,
            proven: false,
        }
    }

    /// The same evidence means something else in the light of what is known locally.
    pub fn become_(self, class: Class, cause: &'static str, rule: &'static str) -> Self {
        Self::passing(class, cause, rule)
    }

    /// Says who does what.
    pub fn heal(mut self, heal: Heal, who: Who) -> Self {
        self.heal = Some((heal, who));
        self
    }

    /// The failure, with the facts it rests on and the server's own words, which are masked already.
    pub fn failure(&self, facts: Vec<Evidence>, said: Option<&str>, local: &Local) -> Failure {
        let (heal, who) = self
            .heal
            .unwrap_or_else(|| usual_heal(self.class, self.cause, local));
        let mut detail = sentence(self.class, local).to_owned();
        if let Some(said) = said.filter(|said| !said.is_empty()) {
            detail = format!("{detail} The server said: \"{said}\".");
        }
        let lost = self.class == Class::AccessMissing
            && local.surely_sent()
            && heal == Heal::FixConfig
            && !self.cause.starts_with("api_key");
        let code = if lost {
            Code::HeaderLost
        } else {
            code_of(self.class, self.cause)
        };
        let mut failure =
            Failure::new(code, self.class, self.cause, heal, who, detail).with_rule(self.rule);
        failure.evidence = facts;
        if heal == Heal::Relogin && !local.session.is_empty() {
            failure = failure.with_command(format!("tenure login {}", local.session));
        }
        failure
    }
}

/// One fact, masked.
pub(crate) fn fact(kind: &str, value: &str, source: &str) -> Evidence {
    Evidence {
        kind: kind.to_owned(),
        value: shown(value),
        source: source.to_owned(),
    }
}

/// One fact that was masked before.
pub(crate) fn masked_fact(kind: &str, value: &str, source: &str) -> Evidence {
    Evidence {
        kind: kind.to_owned(),
        value: value.to_owned(),
        source: source.to_owned(),
    }
}

/// A server's text as it may be shown: masked, on one line, cut.
pub(crate) fn shown(text: &str) -> String {
    /// No token is as short; a named value needs one of these signs.
    const PLAIN_MAX: usize = 16;
    if text.len() < PLAIN_MAX && !text.contains(['=', ':', '"', ' ']) {
        return text.to_owned();
    }
    let masked = mask(text);
    let line = masked.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut cut = line.len().min(SAID_MAX);
    while !line.is_char_boundary(cut) {
        cut -= 1;
    }
    let line = &line[..cut];
    line.trim_end_matches(['.', ' ']).to_owned()
}

/// The chain a caller sees after a refusal that ends a session: `API02007 Token Refresh Failed` because of
/// `specific`, with the specific one's heal, who and command.
pub fn refresh_failed_because(specific: Failure) -> Failure {
    let mut failure = Failure::new(
        Code::RefreshFailed,
        Class::RefreshFailed,
        &specific.cause,
        specific.heal,
        specific.who,
        format!("The session could not be renewed. {}", specific.detail),
    )
    .with_rule(&specific.rule);
    failure.command.clone_from(&specific.command);
    failure.evidence.clone_from(&specific.evidence);
    failure.because(specific)
}

/// A failure that passes although what lies under it sounds final: it was not proven.
pub(crate) fn unproven(specific: Failure) -> Failure {
    let detail = format!(
        "The session could not be renewed, and the answer does not prove that it never will be; it is tried again. {}",
        specific.detail
    );
    let mut failure = refresh_failed_because(specific);
    failure.heal = Heal::RetryLater;
    failure.who = Who::Tenure;
    failure.detail = detail;
    failure.command = None;
    failure
}

/// The code of a class (DESIGN §7), refined by the cause where two codes share a class.
pub(crate) fn code_of(class: Class, cause: &str) -> Code {
    match class {
        Class::AccessExpired => Code::TokenExpired,
        Class::AccessInvalid => Code::TokenInvalid,
        Class::AccessRevoked => Code::AccessTokenRevoked,
        Class::AccessMissing if cause == "token_lost_on_the_way" => Code::HeaderLost,
        Class::AccessMissing => Code::AuthRequired,
        Class::NotYetValid => Code::NotYetValid,
        Class::InsufficientScope if cause.starts_with("user_may_not") => Code::UserNotAuthorized,
        Class::InsufficientScope => Code::InsufficientPermissions,
        Class::UserNotAuthorized => Code::UserNotAuthorized,
        Class::StepUpRequired => Code::StrongerSignIn,
        Class::RefreshExpired => Code::RefreshExpired,
        Class::RefreshInvalid => Code::RefreshInvalid,
        Class::RefreshRevoked => Code::RefreshRevoked,
        Class::RefreshReused => Code::RefreshReused,
        Class::RefreshFailed => Code::RefreshFailed,
        Class::ReplyLost => Code::ReplyLost,
        Class::SessionEnded => Code::SessionEnded,
        Class::ConsentRequired => Code::ConsentRequired,
        Class::AccountDisabled => Code::AccountDisabled,
        Class::ClientInvalid if cause.starts_with("api_key") => Code::ApiKeyInvalid,
        Class::ClientInvalid => Code::ClientRejected,
        Class::ClientUnauthorized => Code::ClientNotAllowed,
        Class::BadRequest => Code::InvalidRequest,
        Class::LoginRejected => Code::InvalidCredentials,
        Class::WrongIssuer => Code::WrongServer,
        Class::KeyMismatch => Code::SigningKeyChanged,
        Class::HeaderLost => Code::HeaderLost,
        Class::ClockSkew => Code::ClockSkew,
        Class::RateLimited => Code::RateLimited,
        Class::ServerError => Code::ServerError,
        Class::ServerUnavailable => Code::WebsiteUnavailable,
        Class::Timeout => Code::ConnectionTimeout,
        Class::ConnectionRefused => Code::ConnectionRefused,
        Class::ConnectionReset => Code::ConnectionReset,
        Class::DnsFailed => Code::DnsFailed,
        Class::TlsError => Code::TlsError,
        Class::NetworkUnreachable => Code::NetworkUnreachable,
        Class::NetworkIntercepted => Code::AnswerIntercepted,
        Class::StoreUnavailable => Code::StoreUnavailable,
        Class::NotAuth | Class::Unknown => Code::Unrecognised,
    }
}

/// The first step for a class (DESIGN §7), and who takes it.
pub(super) fn usual_heal(class: Class, cause: &str, local: &Local) -> (Heal, Who) {
    match class {
        Class::AccessMissing if cause == "token_lost_on_the_way" => {
            (Heal::FixConfig, Who::Operator)
        }
        Class::Unknown if cause.starts_with("bare_401") => super::judge::blind(local),
        Class::AccessExpired | Class::AccessInvalid | Class::AccessRevoked | Class::KeyMismatch => {
            if local.can_refresh() {
                (Heal::Refresh, Who::Tenure)
            } else {
                (Heal::Relogin, Who::User)
            }
        }
        Class::AccessMissing if local.surely_sent() => (Heal::FixConfig, Who::Operator),
        Class::AccessMissing
        | Class::StepUpRequired
        | Class::RefreshExpired
        | Class::RefreshInvalid
        | Class::RefreshRevoked
        | Class::RefreshReused
        | Class::ReplyLost
        | Class::SessionEnded
        | Class::ConsentRequired
        | Class::LoginRejected => (Heal::Relogin, Who::User),
        Class::InsufficientScope => (Heal::RequestScope, Who::Operator),
        Class::UserNotAuthorized | Class::AccountDisabled => (Heal::ContactAdmin, Who::ServerAdmin),
        Class::ClientInvalid
        | Class::ClientUnauthorized
        | Class::BadRequest
        | Class::WrongIssuer
        | Class::HeaderLost
        | Class::DnsFailed
        | Class::TlsError
        | Class::StoreUnavailable => (Heal::FixConfig, Who::Operator),
        Class::ClockSkew => (Heal::FixClock, Who::Operator),
        Class::NotYetValid
        | Class::RefreshFailed
        | Class::RateLimited
        | Class::ServerError
        | Class::ServerUnavailable
        | Class::Timeout
        | Class::ConnectionRefused
        | Class::ConnectionReset
        | Class::NetworkUnreachable
        | Class::NetworkIntercepted => (Heal::RetryLater, Who::Tenure),
        Class::NotAuth | Class::Unknown => (Heal::None, Who::Tenure),
    }
}

/// One sentence for a person.
fn sentence(class: Class, local: &Local) -> &'static str {
    match class {
        Class::AccessExpired => "The access token is past its lifetime.",
        Class::AccessInvalid => "The API refused the access token.",
        Class::AccessRevoked => "The access token was revoked.",
        Class::AccessMissing if local.surely_sent() => {
            "The API saw no token although one was sent: it was lost on the way."
        }
        Class::AccessMissing => "The request carried no access token.",
        Class::NotYetValid => "The token's not-before time has not come by the server's clock.",
        Class::InsufficientScope => "The token is good, but it does not allow this.",
        Class::UserNotAuthorized => "The account may not do this.",
        Class::StepUpRequired => "The server wants a stronger or fresher sign-in.",
        Class::RefreshExpired => "The refresh token is past its lifetime.",
        Class::RefreshInvalid => "The server refused the refresh token, and nothing tells why.",
        Class::RefreshRevoked => "The refresh token was revoked.",
        Class::RefreshReused => "The refresh token had been used before.",
        Class::RefreshFailed => "The session could not be renewed.",
        Class::ReplyLost => {
            "The reply of an earlier renewal was lost: the server had most likely issued a new refresh token that never arrived, and it refuses the old one."
        }
        Class::SessionEnded => "The login session at the identity provider is over.",
        Class::ConsentRequired => "Consent for this client is missing or was withdrawn.",
        Class::AccountDisabled => "The account is disabled, locked, gone, or kept out by a policy.",
        Class::ClientInvalid => "The server did not accept the client's credentials.",
        Class::ClientUnauthorized => "The client may not do this at this server.",
        Class::BadRequest => "The server finds the request itself wrong.",
        Class::LoginRejected => "User name or password was not accepted.",
        Class::WrongIssuer => "The wrong server was asked, or the token is another server's.",
        Class::KeyMismatch => {
            "The token's signature does not fit the server's keys: the keys changed, or the token is another server's."
        }
        Class::HeaderLost => "The Authorization header was lost on the way to the API.",
        Class::ClockSkew => "The clocks of this host and the server differ too much.",
        Class::RateLimited => "The server asks for fewer requests.",
        Class::ServerError => "The server failed.",
        Class::ServerUnavailable => "The server, or something it depends on, cannot be reached.",
        Class::Timeout => "No answer came in time.",
        Class::ConnectionRefused => "The server refused the connection.",
        Class::ConnectionReset => "The connection broke before an answer came.",
        Class::DnsFailed => "The server's name could not be resolved.",
        Class::TlsError => "No trusted TLS connection could be made.",
        Class::NetworkUnreachable => "There is no route to the server.",
        Class::NetworkIntercepted => "Something between here and the server answered in its place.",
        Class::StoreUnavailable => "The session store cannot be read or written.",
        Class::NotAuth => "This is not about the token.",
        Class::Unknown => "The answer does not tell what is wrong.",
    }
}

#[cfg(test)]
mod shown_tests {
    use super::shown;

    #[test]
    fn a_short_labelled_secret_is_masked_and_a_short_word_is_not() {
        assert!(!shown("password:xq7").contains("xq7"));
        assert_eq!(shown("invalid_grant"), "invalid_grant");
    }
}
