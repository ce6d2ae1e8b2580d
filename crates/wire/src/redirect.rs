//! What comes back through the browser: the redirect after a login, or its address pasted by a person.

use std::collections::HashMap;

use serde_json::Value;
use tenure_core::Secret;
use url::Url;

use crate::answer::Granted;
use crate::mask::{cut, mask};
use crate::server::Ctx;
use crate::wordpress::wcpos;

/// How much of a server's text is shown, in bytes.
const TEXT_SHOWN: usize = 500;

/// Why a redirect is not accepted. No text holds a code, a token or a state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedirectError {
    /// No `state`.
    #[error(
        "the address carries no `state`; it is not the answer to this login. Copy the whole address, or start the login again"
    )]
    StateMissing,
    /// Another `state`.
    #[error(
        "the `state` is that of another login; open the newest login address, or start the login again"
    )]
    StateMismatch,
    /// RFC 9207: the answer comes from another server than the one asked.
    #[error(
        "the answer comes from issuer {found}, not from {expected}; the code was not used. Check the issuer of the session"
    )]
    IssuerMismatch {
        /// Whom the login was sent to.
        expected: String,
        /// Who says it answered.
        found: String,
    },
    /// RFC 9207: the server promises to name itself and did not.
    #[error(
        "the answer does not name its issuer although {expected} promises to (RFC 9207); the code was not used. Start the login again"
    )]
    IssuerMissing {
        /// Whom the login was sent to.
        expected: String,
    },
    /// The server says no (RFC 6749 §4.1.2.1).
    #[error("the server refused the login: {error}{}", .description.as_ref().map(|text| format!(" ({text})")).unwrap_or_default())]
    Refused {
        /// `access_denied`, `login_required`, …
        error: String,
        /// Its text for people.
        description: Option<String>,
        /// Its page about it.
        uri: Option<String>,
    },
    /// Neither a result nor an error.
    #[error("the address carries no `{name}`; copy the whole address, or start the login again")]
    Missing {
        /// The parameter.
        name: &'static str,
    },
    /// A parameter twice (RFC 6749 §3.1 forbids it).
    #[error(
        "the address carries `{name}` twice; it was tampered with or copied wrongly. Start the login again"
    )]
    Twice {
        /// The parameter.
        name: &'static str,
    },
    /// What was pasted is no address.
    #[error(
        "what was pasted is not an address with `?…`; copy the whole address from the browser's address bar"
    )]
    NotAnAddress,
}

/// The authorization code of a redirect.
///
/// `state` must be the one sent (compared in constant time). When the answer names its issuer (RFC 9207), it
/// must be `expected_issuer`. An error in the redirect is passed on.
pub fn parse_redirect(
    url: &Url,
    expected_state: &Secret,
    expected_issuer: Option<&str>,
) -> Result<Secret, RedirectError> {
    let params = Params::of(url)?;
    params.check_state(expected_state)?;
    if let (Some(expected), Some(found)) = (expected_issuer, params.get("iss"))
        && expected != found
    {
        return Err(RedirectError::IssuerMismatch {
            expected: expected.to_owned(),
            found: shown(found),
        });
    }
    params.check_error()?;
    params.secret("code")
}

/// Whether a redirect is the answer to the login with this `state`, whatever else it says: it must carry that one
/// and no other.
///
/// # Errors
/// [`RedirectError::StateMissing`] or [`RedirectError::StateMismatch`].
pub fn check_state(url: &Url, expected: &Secret) -> Result<(), RedirectError> {
    let query = url
        .query_pairs()
        .map(|(name, value)| (name.into_owned(), value.into_owned()));
    let mut states = query
        .chain(fragment(url))
        .filter(|(name, value)| name == "state" && !value.is_empty())
        .map(|(_, value)| Secret::new(value));
    match (states.next(), states.next()) {
        (None, _) => Err(RedirectError::StateMissing),
        // `Secret` compares in constant time.
        (Some(state), None) if state == *expected => Ok(()),
        _ => Err(RedirectError::StateMismatch),
    }
}

/// [`parse_redirect`] for a server whose metadata says `authorization_response_iss_parameter_supported`:
/// an answer that does not name its issuer is refused (RFC 9207 §2.4).
pub fn parse_redirect_requiring_issuer(
    url: &Url,
    expected_state: &Secret,
    expected_issuer: &str,
) -> Result<Secret, RedirectError> {
    let code = parse_redirect(url, expected_state, Some(expected_issuer));
    match (&code, Params::of(url)?.get("iss")) {
        (Ok(_), None) => Err(RedirectError::IssuerMissing {
            expected: expected_issuer.to_owned(),
        }),
        _ => code,
    }
}

