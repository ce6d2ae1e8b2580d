//! The vocabulary of failures: codes, classes, heals, who acts, and the FAILURE object every surface shows.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($( $name:ident = $text:literal, $title:literal; )*) => {
        /// A stable code. Its meaning never changes and it is never reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $( #[doc = concat!($text, " ", $title)] $name, )*
        }

        impl Code {
            /// Every code there is, in the order of DESIGN §7.
            pub const ALL: &'static [Code] = &[$( Code::$name, )*];

            /// The code as written, e.g. `API02002`.
            pub fn as_str(self) -> &'static str {
                match self { $( Code::$name => $text, )* }
            }

            /// The English title, e.g. `Token Expired`.
            pub fn title(self) -> &'static str {
                match self { $( Code::$name => $title, )* }
            }

            /// The code with this text.
            pub fn parse(text: &str) -> Option<Code> {
                match text { $( $text => Some(Code::$name), )* _ => None }
            }
        }
    };
}

codes! {
    TokenExpired = "API02002", "Token Expired";
    TokenInvalid = "API02003", "Token Invalid";
    SigningKeyChanged = "API02022", "Signing Key Changed";
    WrongServer = "API02021", "Token of Another Server";
    AccessTokenRevoked = "API02011", "Access Token Revoked";
    AuthRequired = "API02010", "Authentication Required";
    NotYetValid = "API02012", "Token Not Yet Valid";
    ClockSkew = "API02023", "Clock Skew";
    InsufficientPermissions = "API02005", "Insufficient Permissions";
    UserNotAuthorized = "API02004", "User Not Authorized";
    StrongerSignIn = "API02013", "Stronger Sign-in Required";
    RefreshFailed = "API02007", "Token Refresh Failed";
    RefreshInvalid = "API02008", "Refresh Token Invalid";
    RefreshExpired = "API02009", "Refresh Token Expired";
    RefreshRevoked = "API02014", "Refresh Token Revoked";
    RefreshReused = "API02015", "Refresh Token Already Used";
    SessionEnded = "API02016", "Session Ended at the Identity Provider";
    ConsentRequired = "API02017", "Consent Required";
    AccountDisabled = "API02018", "Account Disabled";
    ClientRejected = "API02019", "Client Credentials Rejected";
    ClientNotAllowed = "API02020", "Client Not Allowed";
    HeaderLost = "API02024", "Authorization Header Lost";
    InvalidCredentials = "API02001", "Invalid Credentials";
    ApiKeyInvalid = "API02006", "API Key Invalid";
    ReplyLost = "API02025", "Refresh Reply Lost";
    StoreUnavailable = "API02026", "Session Store Unavailable";
    InvalidRequest = "API03001", "Invalid Request";
    RateLimited = "API03005", "Rate Limit Exceeded";
    ServerError = "API01009", "Server Error";
    WebsiteUnavailable = "API01008", "Website Unavailable";
    ConnectionTimeout = "API01001", "Connection Timeout";
    ConnectionRefused = "API01002", "Connection Refused";
    ConnectionReset = "API01003", "Connection Reset";
    DnsFailed = "API01004", "DNS Resolution Failed";
    TlsError = "API01005", "SSL Certificate Error";
    NetworkUnreachable = "API01006", "Network Unreachable";
    DeviceOffline = "API01007", "Device Offline";
    AnswerIntercepted = "API01010", "Answer Intercepted";
    Unrecognised = "API02999", "Unrecognised Token Failure";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Code::parse(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("unknown failure code {text:?}")))
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $( $(#[$vdoc:meta])* $variant:ident = $text:literal, )* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $( $(#[$vdoc])* #[serde(rename = $text)] $variant, )*
        }

        impl $name {
            /// Every word there is.
            pub const ALL: &'static [$name] = &[$( $name::$variant, )*];

            /// The word as written in JSON.
            pub fn as_str(self) -> &'static str {
                match self { $( $name::$variant => $text, )* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// What kind of failure it is; the corpus' classes, and those DESIGN §7 adds in parentheses.
    Class {
        /// The access token is past its lifetime.
        AccessExpired = "access_expired",
        /// The access token was refused, and nothing tells why.
        AccessInvalid = "access_invalid",
        /// The access token was revoked.
        AccessRevoked = "access_revoked",
        /// The server saw no token.
        AccessMissing = "access_missing",
        /// The token's not-before time has not come.
        NotYetValid = "not_yet_valid",
        /// The token lacks a scope, role or permission.
        InsufficientScope = "insufficient_scope",
        /// More proof of the person is wanted.
        StepUpRequired = "step_up_required",
        /// The refresh token is past its lifetime.
        RefreshExpired = "refresh_expired",
        /// The refresh token was refused, and nothing tells why.
        RefreshInvalid = "refresh_invalid",
        /// The refresh token was revoked.
        RefreshRevoked = "refresh_revoked",
        /// A rotated refresh token was used again.
        RefreshReused = "refresh_reused",
        /// A refresh failed for a cause that is unknown or passing.
        RefreshFailed = "refresh_failed",
        /// The reply of a rotation was lost and the token behind it refused.
        ReplyLost = "reply_lost",
        /// The login session behind the tokens is over.
        SessionEnded = "session_ended",
        /// Consent is missing or withdrawn.
        ConsentRequired = "consent_required",
        /// The account is disabled, locked or gone.
        AccountDisabled = "account_disabled",
        /// The client could not prove itself.
        ClientInvalid = "client_invalid",
        /// The client may not do this.
        ClientUnauthorized = "client_unauthorized",
        /// The request itself is wrong.
        BadRequest = "bad_request",
        /// The login was rejected.
        LoginRejected = "login_rejected",
        /// The token is another server's.
        WrongIssuer = "wrong_issuer",
        /// The signing key does not fit.
        KeyMismatch = "key_mismatch",
        /// The Authorization header was lost on the way.
        HeaderLost = "header_lost",
        /// The clocks differ.
        ClockSkew = "clock_skew",
        /// Too many requests.
        RateLimited = "rate_limited",
        /// The server failed.
        ServerError = "server_error",
        /// The server cannot be reached.
        ServerUnavailable = "server_unavailable",
        /// No answer in time.
        Timeout = "timeout",
        /// The connection was refused.
        ConnectionRefused = "connection_refused",
        /// The connection broke.
        ConnectionReset = "connection_reset",
        /// The name could not be resolved.
        DnsFailed = "dns_failed",
        /// TLS could not be agreed or the certificate is not trusted.
        TlsError = "tls_error",
        /// No route to the host.
        NetworkUnreachable = "network_unreachable",
        /// Something between client and server answered.
        NetworkIntercepted = "network_intercepted",
        /// The session store cannot be read or written.
        StoreUnavailable = "store_unavailable",
        /// The user may not do this.
        UserNotAuthorized = "user_not_authorized",
        /// Not about the token.
        NotAuth = "not_auth",
        /// Cannot be told.
        Unknown = "unknown",
    }
}

words! {
    /// The first step that can heal it.
    Heal {
        /// A refresh.
        Refresh = "refresh",
        /// A person logs in.
        Relogin = "relogin",
        /// Wait; Tenure tries again by itself.
        RetryLater = "retry_later",
        /// Set a clock.
        FixClock = "fix_clock",
        /// Change a configuration.
        FixConfig = "fix_config",
        /// Ask for a further scope.
        RequestScope = "request_scope",
        /// An administrator of the server acts.
        ContactAdmin = "contact_admin",
        /// Nothing; it is not a token failure.
        None = "none",
    }
}

words! {
    /// Who must act.
    Who {
        /// Tenure itself, without anybody.
        Tenure = "tenure",
        /// The person whose session it is.
        User = "user",
        /// Whoever runs this Tenure.
        Operator = "operator",
        /// The administrator of the API or its authorization server.
        ServerAdmin = "server_admin",
        /// The provider of the service.
        Provider = "provider",
    }
}

/// One fact a verdict rests on. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What kind of fact, e.g. `status`, `error`, `www_authenticate`, `clock_offset_s`.
    pub kind: String,
    /// Its value.
    pub value: String,
    /// Where it was seen, e.g. `response`, `local clock`, `store`, `profile`.
    pub source: String,
}

/// A named failure, the same in every surface (DESIGN §12).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Stable code.
    pub code: Code,
    /// Its English title.
    pub title: String,
    /// Its class.
    pub class: Class,
    /// Finer cause, snake case; open set.
    pub cause: String,
    /// First step that heals it.
    pub heal: Heal,
    /// Who must take that step.
    pub who: Who,
    /// One sentence for a person.
    pub detail: String,
    /// What it rests on.
    pub evidence: Vec<Evidence>,
    /// The failure underneath.
    pub because: Option<Box<Failure>>,
    /// The rule that named it.
    pub rule: String,
    /// Path of the code's page, `/error-codes/API02002`.
    pub page: String,
    /// What to type, if anything.
    pub command: Option<String>,
}

