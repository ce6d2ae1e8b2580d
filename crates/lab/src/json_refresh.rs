//! A plain API with JSON tokens: `POST /login`, `POST /refresh`, and 401 `{"error":"token_expired"}`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::jwt::random_hex;
use crate::record::lock;
use crate::reply::{self, Reply};
use crate::server::{ANY_PORT, App, Server};

/// The API. `POST /login` `{"username","password"}` (admin/secret) and `POST /refresh` `{"refresh_token"}`
/// answer `{"access_token","refresh_token","expires_in"}`; a refresh token is good for one use.
/// `GET`/`POST /orders` is protected.
#[derive(Debug)]
pub struct JsonRefresh {
    server: Server,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    clock: Arc<Clock>,
    access_ttl_ms: i64,
    /// Access tokens and their ends, in ms.
    access: HashMap<String, i64>,
    /// Refresh tokens, and whether they were used.
    refresh: HashMap<String, bool>,
    refreshes: usize,
    orders: Vec<Value>,
}

impl JsonRefresh {
    /// Starts the API; access tokens live 5 minutes.
    pub fn start() -> JsonRefresh {
        JsonRefresh::start_at(ANY_PORT)
    }

    /// Starts the API at this address.
    pub fn start_at(bind: SocketAddr) -> JsonRefresh {
        let clock = Arc::new(Clock::default());
        let state = Arc::new(Mutex::new(State {
            clock: Arc::clone(&clock),
            access_ttl_ms: 300_000,
            access: HashMap::new(),
            refresh: HashMap::new(),
            refreshes: 0,
            orders: Vec::new(),
        }));
        let app: Arc<App> = {
            let state = Arc::clone(&state);
            Arc::new(move |request: Request<Body>| {
                let state = Arc::clone(&state);
                Box::pin(async move {
                    let (parts, body) = request.into_parts();
                    let body = body
                        .collect()
                        .await
                        .map(http_body_util::Collected::to_bytes)
                        .unwrap_or_default();
                    let body = serde_json::from_slice(&body).unwrap_or_default();
                    lock(&state).answer(&parts.method, parts.uri.path(), &parts.headers, &body)
                })
            })
        };
        let server = Server::start(
            bind,
            clock,
            |uri| matches!(uri.path(), "/login" | "/refresh"),
            app,
        );
        JsonRefresh { server, state }
    }

    /// A login behind the curtain: its answer.
    pub fn issue(&self) -> Value {
        lock(&self.state).give()
    }

    /// Lifetime of access tokens given from now on, in ms.
    pub fn set_access_ttl_ms(&self, ms: i64) {
        lock(&self.state).access_ttl_ms = ms;
    }

    /// Ends all access tokens given so far, without moving the clock.
    pub fn expire_access_now(&self) {
        let mut state = lock(&self.state);
        let now = state.clock.now_ms();
        state.access.values_mut().for_each(|end| *end = now);
    }

    /// Refuses all refresh tokens given so far.
    pub fn revoke_refresh_tokens(&self) {
        lock(&self.state).refresh.clear();
    }

    /// How many refreshes were granted.
    pub fn refreshes(&self) -> usize {
        lock(&self.state).refreshes
    }

    /// The bodies of the orders accepted, in order.
    pub fn orders_posted(&self) -> Vec<Value> {
        lock(&self.state).orders.clone()
    }
}

impl std::ops::Deref for JsonRefresh {
    type Target = Server;
    fn deref(&self) -> &Server {
        &self.server
    }
}

impl State {
    fn answer(&mut self, method: &Method, path: &str, headers: &HeaderMap, body: &Value) -> Reply {
        match (method, path) {
            (&Method::POST, "/login")
                if body["username"] == "admin" && body["password"] == "secret" =>
            {
                reply::token_json(200, &self.give())
            }
            (&Method::POST, "/login") => {
                reply::json(401, &json!({ "error": "invalid_credentials" }))
            }
            (&Method::POST, "/refresh") => self.refresh(body),
            (_, "/orders") => match self.judge(headers) {
                Ok(()) => self.orders(method, body),
                Err(error) => reply::json(401, &json!({ "error": error })),
            },
            _ => reply::json(404, &json!({ "error": "not_found" })),
        }
    }

    fn give(&mut self) -> Value {
        let (access, refresh) = (
            format!("at-{}", random_hex(16)),
            format!("rt-{}", random_hex(16)),
        );
        self.access
            .insert(access.clone(), self.clock.now_ms() + self.access_ttl_ms);
        self.refresh.insert(refresh.clone(), false);
        json!({ "access_token": access, "refresh_token": refresh, "expires_in": (self.access_ttl_ms + 999) / 1000 })
    }

    fn refresh(&mut self, body: &Value) -> Reply {
        let Some(token) = body["refresh_token"].as_str() else {
            return reply::json(400, &json!({ "error": "refresh_token_missing" }));
        };
        match self.refresh.get_mut(token) {
            Some(used) if !*used => {
                *used = true;
                self.refreshes += 1;
                reply::token_json(200, &self.give())
            }
            Some(_) => reply::json(401, &json!({ "error": "refresh_token_reused" })),
            None => reply::json(401, &json!({ "error": "refresh_token_invalid" })),
        }
    }

    fn judge(&self, headers: &HeaderMap) -> Result<(), &'static str> {
        let header = headers
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        let token = header
            .and_then(|header| header.strip_prefix("Bearer "))
            .ok_or("token_missing")?;
        let end = self.access.get(token).ok_or("token_invalid")?;
        if self.clock.now_ms() >= *end {
            Err("token_expired")
        } else {
            Ok(())
        }
    }

    fn orders(&mut self, method: &Method, body: &Value) -> Reply {
        if method == Method::POST {
            self.orders.push(body.clone());
            return reply::json(
                201,
                &json!({ "number": self.orders.len(), "received": body }),
            );
        }
        reply::json(200, &json!({ "orders": [] }))
    }
}
