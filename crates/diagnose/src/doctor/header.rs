//! Whether the Authorization header arrives: told from how answers differ when it is not sent, sent with rubbish,
//! and sent with the token.

use http::HeaderMap;
use serde_json::Value;

use crate::classify::challenge::{Challenge, challenges};

/// Codes by which a server says that it saw no header (facts of the plugins; RFC 6750 has none).
const NO_HEADER: &[&str] = &[
    "jwt_auth_no_auth_header",
    "rest_authentication_no_header",
    "missing_authorization_header",
    "woocommerce_pos_auth_no_token",
];
/// Codes by which the JWT plugins of WordPress judge a token.
const JUDGED_BY_PLUGIN: &str = "jwt_auth_";

/// What of an answer is compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// `code` or `error` of the body.
    pub code: Option<String>,
    /// `data.reason` of the body.
    pub reason: Option<String>,
    /// `error` of the challenge.
    pub error: Option<String>,
    /// There is a challenge for bearer tokens.
    pub bearer: bool,
    /// The text for people.
    pub message: Option<String>,
    /// The rest of the body, without what changes from answer to answer: words with digits in them.
    shape: String,
}

impl Reply {
    /// Reads an answer.
    pub fn read(status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |pointer: &str| {
            let found = value.pointer(pointer)?;
            let text = found.as_str().map(str::to_owned);
            text.or_else(|| found.as_i64().map(|number| number.to_string()))
        };
        let challenge = challenges(headers)
            .into_iter()
            .find(Challenge::carries_tokens);
        Self {
            status,
            code: text("/code")
                .or_else(|| text("/error"))
                .or_else(|| text("/data/error_code"))
                .or_else(|| text("/data/errorCode")),
            reason: text("/data/reason"),
            error: challenge
                .as_ref()
                .and_then(|challenge| challenge.param("error").map(str::to_owned)),
            bearer: challenge.is_some(),
            message: ["/message", "/data/message", "/error_description", "/detail"]
                .into_iter()
                .find_map(text),
            shape: shape(body),
        }
    }

    /// In a few words: `401 invalid_token`.
    pub fn short(&self) -> String {
        let word = self.error.as_ref().or(self.code.as_ref());
        word.map_or_else(
            || self.status.to_string(),
            |word| format!("{} {word}", self.status),
        )
    }

    /// The server says that it saw no header.
    pub fn saw_none(&self) -> bool {
        [&self.code, &self.reason]
            .into_iter()
            .flatten()
            .any(|code| {
                NO_HEADER
                    .iter()
                    .any(|known| code.eq_ignore_ascii_case(known))
            })
    }

    /// A JWT plugin of WordPress answered.
    pub fn by_jwt_plugin(&self) -> bool {
        self.code
            .as_ref()
            .is_some_and(|code| code.starts_with(JUDGED_BY_PLUGIN))
    }
}

/// How much of a body is compared.
const COMPARED: usize = 4 * 1024;

/// What stays the same in answers that mean the same.
fn shape(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(COMPARED)]);
    let steady = |word: &&str| !word.contains(|c: char| c.is_ascii_digit());
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '-' && c != '_');
    words.filter(steady).collect::<Vec<_>>().join(" ")
}

/// The answers to the same question.
#[derive(Clone, Debug)]
pub struct Answers {
    /// No header was sent.
    pub none: Reply,
    /// A header was sent that holds no token at all.
    pub rubbish: Reply,
    /// Our token was sent.
    pub ours: Option<Reply>,
    /// Nothing else speaks against our token: not its time, not its issuer.
    pub good: bool,
}

/// What follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It arrives, and by which sign.
    Arrives(String),
    /// It is lost on the way, and by which sign.
    Lost(String),
    /// It cannot be told apart from outside, and why.
    Untold(String),
}

/// Whether the header arrives.
pub fn arrival(answers: &Answers) -> Arrival {
    let Answers {
        none,
        rubbish,
        ours,
        good,
    } = answers;
    let with: Vec<&Reply> = ours.iter().chain([rubbish]).collect();
    if let Some(reply) = with.iter().find(|reply| reply.saw_none()) {
        return Arrival::Lost(format!(
            "the server says `{}` although a header was sent",
            reply.short()
        ));
    }
    let differs = |reply: &&&Reply| {
        let words = |reply: &Reply| {
            (
                reply.status,
                reply.code.clone(),
                reply.error.clone(),
                reply.message.clone(),
            )
        };
        words(reply) != words(none)
    };
    if let Some(reply) = with.iter().find(differs) {
        return Arrival::Arrives(format!(
            "`{}` without a header, `{}` with one",
            none.short(),
            reply.short()
        ));
    }
    // RFC 6750 §3.1 asks for an error code; the answers must agree in everything before its absence proves anything.
    let same = with.iter().all(|reply| reply.shape == none.shape);
    match none.status {
        200..=299 => Arrival::Untold(
            "the address answers without a token, too; name one that needs it with --path".into(),
        ),
        401 if none.bearer && none.error.is_none() && same && *good && ours.is_some() => Arrival::Lost(
            "with and without a header the answer is the same challenge without `error`, which by RFC 6750 §3.1 means that no token was seen".into(),
        ),
        401 | 403 => Arrival::Untold(format!(
            "cannot be told apart from outside: `{}` with no header, with a malformed one and with the token",
            none.short()
        )),
        status => Arrival::Untold(format!(
            "the address answers {status} whatever is sent; name one that needs the token with --path"
        )),
    }
}