impl Failure {
    /// A failure with this code; evidence, command and chain are added with the methods below.
    pub fn new(
        code: Code,
        class: Class,
        cause: &str,
        heal: Heal,
        who: Who,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            code,
            title: code.title().to_owned(),
            class,
            cause: cause.to_owned(),
            heal,
            who,
            detail: detail.into(),
            evidence: Vec::new(),
            because: None,
            rule: String::new(),
            page: format!("/error-codes/{code}"),
            command: None,
        }
    }

    /// Adds a fact.
    #[must_use]
    pub fn with_evidence(mut self, kind: &str, value: impl ToString, source: &str) -> Self {
        self.evidence.push(Evidence {
            kind: kind.to_owned(),
            value: value.to_string(),
            source: source.to_owned(),
        });
        self
    }

    /// Names the rule.
    #[must_use]
    pub fn with_rule(mut self, rule: &str) -> Self {
        rule.clone_into(&mut self.rule);
        self
    }

    /// Names the command a person types.
    #[must_use]
    pub fn with_command(mut self, command: impl Into<String>) -> Self {
        self.command = Some(command.into());
        self
    }

    /// Puts a cause underneath.
    #[must_use]
    pub fn because(mut self, cause: Failure) -> Self {
        self.because = Some(Box::new(cause));
        self
    }

    /// The last failure of the chain.
    pub fn root(&self) -> &Failure {
        self.because.as_deref().map_or(self, Failure::root)
    }
}

impl fmt::Display for Failure {
    /// `API02007 Token Refresh Failed because of API02009 Refresh Token Expired`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.title)?;
        match &self.because {
            Some(cause) => write!(f, " because of {cause}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_parse_back() {
        for code in Code::ALL {
            assert_eq!(Code::parse(code.as_str()), Some(*code));
        }
        let mut texts: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), Code::ALL.len());
    }

    #[test]
    fn the_chain_reads_as_a_sentence() {
        let failure = Failure::new(
            Code::RefreshFailed,
            Class::RefreshFailed,
            "refused",
            Heal::Relogin,
            Who::User,
            "",
        )
        .because(Failure::new(
            Code::RefreshExpired,
            Class::RefreshExpired,
            "idle",
            Heal::Relogin,
            Who::User,
            "",
        ));
        assert_eq!(
            failure.to_string(),
            "API02007 Token Refresh Failed because of API02009 Refresh Token Expired"
        );
        assert_eq!(failure.root().code, Code::RefreshExpired);
    }
}
