//! The device flow (RFC 8628): a code to type on another device.

use std::time::Duration;

use tenure_core::{Class, Code, Failure, Heal, Who};
use tenure_diagnose::{Grant, TokenFailure};
use tenure_http::Client;
use tenure_wire::device::{self, DeviceCode, Poll, SLOW_DOWN_S};
use tenure_wire::{Exchange, Refusal};

use super::{Answer, Desk, NewLogin};
use crate::clock;
use crate::config::SessionConfig;
use crate::exchange::transport;
use crate::failures::unbuildable;

/// Shows the code and the address by `show`, then polls at the server's pace until the person has decided.
///
/// # Errors
/// When the person said no, the codes ran out, or the server refused.
pub async fn device(
    http: &Client,
    config: &SessionConfig,
    mut show: impl FnMut(&DeviceCode) + Send,
) -> Result<NewLogin, Failure> {
    let desk = Desk::new(http, config).await?;
    let code = ask_for_code(&desk).await?;
    show(&code);
    let give_up = clock::mono() + code.expires_in.saturating_mul(1_000);
    let mut interval = Duration::from_secs(code.interval.max(1));
    loop {
        tokio::time::sleep(interval).await;
        if clock::mono() >= give_up {
            return Err(over(config));
        }
        let started = Exchange::device_token(
            &desk.server,
            &config.client,
            &code.device_code,
            &desk.wire_ctx(),
        );
        let refusal = match desk.ask(started, Grant::DeviceCode).await {
            Ok(Answer::Granted(granted)) => return Ok(desk.login(&granted, None)),
            Ok(Answer::Refused(refusal)) => refusal,
            // RFC 8628 §3.5: a poll that got no answer is repeated, more slowly.
            Err(failure) if failure.heal == Heal::RetryLater => {
                interval *= 2;
                continue;
            }
            Err(failure) => return Err(failure),
        };
        match device::poll(&refusal) {
            Poll::Pending => {}
            Poll::SlowDown => interval += Duration::from_secs(SLOW_DOWN_S),
            Poll::Expired => return Err(over(config)),
            Poll::Denied => return Err(denied(config, &refusal)),
            Poll::Failed => {
                return Err(desk.judge(TokenFailure::Refused(&refusal), Grant::DeviceCode));
            }
        }
    }
}

async fn ask_for_code(desk: &Desk<'_>) -> Result<DeviceCode, Failure> {
    let request = device::request(
        &desk.server,
        &desk.config.client,
        desk.scope().as_deref(),
        &desk.wire_ctx(),
    )
    .map_err(|error| unbuildable(&error))?;
    let response = desk
        .net()
        .send(request, desk.config.timing.exchange_timeout)
        .await
        .map_err(|fault| {
            desk.judge(
                TokenFailure::Transport(&transport(&fault)),
                Grant::DeviceCode,
            )
        })?;
    device::parse(&response)
        .map_err(|refusal| desk.judge(TokenFailure::Refused(&refusal), Grant::DeviceCode))
}

/// RFC 8628 §3.5, `access_denied`: a word for the login, not for a session there may be.
fn denied(config: &SessionConfig, refusal: &Refusal) -> Failure {
    let error = refusal.error.as_deref().unwrap_or("access_denied");
    let failure = Failure::new(
        Code::InvalidCredentials,
        Class::LoginRejected,
        "login_denied",
        Heal::Relogin,
        Who::User,
        "the login was refused on the page where its code was entered; nothing was changed here",
    )
    .with_evidence("status", refusal.status, "token endpoint")
    .with_evidence("error", error, "token endpoint")
    .with_rule("rfc8628.access_denied")
    .with_command(format!("tenure login {} --device", config.name));
    match refusal.description.as_deref() {
        Some(text) => failure.with_evidence(
            "error_description",
            tenure_wire::mask(text),
            "token endpoint",
        ),
        None => failure,
    }
}

fn over(config: &SessionConfig) -> Failure {
    Failure::new(
        Code::InvalidCredentials,
        Class::BadRequest,
        "device_code_expired",
        Heal::Relogin,
        Who::User,
        "the code was not confirmed in time",
    )
    .with_rule("keeper.device_code_expired")
    .with_command(format!("tenure login {} --device", config.name))
}