/// What an echo says it received (WCPOS `auth/test` and `echo`); `None` when the answer is no echo's.
pub fn echoed(body: &[u8]) -> Option<bool> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let flag = value
        .get("received_header_auth")
        .or_else(|| value.pointer("/headers/authorization/received"));
    if let Some(received) = flag.and_then(Value::as_bool) {
        return Some(received);
    }
    let none = value.get("status").and_then(Value::as_str) == Some("error")
        && value
            .get("message")
            .and_then(Value::as_str)
            .is_some_and(|message| message.contains("No authorization token"));
    none.then_some(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use http::header::WWW_AUTHENTICATE;

    fn reply(status: u16, challenge: &'static str, body: &str) -> Reply {
        let mut headers = HeaderMap::new();
        if !challenge.is_empty() {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        Reply::read(status, &headers, body.as_bytes())
    }

    fn of(none: Reply, rubbish: Reply, ours: Reply) -> Arrival {
        arrival(&Answers {
            none,
            rubbish,
            ours: Some(ours),
            good: true,
        })
    }

    #[test]
    fn a_difference_proves_arrival() {
        let bare = reply(401, "Bearer realm=\"x\"", "");
        let invalid = reply(401, "Bearer error=\"invalid_token\"", "");
        let good = reply(200, "", "{}");
        assert!(matches!(of(bare, invalid, good), Arrival::Arrives(_)));
    }

    #[test]
    fn the_same_bare_challenge_three_times_means_lost() {
        let bare = || reply(401, "Bearer realm=\"x\"", "{\"error\":\"unauthorized\"}");
        assert!(matches!(of(bare(), bare(), bare()), Arrival::Lost(_)));
        let plugin = || reply(403, "", "{\"code\":\"jwt_auth_no_auth_header\"}");
        assert!(matches!(of(plugin(), plugin(), plugin()), Arrival::Lost(_)));
    }

    #[test]
    fn words_for_people_are_a_difference_and_a_doubtful_token_proves_nothing() {
        let says = |text: &str| reply(401, "Bearer", &format!("{{\"detail\":\"{text}\"}}"));
        let (none, other) = (
            says("Not authenticated"),
            says("Could not validate credentials"),
        );
        assert!(matches!(
            of(none.clone(), other.clone(), other),
            Arrival::Arrives(_)
        ));
        let page = |text: &str| reply(401, "Bearer", text);
        let untold = of(page("<p>No"), page("<p>Bad"), page("<p>Bad"));
        assert!(matches!(untold, Arrival::Untold(_)), "{untold:?}");
        let doubtful = Answers {
            none: none.clone(),
            rubbish: none.clone(),
            ours: Some(none.clone()),
            good: false,
        };
        assert!(matches!(arrival(&doubtful), Arrival::Untold(_)));
        // Numbers of requests and times are no difference.
        let number = |id: &str| reply(401, "Bearer", &format!("{{\"id\":\"r-{id}\"}}"));
        assert!(matches!(
            of(number("1"), number("22"), number("3a")),
            Arrival::Lost(_)
        ));
    }

    #[test]
    fn what_cannot_be_told_is_not_told() {
        let bare = || reply(401, "", "{\"code\":\"rest_not_logged_in\"}");
        let Arrival::Untold(why) = of(bare(), bare(), bare()) else {
            panic!("told");
        };
        assert!(why.contains("cannot be told apart"), "{why}");
        let open = || reply(200, "", "{}");
        assert!(matches!(of(open(), open(), open()), Arrival::Untold(_)));
        let gone = || reply(404, "", "");
        assert!(matches!(of(gone(), gone(), gone()), Arrival::Untold(_)));
    }

    #[test]
    fn echoes_say_it_outright() {
        assert_eq!(
            echoed(b"{\"status\":\"success\",\"received_header_auth\":true}"),
            Some(true)
        );
        assert_eq!(
            echoed(b"{\"status\":\"error\",\"message\":\"No authorization token detected\"}"),
            Some(false)
        );
        assert_eq!(
            echoed(b"{\"v\":1,\"headers\":{\"authorization\":{\"received\":false}}}"),
            Some(false)
        );
        assert_eq!(echoed(b"{\"code\":\"rest_no_route\"}"), None);
    }
}
