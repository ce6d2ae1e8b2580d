//! The sample API: orders, kept in a file, behind a verification layer.

use std::path::Path;
use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, OriginalUri, Path as UrlPath, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use rusqlite::{OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tenure_issuer::Issuer;
use tenure_store::StoreError;
use tenure_store::sqlite::Db;
use tenure_verify::{Claims, KeySource, Verifier};
use tenure_wire::resource;
use url::Url;

use crate::builtin::{API_PATH, SCOPE, SESSION};
use crate::error::{CommandError, Outcome};

/// `PRAGMA application_id` of the file: "TnOr".
const APPLICATION_ID: i32 = 0x546e_4f72;
const MIGRATIONS: &[&str] = &["CREATE TABLE orders (id INTEGER PRIMARY KEY AUTOINCREMENT, item TEXT NOT NULL, quantity INTEGER NOT NULL);
    INSERT INTO orders (item, quantity) VALUES ('espresso beans, 1 kg', 2), ('oat milk, 1 l', 12), ('paper cups', 200);"];
/// Longest name of an item, in characters.
const ITEM_MAX: usize = 200;
/// Largest body, in bytes; an order is far smaller.
const BODY_MAX: usize = 1024 * 1024;
/// How many orders are listed.
const LIST_MAX: u32 = 1_000;

#[derive(Serialize)]
struct Order {
    id: i64,
    item: String,
    quantity: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewOrder {
    item: String,
    quantity: u32,
}

/// What a request cannot have.
enum Refused {
    NotFound(String),
    /// The request is wrong in itself.
    Bad(StatusCode, String),
    Store(StoreError),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Refused::Store(error)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, why) = match self {
            Refused::NotFound(why) => (StatusCode::NOT_FOUND, why),
            Refused::Bad(status, why) => (status, why),
            Refused::Store(error) => {
                tracing::error!(%error, "the sample API cannot use its file");
                (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "orders cannot be read or written at present".to_owned(),
                )
            }
        };
        // RFC 9457.
        let problem = json!({
            "type": "about:blank",
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "detail": why,
        });
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        (status, kind, problem.to_string()).into_response()
    }
}

/// What the API says about itself (RFC 9728 §2), and where that is: at the root of its server.
pub fn metadata(issuer: &Issuer, audience: &Url) -> Router {
    let metadata = json!({
        "resource": audience,
        "authorization_servers": [issuer.id()],
        "scopes_supported": [SCOPE],
        "bearer_methods_supported": ["header"],
        "resource_name": "Tenure's sample API",
    });
    let place = resource::url(audience).path().to_owned();
    Router::new()
        .route(&place, get(move || async move { Json(metadata) }))
        // The API's root with a slash: what is nested there does not see it.
        .route(&format!("{API_PATH}/"), get(about))
}

/// The API: `GET /orders`, `GET /orders/{id}`, `POST /orders`, with a token of `issuer` for `audience`.
pub async fn router(
    data: &Path,
    issuer: &Arc<Issuer>,
    issuer_url: &Url,
    audience: &Url,
) -> Outcome<Router> {
    let path = data.join("orders.db");
    let opened =
        tokio::task::spawn_blocking(move || Db::open(path, MIGRATIONS, APPLICATION_ID)).await;
    let db = opened.map_err(|error| CommandError::failed(error.to_string()))??;
    let jwks = issuer_url
        .join("jwks.json")
        .map_err(|error| CommandError::failed(format!("{issuer_url}: {error}")))?;
    let revocations = issuer.revocations();
    let text = |claims: &Claims, name: &str| {
        claims
            .get(name)
            .and_then(|value| value.as_str())
            .map(str::to_owned)
    };
    let verifier = Verifier::builder(KeySource::url(jwks))
        .issuer(issuer.id())
        .audience(audience.as_str())
        .typ("at+jwt")
        .realm("orders")
        .resource_metadata(resource::url(audience))
        // Issuer and API share one clock.
        .leeway_s(0)
        .revocation(move |claims: &Claims| {
            revocations.is_revoked(
                text(claims, "jti").as_deref(),
                text(claims, "sid").as_deref(),
                claims.get("iat").and_then(serde_json::Value::as_i64),
            )
        })
        .build()
        .map_err(|error| {
            CommandError::failed(format!("the sample API cannot verify tokens: {error}"))
        })?;
    Ok(Router::new()
        .route("/orders", get(list).post(create))
        .route("/orders/{id}", get(one))
        .method_not_allowed_fallback(wrong_method)
        .route_layer(verifier.layer().require_scopes([SCOPE]))
        .route("/", get(about))
        .fallback(elsewhere)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(db))
}

/// What this is, for whoever comes without knowing.
async fn about(OriginalUri(uri): OriginalUri) -> Response {
    let base = uri.path().trim_end_matches('/');
    Json(json!({
        "about": "Tenure's sample API: orders, for whoever has an access token. Through the gateway no caller needs one.",
        "list": format!("GET {base}/orders"),
        "one": format!("GET {base}/orders/1"),
        "new": format!("POST {base}/orders {{\"item\":\"tea\",\"quantity\":3}}"),
        "try": format!("tenure request {SESSION} GET /orders"),
    }))
    .into_response()
}

async fn elsewhere(OriginalUri(uri): OriginalUri) -> Response {
    let why = format!(
        "there is nothing at {}; the sample API has {API_PATH}/orders and {API_PATH}/orders/1",
        uri.path()
    );
    Refused::NotFound(why).into_response()
}

async fn wrong_method(method: Method, OriginalUri(uri): OriginalUri) -> Response {
    let why = format!(
        "{} is not asked with {method}; `Allow` names what it takes",
        uri.path()
    );
    Refused::Bad(StatusCode::METHOD_NOT_ALLOWED, why).into_response()
}

fn order(row: &Row<'_>) -> rusqlite::Result<Order> {
    Ok(Order {
        id: row.get(0)?,
        item: row.get(1)?,
        quantity: row.get(2)?,
    })
}

async fn list(State(db): State<Db>) -> Result<Response, Refused> {
    let orders = db
        .read(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT id, item, quantity FROM orders ORDER BY id DESC LIMIT ?1",
            )?;
            statement
                .query_map([LIST_MAX], order)?
                .collect::<rusqlite::Result<Vec<_>>>()
        })
        .await?;
    Ok(Json(json!({ "orders": orders })).into_response())
}

