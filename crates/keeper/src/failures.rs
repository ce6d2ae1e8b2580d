//! Failures the keeper names itself.

use tenure_core::{Class, Code, Failure, Generation, Heal, Who};
use tenure_wire::WireError;

use crate::config::SessionConfig;

/// There is no token and nothing that could bring one.
pub(crate) fn no_token(config: &SessionConfig, had_one: bool) -> Failure {
    let name = &config.name;
    let failure = if had_one {
        Failure::new(
            Code::TokenExpired,
            Class::AccessExpired,
            "no_refresh_token",
            Heal::Relogin,
            Who::User,
            format!(
                "the access token of session {name} has ended and there is nothing to renew it with"
            ),
        )
        .with_rule("keeper.not_renewable")
    } else {
        Failure::new(
            Code::AuthRequired,
            Class::AccessMissing,
            "not_logged_in",
            Heal::Relogin,
            Who::User,
            format!("nobody is logged in to session {name}"),
        )
        .with_rule("keeper.empty")
    };
    failure.with_command(format!("tenure login {name}"))
}

/// No exchange is begun any more.
pub(crate) fn stopping() -> Failure {
    Failure::new(
        Code::RefreshFailed,
        Class::RefreshFailed,
        "keeper_stopping",
        Heal::RetryLater,
        Who::Operator,
        "the keeper is shutting down and begins no further exchange",
    )
    .with_rule("keeper.stopping")
}

/// The pair in memory is not of the generation to be spent: a bug, and no reason to spend a wrong token.
pub(crate) fn wrong_generation(name: &str, wanted: Generation, held: Generation) -> Failure {
    Failure::new(
        Code::RefreshFailed,
        Class::RefreshFailed,
        "generation_mismatch",
        Heal::RetryLater,
        Who::Tenure,
        format!("session {name} wants to renew generation {wanted} but holds generation {held}; it reads the store again"),
    )
    .with_rule("keeper.generation_mismatch")
}

/// Evidence that names the key of the configuration that is missing or wrong.
pub const SETTING: &str = "setting";

/// The request cannot be made from what is configured.
pub(crate) fn unbuildable(error: &WireError) -> Failure {
    let failure = Failure::new(
        Code::InvalidRequest,
        Class::BadRequest,
        "request_cannot_be_made",
        Heal::FixConfig,
        Who::Operator,
        error.to_string(),
    )
    .with_rule("keeper.wire");
    match error.setting() {
        Some(key) => failure.with_evidence(SETTING, key, "configuration"),
        None => failure,
    }
}
