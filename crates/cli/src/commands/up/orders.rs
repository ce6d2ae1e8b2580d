//! The sample API: orders, kept in a file, behind a verification layer.

use std::path::Path;
use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path as UrlPath, State};
use axum::http::{StatusCode, header};
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
use url::Url;

use crate::builtin::{API_PATH, SCOPE};
use crate::error::{CommandError, Outcome};

/// `PRAGMA application_id` of the file: "TnOr".
const APPLICATION_ID: i32 = 0x546e_4f72;
const MIGRATIONS: &[&str] = &["CREATE TABLE orders (id INTEGER PRIMARY KEY AUTOINCREMENT, item TEXT NOT NULL, quantity INTEGER NOT NULL);
    INSERT INTO orders (item, quantity) VALUES ('espresso beans, 1 kg', 2), ('oat milk, 1 l', 12), ('paper cups', 200);"];
/// Longest name of an item, in characters.
const ITEM_MAX: usize = 200;
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
    NotFound,
    Bad(String),
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
            Refused::NotFound => (StatusCode::NOT_FOUND, "there is no such order".to_owned()),
            Refused::Bad(why) => (StatusCode::BAD_REQUEST, why),
            Refused::Store(error) => {
                tracing::error!(%error, "the sample API cannot use its file");
                (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "orders cannot be read or written at present".to_owned(),
                )
            }
        };
        (status, Json(json!({ "error": why }))).into_response()
    }
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
        .layer(verifier.layer().require_scopes([SCOPE]))
        .with_state(db))
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
    let id: i64 = id.parse().map_err(|_| Refused::NotFound)?;
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
        .ok_or(Refused::NotFound)
}

async fn create(
    State(db): State<Db>,
    body: Result<Json<NewOrder>, JsonRejection>,
) -> Result<Response, Refused> {
    let Json(new) = body.map_err(|error| Refused::Bad(error.body_text()))?;
    if new.item.trim().is_empty() || new.item.chars().count() > ITEM_MAX || new.quantity == 0 {
        return Err(Refused::Bad(format!(
            "an order has an item of 1 to {ITEM_MAX} characters and a quantity of at least 1"
        )));
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