async fn one(State(db): State<Db>, UrlPath(id): UrlPath<String>) -> Result<Response, Refused> {
    let unknown = || Refused::NotFound("there is no such order".to_owned());
    let id: i64 = id.parse().map_err(|_| unknown())?;
    let found = db
        .read(move |conn| {
            conn.query_row(
                "SELECT id, item, quantity FROM orders WHERE id = ?1",
                [id],
                order,
            )
            .optional()
        })
        .await?;
    found
        .map(|order| Json(order).into_response())
        .ok_or_else(unknown)
}

/// Why a body is no order.
fn unreadable(error: &JsonRejection) -> Refused {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refused::Bad(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!(
                "the body is larger than {} KiB, the most this API takes",
                BODY_MAX / 1024
            ),
        ),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Refused::Bad(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "send the order as JSON, with `Content-Type: application/json`".to_owned(),
        ),
        _ => Refused::Bad(StatusCode::BAD_REQUEST, error.body_text()),
    }
}

async fn create(
    State(db): State<Db>,
    body: Result<Json<NewOrder>, JsonRejection>,
) -> Result<Response, Refused> {
    let Json(new) = body.map_err(|error| unreadable(&error))?;
    if new.item.trim().is_empty() || new.item.chars().count() > ITEM_MAX || new.quantity == 0 {
        return Err(Refused::Bad(
            StatusCode::BAD_REQUEST,
            format!(
                "an order has an item of 1 to {ITEM_MAX} characters and a quantity of at least 1"
            ),
        ));
    }
    let order = db
        .write(move |tx| {
            tx.execute(
                "INSERT INTO orders (item, quantity) VALUES (?1, ?2)",
                params![new.item, new.quantity],
            )?;
            Ok(Order {
                id: tx.last_insert_rowid(),
                item: new.item,
                quantity: new.quantity,
            })
        })
        .await?;
    let place = format!("{API_PATH}/orders/{}", order.id);
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, place)],
        Json(order),
    )
        .into_response())
}
