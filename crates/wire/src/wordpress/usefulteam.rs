//! "JWT Auth" (usefulteam) 3.x: the refresh token is a cookie.
//!
//! POST `/token` with the cookie and no credentials yields a new access token; POST `/token/refresh` yields
//! no token, only a new cookie. What is kept as the refresh secret is the cookie's value.

use http::header::{COOKIE, HeaderMap, SET_COOKIE};
use serde_json::Value;
use tenure_core::Secret;
use url::Url;

use crate::answer::Granted;
use crate::error::WireError;
use crate::json::string;
use crate::request::secret_header;
use crate::server::{Ctx, Server};
use crate::{Request, request};

const COOKIE_NAME: &str = "refresh_token";

/// A refresh cookie as a server set it.
pub(crate) struct RefreshCookie {
    pub(crate) value: Secret,
    /// Seconds from now.
    pub(crate) expires_in: Option<i64>,
}

pub(crate) fn login(
    server: &Server,
    username: &str,
    password: &Secret,
) -> Result<Request, WireError> {
    let mut fields = vec![("username", username), ("password", password.expose())];
    fields.extend(extra(server));
    request::json(
        "login_endpoint",
        super::login_url(server),
        HeaderMap::new(),
        &fields,
    )
}

/// A new access token for the cookie.
pub(crate) fn access(server: &Server, cookie: &Secret) -> Result<Request, WireError> {
    with_cookie(server, &server.token_endpoint, cookie)
}

/// A new cookie for the cookie.
pub(crate) fn rotate(server: &Server, cookie: &Secret) -> Result<Request, WireError> {
    with_cookie(server, &rotation_url(&server.token_endpoint), cookie)
}

fn with_cookie(server: &Server, url: &Url, cookie: &Secret) -> Result<Request, WireError> {
    let cookie_ok = |b: u8| b.is_ascii_graphic() && !matches!(b, b';' | b',' | b'"' | b'\\');
    if !cookie.expose().bytes().all(cookie_ok) {
        return Err(WireError::Unsendable {
            what: "refresh cookie",
        });
    }
    let mut headers = HeaderMap::new();
    let header = format!("{COOKIE_NAME}={}", cookie.expose());
    headers.insert(COOKIE, secret_header("refresh cookie", &header)?);
    let fields: Vec<_> = extra(server).collect();
    if fields.is_empty() {
        request::empty("token_endpoint", url, headers)
    } else {
        request::json("token_endpoint", url, headers, &fields)
    }
}

fn extra(server: &Server) -> impl Iterator<Item = (&str, &str)> {
    server
        .extra_refresh_params
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
}

/// `…/token` → `…/token/refresh`, also where the route stands in `?rest_route=`.
fn rotation_url(token: &Url) -> Url {
    let append = |path: &str| format!("{}/refresh", path.trim_end_matches('/'));
    let mut url = token.clone();
    let is_route = |name: &str| name == "rest_route";
    if token.query_pairs().any(|(name, _)| is_route(&name)) {
        let pairs: Vec<(String, String)> = token
            .query_pairs()
            .map(|(name, value)| {
                let value = if is_route(&name) {
                    append(&value)
                } else {
                    value.into_owned()
                };
                (name.into_owned(), value)
            })
            .collect();
        url.query_pairs_mut().clear().extend_pairs(pairs);
    } else {
        url.set_path(&append(token.path()));
    }
    url
}

/// `{success, statusCode, code, message, data: {token, …}}`, and at login the cookie.
pub(crate) fn granted(value: &Value, headers: &HeaderMap, ctx: &Ctx) -> Option<Granted> {
    let token = Secret::new(string(value, "/data/token")?);
    let mut granted = Granted::new(token, ctx.now_s);
    if let Some(cookie) = refresh_cookie(headers, ctx) {
        granted.refresh = Some(cookie.value);
        granted.refresh_expires_in = cookie.expires_in;
    }
    Some(granted)
}