/// The tokens of a WCPOS login, which travel in the redirect's query.
pub fn parse_wcpos_redirect(
    url: &Url,
    expected_state: &Secret,
    ctx: &Ctx,
) -> Result<Granted, RedirectError> {
    let params = Params::of(url)?;
    params.check_state(expected_state)?;
    params.check_error()?;
    params.secret("refresh_token")?;
    let value: Value = params
        .0
        .iter()
        .map(|(name, value)| (name.clone(), Value::from(value.expose())))
        .collect();
    let mut granted = wcpos::granted(&value, ctx).ok_or(RedirectError::Missing {
        name: "access_token",
    })?;
    granted.peek_refresh_lifetime();
    Ok(granted)
}

/// Makes an address of what a person pasted: a whole address, also wrapped over lines or in quotes, or only
/// its query (`?code=…` or `code=…`).
pub fn pasted(text: &str) -> Result<Url, RedirectError> {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let text = text.trim_matches(['"', '\'', '<', '>', '`']);
    let url = match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => url,
        _ => {
            let query = text
                .rsplit_once(['?', '#'])
                .map_or(text, |(_, query)| query);
            let mut url =
                Url::parse("http://127.0.0.1/").map_err(|_| RedirectError::NotAnAddress)?;
            url.set_query(Some(query));
            url
        }
    };
    let has_answer = url.query_pairs().any(|(name, _)| is_answer(&name))
        || fragment(&url).any(|(name, _)| is_answer(&name));
    if has_answer {
        Ok(url)
    } else {
        Err(RedirectError::NotAnAddress)
    }
}

fn is_answer(name: &str) -> bool {
    matches!(name, "code" | "error" | "access_token" | "state")
}

/// The parameters of a redirect, each at most once.
struct Params(HashMap<String, Secret>);

impl Params {
    fn of(url: &Url) -> Result<Self, RedirectError> {
        let in_query = url.query_pairs().any(|(name, _)| is_answer(&name));
        let mut params = HashMap::new();
        let mut add = |name: String, value: String| {
            let twice = NAMES.iter().find(|known| **known == name).copied();
            match (params.insert(name, Secret::new(value)), twice) {
                (Some(_), Some(name)) => Err(RedirectError::Twice { name }),
                _ => Ok(()),
            }
        };
        if in_query {
            for (name, value) in url.query_pairs() {
                add(name.into_owned(), value.into_owned())?;
            }
        } else {
            for (name, value) in fragment(url) {
                add(name, value)?;
            }
        }
        Ok(Self(params))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(Secret::expose)
            .filter(|text| !text.is_empty())
    }

    fn secret(&self, name: &'static str) -> Result<Secret, RedirectError> {
        self.get(name)
            .map(Secret::new)
            .ok_or(RedirectError::Missing { name })
    }

    fn check_state(&self, expected: &Secret) -> Result<(), RedirectError> {
        let found = self.0.get("state").filter(|state| !state.is_empty());
        match found {
            // `Secret` compares in constant time.
            Some(found) if found == expected => Ok(()),
            Some(_) => Err(RedirectError::StateMismatch),
            None => Err(RedirectError::StateMissing),
        }
    }

    fn check_error(&self) -> Result<(), RedirectError> {
        match self.get("error") {
            None => Ok(()),
            Some(error) => Err(RedirectError::Refused {
                error: shown(error),
                description: self.get("error_description").map(shown),
                uri: self.get("error_uri").map(shown),
            }),
        }
    }
}

/// The parameters that mean something here.
const NAMES: &[&str] = &[
    "state",
    "code",
    "iss",
    "error",
    "error_description",
    "error_uri",
    "access_token",
    "refresh_token",
    "expires_at",
    "expires_in",
    "token_type",
];

fn fragment(url: &Url) -> impl Iterator<Item = (String, String)> {
    url::form_urlencoded::parse(url.fragment().unwrap_or_default().as_bytes()).into_owned()
}

/// A text from outside as it may be shown: masked, short, without control characters.
fn shown(text: &str) -> String {
    let masked = mask(text);
    cut(&masked, TEXT_SHOWN)
        .chars()
        .filter(|c| !c.is_control())
        .collect()
}
