//! Pages for people: plain HTML without script, readable on a phone, light and dark.

use std::borrow::Cow;
use std::sync::LazyLock;

use askama::Template;
use axum::extract::Path;
use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use subtle::ConstantTimeEq;
use tenure_core::Code;
use tenure_jose::{b64url, from_b64url, random, sha256};
use url::Url;

use crate::error::OAuthError;
use crate::issuer::Issuer;
use crate::lang::Lang;

const STYLE: &str = include_str!("../../templates/style.css");
/// The cookie that binds a form to the browser it was shown in.
const COOKIE: &str = "tenure_form";

/// The one style sheet stands in the page; its hash is what the policy allows (CSP 3 §2.3.1).
static STYLE_SOURCE: LazyLock<String> =
    LazyLock::new(|| format!("'sha256-{}'", STANDARD.encode(sha256(STYLE.as_bytes()))));

/// The login form.
#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    style: &'static str,
    lang: Lang,
    title: String,
    heading: String,
    error: Option<Cow<'a, str>>,
    login: &'a Login<'a>,
}

/// What the login form shows and carries.
pub(super) struct Login<'a> {
    pub(super) action: &'static str,
    pub(super) client: &'a str,
    pub(super) scopes: Vec<&'a str>,
    pub(super) hidden: &'a [(&'static str, &'a str)],
    pub(super) token: &'a str,
    pub(super) username: &'a str,
    pub(super) returns_to: Option<String>,
}

/// The form for the code that a device shows.
#[derive(Template)]
#[template(path = "device.html")]
struct DevicePage<'a> {
    style: &'static str,
    lang: Lang,
    title: String,
    code: &'a str,
    error: Option<Cow<'a, str>>,
}

#[derive(Template)]
#[template(path = "message.html")]
struct MessagePage<'a> {
    style: &'static str,
    lang: Lang,
    title: Cow<'a, str>,
    text: Cow<'a, str>,
}

/// A form's protection against being sent from another site.
pub(super) struct Form {
    pub(super) token: String,
    cookie: Option<String>,
}

/// What goes along with a login page.
pub(super) struct Shown<'a> {
    pub(super) lang: Lang,
    pub(super) form: &'a Form,
    pub(super) error: Option<&'a OAuthError>,
    /// Where the form may end up after its redirect.
    pub(super) goes_to: Option<&'a Url>,
}

/// A token for a form that answers `request`; the cookie is set unless the browser has one.
pub(super) fn form(issuer: &Issuer, headers: &HeaderMap, request: &str) -> Form {
    let (value, new) = match cookie(headers) {
        Some(value) => (value, false),
        None => (b64url(random::<16>()), true),
    };
    let token = b64url(issuer.master.form_token(&value, request));
    // Lax, so that it comes along when another site's link leads here; Strict would set a new one each time.
    let secure = if issuer.is_https() { "; Secure" } else { "" };
    let cookie = new.then(|| format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Lax{secure}"));
    Form { token, cookie }
}

/// Whether a form was shown in this browser for this request.
pub(super) fn is_genuine(issuer: &Issuer, headers: &HeaderMap, request: &str, token: &str) -> bool {
    let (Some(cookie), Some(token)) = (cookie(headers), from_b64url(token)) else {
        return false;
    };
    issuer
        .master
        .form_token(&cookie, request)
        .as_slice()
        .ct_eq(&token)
        .into()
}

pub(super) fn stale_form() -> OAuthError {
    OAuthError::invalid_request(
        "This page was open for too long or in another browser. Please try again.",
    )
}

fn cookie(headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(header::COOKIE);
    let mut pairs = all
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'));
    let value = pairs.find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))?;
    from_b64url(value)
        .filter(|bytes| bytes.len() == 16)
        .map(|_| value.to_owned())
}

pub(super) fn login(login: &Login<'_>, shown: &Shown<'_>) -> Response {
    let status = shown
        .error
        .map_or(StatusCode::OK, |error| match error.status {
            StatusCode::UNAUTHORIZED => StatusCode::BAD_REQUEST,
            status => status,
        });
    let lang = shown.lang;
    let heading = lang.say_with("Sign in to {}", login.client);
    let page = LoginPage {
        style: STYLE,
        lang,
        title: titled(lang, &heading, shown.error.is_some()),
        heading,
        error: shown.error.map(|error| lang.say(&error.description)),
        login,
    };
    let mut response = render(status, &page, shown.goes_to);
    let headers = response.headers_mut();
    if let Some(seconds) = shown.error.and_then(|error| error.retry_after_s) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(Ok(cookie)) = shown.form.cookie.as_deref().map(HeaderValue::from_str) {
        headers.insert(header::SET_COOKIE, cookie);
    }
    response
}

/// What a screen reader says first (WCAG 2.2, technique G199).
fn titled(lang: Lang, heading: &str, failed: bool) -> String {
    if failed {
        lang.say_with("Error: {}", heading)
    } else {
        heading.to_owned()
    }
}

pub(super) fn device(lang: Lang, status: StatusCode, code: &str, error: Option<&str>) -> Response {
    let page = DevicePage {
        style: STYLE,
        lang,
        title: titled(lang, &lang.say("Sign in on a device"), error.is_some()),
        code,
        error: error.map(|error| lang.say(error)),
    };
    render(status, &page, None)
}

pub(super) fn message(lang: Lang, status: StatusCode, title: &str, text: &str) -> Response {
    let page = MessagePage {
        style: STYLE,
        lang,
        title: lang.say(title),
        text: lang.say(text),
    };
    render(status, &page, None)
}

/// `/error-codes/API02009`: what `error_uri` names when no other place is configured.
pub(super) async fn error_code(lang: Lang, Path(code): Path<String>) -> Response {
    match Code::parse(&code) {
        Some(code) => {
            let text = format!(
                "`tenure explain {code}` tells what it means, its usual causes and what to do."
            );
            message(
                lang,
                StatusCode::OK,
                &format!("{code} {}", code.title()),
                &text,
            )
        }
        None => message(
            lang,
            StatusCode::NOT_FOUND,
            "No such code",
            "There is no error code of that name.",
        ),
    }
}

fn render(status: StatusCode, page: &impl Template, goes_to: Option<&Url>) -> Response {
    let html = match page.render() {
        Ok(html) => html,
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            return (
                StatusCode::INTERNAL_SERVER_ERROR,
                "The page could not be made.",
            )
                .into_response();
        }
    };
    let mut response = (status, Html(html)).into_response();
    let headers = response.headers_mut();
    let policy = format!(
        "default-src 'none'; style-src {}; form-action 'self'{}; frame-ancestors 'none'; base-uri 'none'",
        *STYLE_SOURCE,
        goes_to
            .map(|url| format!(" {}", source(url)))
            .unwrap_or_default()
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    let fixed: [(HeaderName, &str); 4] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Browsers hold the redirect after a form to `form-action` too. Addresses a policy cannot name (IPv6, apps)
/// are named by their scheme.
fn source(url: &Url) -> String {
    match url.host() {
        Some(url::Host::Domain(_) | url::Host::Ipv4(_))
            if matches!(url.scheme(), "http" | "https") =>
        {
            url.origin().ascii_serialization()
        }
        _ => format!("{}:", url.scheme()),
    }
}
