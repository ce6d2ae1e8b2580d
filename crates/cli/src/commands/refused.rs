//! A login that failed: at which server, what it said, and what to do.

use tenure_core::{Class, Code, Failure, Heal};
use tenure_keeper::{Endpoints, SETTING};

use super::ISSUER_IN_UP;
use crate::app::{App, Setup};
use crate::args;
use crate::config::Spec;
use crate::error::{CommandError, Exit};

/// Says which session at which server it is about, and what to do. What is wrong before any server is asked is told
/// as it is.
pub fn placed(app: &App, spec: &Spec, args: &args::Login, mut error: CommandError) -> CommandError {
    let Some(failure) = error.failure.take() else {
        return error;
    };
    if let Some(fix) = setting(spec, &failure) {
        for problem in &mut error.problems {
            problem.place.get_or_insert(spec.origin.to_string());
            problem.fix = Some(fix.clone());
        }
        error.failure = Some(failure);
        return super::about(&spec.name, error);
    }
    let fix = fix(app, spec, args, &failure, error.exit);
    let server = server(spec);
    for problem in &mut error.problems {
        let place = if problem.what.contains(server.trim_end_matches('/')) {
            format!("session {}", spec.name)
        } else {
            format!("session {} at {server}", spec.name)
        };
        problem.place.get_or_insert(place);
        let known = problem.fix.take().filter(|fix| !fix.starts_with("run `"));
        problem.fix = known.or_else(|| fix.clone());
    }
    error.failure = Some(failure);
    error
}

/// What to do where the configuration lacks something that this login needs.
fn setting(spec: &Spec, failure: &Failure) -> Option<String> {
    let missing = failure.evidence.iter().find(|fact| fact.kind == SETTING)?;
    Some(format!(
        "set `{}` of [sessions.{}], or log in another way (`tenure login --help`)",
        missing.value, spec.name
    ))
}

/// The address that the configuration names: the issuer, else where tokens are got.
fn server(spec: &Spec) -> String {
    let url = match &spec.config.endpoints {
        Endpoints::Discover { issuer, .. } => issuer,
        Endpoints::Known(server) => &server.token_endpoint,
    };
    url.as_str().trim_end_matches('/').to_owned()
}

/// What to do; `None` where nothing better is known than the code's own advice.
fn fix(
    app: &App,
    spec: &Spec,
    args: &args::Login,
    failure: &Failure,
    exit: Exit,
) -> Option<String> {
    let again = again(args);
    if is_unreachable(failure) {
        return Some(match &app.setup {
            Setup::BuiltIn(_) => ISSUER_IN_UP.to_owned(),
            Setup::File(_) => format!(
                "see that the server runs and can be reached from here, then type `{again}` again"
            ),
        });
    }
    match (failure.root().code, failure.heal) {
        (Code::InvalidCredentials, _) => Some(format!(
            "check the user name and the password, then type `{again}` again"
        )),
        (Code::ClientRejected, _) => Some(format!(
            "check `client_id` and `client_secret` of the session ({}): the server knows no such client, or another secret",
            spec.origin
        )),
        (Code::ClientNotAllowed, _) => Some(format!(
            "allow the client `{}` this way to log in at the server, or choose another: --browser, --device or --password",
            spec.config.client.id
        )),
        (_, Heal::Relogin) => Some(format!("type `{again}` again")),
        _ if exit == Exit::TryLater => Some(format!("type `{again}` again in a while")),
        _ => None,
    }
}

fn is_unreachable(failure: &Failure) -> bool {
    matches!(
        failure.root().class,
        Class::Timeout
            | Class::ConnectionRefused
            | Class::ConnectionReset
            | Class::NetworkUnreachable
    )
}

/// The command as it was typed, without what a prompt asks for.
fn again(args: &args::Login) -> String {
    let mut text = format!("tenure login {}", args.session);
    for (given, flag) in [
        (args.browser, " --browser"),
        (args.device, " --device"),
        (args.password, " --password"),
        (args.remember, " --remember"),
    ] {
        if given {
            text.push_str(flag);
        }
    }
    if let Some(path) = &args.import {
        text += " --import ";
        text += &path.display().to_string();
    }
    text
}
