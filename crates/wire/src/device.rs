//! The device authorization grant (RFC 8628): the request for a code, and what a poll's refusal means.

use tenure_core::Secret;

use crate::answer::{Reading, Refusal, object, unusable};
use crate::client_auth::Client;
use crate::error::WireError;
use crate::json::{integer, string};
use crate::mask::Known;
use crate::server::{Ctx, Dialect, Server};
use crate::{Request, Response, oauth2, refusal};

/// Seconds between polls when the server does not say (RFC 8628 §3.2).
pub const DEFAULT_INTERVAL_S: u64 = 5;
/// What `slow_down` adds to the interval for good, in seconds (RFC 8628 §3.5).
pub const SLOW_DOWN_S: u64 = 5;
/// The required `expires_in` is missing from some answers; their codes live at least this long, in seconds.
const DEFAULT_EXPIRES_S: u64 = 600;
/// No server means a longer wait between polls than this, in seconds.
const MAX_INTERVAL_S: u64 = 300;

/// What the person and the poller need (RFC 8628 §3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceCode {
    /// For the poller.
    pub device_code: Secret,
    /// For the person to type.
    pub user_code: String,
    /// Where to type it.
    pub verification_uri: String,
    /// The same with the code in it, for a QR code.
    pub verification_uri_complete: Option<String>,
    /// Seconds until the codes die.
    pub expires_in: u64,
    /// Seconds between polls.
    pub interval: u64,
}

/// What a refused poll means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poll {
    /// Not yet; poll again after the interval.
    Pending,
    /// Not yet; poll again after the interval, which is longer by [`SLOW_DOWN_S`] from now on.
    SlowDown,
    /// The person said no.
    Denied,
    /// The codes are over; start anew.
    Expired,
    /// Anything else: the refusal itself tells.
    Failed,
}

/// The request for a code (RFC 8628 §3.1). `scope` is space separated.
pub fn request(
    server: &Server,
    client: &Client,
    scope: Option<&str>,
    ctx: &Ctx,
) -> Result<Request, WireError> {
    const ENDPOINT: &str = "device_authorization_endpoint";
    if server.dialect != Dialect::OAuth2 {
        return Err(WireError::NoSuchGrant {
            dialect: server.dialect.as_str(),
            grant: "device grant",
        });
    }
    let url = server
        .device_authorization_endpoint
        .as_ref()
        .ok_or(WireError::MissingEndpoint { endpoint: ENDPOINT })?;
    let mut params = Vec::new();
    // RFC 8628 §3.1 wants client_id in the body unless the client proves itself; every proof but `basic`
    // puts it there anyway.
    if client.auth == crate::ClientAuth::Basic {
        params.push(("client_id", client.id.as_str()));
    }
    if client.id.is_empty() {
        return Err(WireError::MissingClientId {
            needed_by: "the device login",
        });
    }
    params.extend(scope.map(|scope| ("scope", scope)));
    oauth2::client_request(ENDPOINT, url, server, client, &params, ctx)
}

/// Reads the codes. An answer that is no device answer at all is turned into a refusal that says so.
pub fn parse(response: &Response) -> Result<DeviceCode, Refusal> {
    let known = Known::default();
    let value =
        object(response, Reading::Plain).map_err(|why| not_an_answer(response, why, &known))?;
    let refused = || refusal::read(response, &value, Reading::Plain, &known);
    if !response.status().is_success() || refusal::says_no(&value) {
        return Err(refused());
    }
    let field = |path: &'static str| {
        string(&value, path).ok_or_else(|| {
            let mut refusal = refused();
            refusal.description = Some(format!(
                "the answer of the device authorization endpoint has no `{}`",
                path.split('|').next().unwrap_or(path)
            ));
            refusal
        })
    };
    let seconds =
        |path: &str| integer(&value, path).and_then(|seconds| u64::try_from(seconds).ok());
    Ok(DeviceCode {
        device_code: Secret::new(field("device_code")?),
        user_code: field("user_code")?.to_owned(),
        // Google's first name for it was `verification_url`.
        verification_uri: field("verification_uri|verification_url")?.to_owned(),
        verification_uri_complete: string(
            &value,
            "verification_uri_complete|verification_url_complete",
        )
        .map(str::to_owned),
        expires_in: seconds("expires_in")
            .filter(|seconds| *seconds > 0)
            .unwrap_or(DEFAULT_EXPIRES_S),
        interval: seconds("interval")
            .unwrap_or(DEFAULT_INTERVAL_S)
            .clamp(1, MAX_INTERVAL_S),
    })
}

fn not_an_answer(response: &Response, why: &'static str, known: &Known) -> Refusal {
    let unusable = unusable(response, why, known);
    Refusal {
        status: unusable.status,
        error: None,
        description: Some(format!(
            "the device authorization endpoint gave no answer that can be read ({why}, status {}); check its address",
            unusable.status
        )),
        sub: None,
        retry_after: unusable.retry_after,
        body: unusable.body_start,
    }
}

/// What a refused poll means (RFC 8628 §3.5).
pub fn poll(refusal: &Refusal) -> Poll {
    match refusal.error.as_deref() {
        Some("authorization_pending") => Poll::Pending,
        Some("slow_down") => Poll::SlowDown,
        // Entra: authorization_declined.
        Some("access_denied" | "authorization_declined") => Poll::Denied,
        Some("expired_token" | "code_expired") => Poll::Expired,
        _ => Poll::Failed,
    }
}