/// The refresh cookie among the `Set-Cookie` headers; the last one counts, a deletion counts as none.
pub(crate) fn refresh_cookie(headers: &HeaderMap, ctx: &Ctx) -> Option<RefreshCookie> {
    headers
        .get_all(SET_COOKIE)
        .iter()
        .filter_map(|header| header.to_str().ok())
        .filter_map(|text| parse_cookie(text, ctx))
        .next_back()
}

/// RFC 6265 §5.2, as far as it matters: name, value, `Max-Age` before `Expires`.
fn parse_cookie(text: &str, ctx: &Ctx) -> Option<RefreshCookie> {
    let mut parts = text.split(';').map(str::trim);
    let (name, value) = parts.next()?.split_once('=')?;
    let value = value.trim().trim_matches('"');
    if name.trim() != COOKIE_NAME || value.is_empty() || value == "deleted" {
        return None;
    }
    let (mut max_age, mut expires) = (None, None);
    for (name, attribute) in parts.filter_map(|part| part.split_once('=')) {
        if name.eq_ignore_ascii_case("max-age") {
            max_age = attribute.trim().parse::<i64>().ok();
        } else if name.eq_ignore_ascii_case("expires") {
            expires = instant(attribute).map(|at| at.saturating_sub(ctx.now_s));
        }
    }
    let expires_in = max_age.or(expires);
    expires_in
        .is_none_or(|seconds| seconds > 0)
        .then(|| RefreshCookie {
            value: Secret::new(value),
            expires_in,
        })
}

/// PHP writes `Tue, 14-May-2024 09:36:53 GMT`; the standard has blanks in place of the dashes.
fn instant(text: &str) -> Option<i64> {
    let at = httpdate::parse_http_date(&text.trim().replace('-', " ")).ok()?;
    let since = at.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn ctx() -> Ctx {
        Ctx {
            now_s: 1_715_679_413 - 60, // Tue, 14 May 2024 09:35:53 GMT
            jti: "j".into(),
        }
    }

    fn cookie(text: &str) -> Option<(String, Option<i64>)> {
        let mut headers = HeaderMap::new();
        headers.append(
            SET_COOKIE,
            HeaderValue::from_static("wordpress_test=1; path=/"),
        );
        headers.append(SET_COOKIE, HeaderValue::from_str(text).expect("a header"));
        refresh_cookie(&headers, &ctx())
            .map(|cookie| (cookie.value.expose().to_owned(), cookie.expires_in))
    }

    #[test]
    fn cookies_as_php_sets_them() {
        assert_eq!(
            cookie(
                "refresh_token=7.ab; expires=Tue, 14-May-2024 09:36:53 GMT; Max-Age=61; path=/; HttpOnly"
            ),
            Some(("7.ab".into(), Some(61)))
        );
        assert_eq!(
            cookie("refresh_token=7.ab; expires=Tue, 14-May-2024 09:36:53 GMT; path=/"),
            Some(("7.ab".into(), Some(60)))
        );
        assert_eq!(
            cookie("refresh_token=7.ab; Expires=Tue, 14 May 2024 09:36:53 GMT"),
            Some(("7.ab".into(), Some(60)))
        );
        assert_eq!(cookie("refresh_token=7.ab"), Some(("7.ab".into(), None)));
    }

    #[test]
    fn deletions_and_other_cookies_are_none() {
        for text in [
            "refresh_token=deleted; Max-Age=0",
            "refresh_token=; Max-Age=3",
            "refresh_token=x; Max-Age=0",
            "refresh_token=x; expires=Thu, 01-Jan-1970 00:00:01 GMT",
            "other=x",
            "rubbish",
        ] {
            assert_eq!(cookie(text), None, "{text}");
        }
    }

    #[test]
    fn the_rotation_route_in_both_address_forms() {
        let of = |text: &str| rotation_url(&text.parse().expect("a url")).to_string();
        assert_eq!(
            of("https://shop.example/wp-json/jwt-auth/v1/token"),
            "https://shop.example/wp-json/jwt-auth/v1/token/refresh"
        );
        assert_eq!(
            of("https://shop.example/?rest_route=/jwt-auth/v1/token&lang=nl"),
            "https://shop.example/?rest_route=%2Fjwt-auth%2Fv1%2Ftoken%2Frefresh&lang=nl"
        );
    }
}
