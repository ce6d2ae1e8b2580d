//! The REST API of a WordPress token plugin, one per issuer: `/wp-json/…`, or `/?rest_route=…`.

mod index;
mod login;
mod page;
mod reply;
mod request;
mod tmeister;
mod usefulteam;
mod wcpos;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::json;
use tenure_verify::{Refusal, WordpressPlugin};

use self::reply::{bad_json, failed, no_route, refused, rest_json, wp_error};
use self::request::{BadJson, Rest};
use super::{astray, owned};
use crate::issuer::Issuer;
use crate::peer::Peer;
use crate::wordpress::{Known, Refused, WordPress};

/// The routes of the dialect that is configured, if one is.
pub(super) fn router(issuer: &Issuer) -> Router<Arc<Issuer>> {
    let Some(speaks) = issuer.options.wordpress else {
        return Router::new().route("/", get(astray::root));
    };
    let router = Router::new()
        .route("/wp-json", any(rest))
        .route("/wp-json/", any(rest))
        .route("/wp-json/{*route}", any(rest))
        .route("/", get(front).fallback(rest))
        .route("/index.php", any(rest));
    if speaks.plugin == WordpressPlugin::Wcpos {
        router.route("/wcpos-auth", get(page::show).post(page::submit))
    } else {
        router
    }
}

/// One request to the REST API.
struct Asked {
    issuer: Arc<Issuer>,
    speaks: WordPress,
    rest: Rest,
    peer: Peer,
}

/// `/`: the REST API where permalinks are plain (`/?rest_route=…`), else the page of this server.
async fn front(
    State(issuer): State<Arc<Issuer>>,
    peer: Peer,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if Rest::read(method.clone(), &uri, headers.clone(), &body).is_none() {
        return astray::root(State(issuer), headers).await;
    }
    rest(State(issuer), peer, method, uri, headers, body).await
}

async fn rest(
    State(issuer): State<Arc<Issuer>>,
    peer: Peer,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(speaks) = issuer.options.wordpress else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let rest = match Rest::read(method, &uri, headers, &body) {
        None => return StatusCode::NOT_FOUND.into_response(),
        Some(Err(BadJson)) => return bad_json(),
        Some(Ok(rest)) => rest,
    };
    let asked = Asked {
        issuer: Arc::clone(&issuer),
        speaks,
        rest,
        peer,
    };
    owned(&issuer, async move { answer(&asked).await }).await
}

async fn answer(asked: &Asked) -> Response {
    let known = match before(asked) {
        Ok(known) => known,
        Err(response) => return *response,
    };
    let (issuer, speaks, rest) = (&asked.issuer, &asked.speaks, &asked.rest);
    if rest.method == Method::GET {
        match rest.route.as_str() {
            "/" => return index::index(issuer, speaks),
            "/wp/v2/users/me" => return who(asked, known.as_ref()).await,
            route => {
                if let Some(response) = index::namespace(issuer, speaks, route) {
                    return response;
                }
            }
        }
    }
    let response = match speaks.plugin {
        WordpressPlugin::Tmeister => tmeister::route(asked).await,
        WordpressPlugin::Usefulteam => usefulteam::route(asked).await,
        WordpressPlugin::Wcpos => wcpos::route(asked, known.as_ref()).await,
    };
    response.unwrap_or_else(no_route)
}

/// What every plugin does before any route: it finds out who asks, or answers itself.
fn before(asked: &Asked) -> Result<Option<Known>, Box<Response>> {
    match asked.speaks.plugin {
        WordpressPlugin::Tmeister => tmeister::before(asked),
        WordpressPlugin::Usefulteam => Ok(usefulteam::judge(asked).ok()),
        WordpressPlugin::Wcpos => wcpos::before(asked),
    }
}

impl Asked {
    /// Judges the token of an `Authorization: Bearer …` header, in this very case, as both `jwt_auth` plugins read it.
    fn judge_bearer(&self) -> Result<Known, Refused> {
        let Some(header) = self.rest.authorization() else {
            return Err(Refused::Token(Refusal::Missing));
        };
        let token = header.strip_prefix("Bearer ").map(str::trim);
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            return Err(Refused::Token(Refusal::BadRequest(
                "The Authorization header has no token after Bearer",
            )));
        };
        self.judge(token)
    }

    /// Whether a bad token is judged on every route: by Tmeister's plugin, and with codes that say why.
    fn says_why(&self) -> bool {
        self.speaks.distinct_codes || self.speaks.plugin == WordpressPlugin::Tmeister
    }

    fn judge(&self, token: &str) -> Result<Known, Refused> {
        self.issuer.judge_wordpress(&self.speaks, token)
    }
}

/// `GET /wp/v2/users/me`: core's own way of asking who a token is of.
async fn who(asked: &Asked, known: Option<&Known>) -> Response {
    let Some(known) = known else {
        return nobody(asked);
    };
    let issuer = &asked.issuer;
    let profile = match issuer.user_of(known.family).await {
        Ok(Some(user_id)) => login::profile(issuer, &user_id).await,
        Ok(None) => Ok(None),
        Err(error) => Err(error),
    };
    match profile {
        Ok(Some(user)) => rest_json(
            StatusCode::OK,
            &json!({ "id": known.number, "name": user.name, "slug": user.slug }),
        ),
        // Ended a moment ago, by another process.
        Ok(None) if asked.says_why() => refused(&asked.speaks, &Refused::Token(Refusal::Revoked)),
        Ok(None) => anonymous(),
        Err(error) => failed(&error),
    }
}

/// Where the dialect says why a token is bad on every route, it is said here, too.
fn nobody(asked: &Asked) -> Response {
    let judged = match asked.speaks.plugin {
        WordpressPlugin::Wcpos => wcpos::judge(asked),
        _ => asked.judge_bearer(),
    };
    match judged {
        // No token, or what belongs to another scheme: nothing was wrong with a token.
        Ok(_) | Err(Refused::Token(Refusal::Missing | Refusal::BadRequest(_))) => anonymous(),
        Err(why) if asked.says_why() => refused(&asked.speaks, &why),
        Err(_) => anonymous(),
    }
}

fn anonymous() -> Response {
    wp_error(
        StatusCode::UNAUTHORIZED,
        "rest_not_logged_in",
        "You are not currently logged in.",
    )
}
