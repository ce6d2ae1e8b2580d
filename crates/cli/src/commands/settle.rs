//! After a login or logout beside a running `tenure up`: returns when that one has taken it up, so that the
//! next request through its gateway already sees it.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use super::up::lock;
use crate::app::{App, http_client};
use crate::error::Outcome;

/// How long the running keeper is waited for; it follows the store within a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(15);

/// What the running keeper should show.
#[derive(Clone, Copy)]
pub enum Expected {
    /// At least this generation.
    Generation(u64),
    /// Nobody logged in.
    LoggedOut,
}

/// Waits until a running `tenure up` of this data directory shows it. Without one there is nothing to wait for.
pub async fn settle(app: &App, session: &str, expected: Expected) -> Outcome {
    let Some(admin) = lock::running_admin(&app.data.value) else {
        return Ok(());
    };
    let http = http_client()?;
    let url = format!("{}/api/v1/sessions/{session}", admin.trim_end_matches('/'));
    let seen = async {
        loop {
            let Ok(request) = http::Request::get(&url).body(Bytes::new()) else {
                return;
            };
            match http.send(request, PATIENCE, 65_536).await {
                Ok(response) if response.status().is_success() => {
                    if shows(response.body(), expected) {
                        return;
                    }
                }
                // It does not keep this session, or it is just stopping.
                _ => return,
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    if tokio::time::timeout(PATIENCE, seen).await.is_err() {
        app.out.warn(format!(
            "the running tenure up does not show the change yet; see {admin}"
        ));
    }
    Ok(())
}

fn shows(body: &[u8], expected: Expected) -> bool {
    let Ok(status) = serde_json::from_slice::<Value>(body) else {
        return true;
    };
    match expected {
        Expected::Generation(generation) => status["generation"].as_u64() >= Some(generation),
        Expected::LoggedOut => status["state"] == "empty",
    }
}
