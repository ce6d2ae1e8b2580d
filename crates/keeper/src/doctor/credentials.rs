//! Tokens, keys and the client: looked at, asked about, never spent.

use std::time::Instant;

use tenure_core::{Class, Code, Failure, Heal, Secret, Who};
use tenure_diagnose::doctor::token::{self as judge, Around, RefreshAge};
use tenure_diagnose::doctor::{Check, CheckId, Fix};
use tenure_diagnose::{Local, TokenFailure, classify_token};
use tenure_jose::{JwkSet, KeySet, Peek, Reason, peek, verify_signature};
use tenure_wire::ask::{client_answer, client_question, introspection, introspection_answer};
use tenure_wire::discovery::get;

use super::{Exam, Found, Patient};
use crate::clock;
use crate::rows::Renewer;

/// A session begun with a refresh token alone.
const NO_ACCESS_YET: &str = "there is no access token yet: the first use gets one";

/// The session's access token and what is known of it at home.
#[derive(Default)]
pub(super) struct Token<'a> {
    pub(super) access: Option<&'a Secret>,
    pub(super) scope: Option<&'a str>,
    /// Seconds until it ends by what the store knows.
    pub(super) left_s: Option<i64>,
    /// Something renews it without a person.
    pub(super) renewable: bool,
}

/// Looks at the stored pair.
pub(super) fn token<'a>(exam: &mut Exam<'_>, patient: &Patient<'a>, found: &Found) -> Token<'a> {
    let config = patient.config;
    let pair = patient.record.and_then(|record| record.pair.as_ref());
    let Some(pair) = pair else {
        let ids = [
            CheckId::Token,
            CheckId::Lifetime,
            CheckId::Audience,
            CheckId::Refresh,
        ];
        exam.skip(&ids, "there is no token");
        return Token::default();
    };
    let login = patient.record.and_then(|record| record.secret.as_ref());
    let latched = patient.record.is_some_and(|record| record.latch.is_some());
    let renewable = !matches!(Renewer::of(config, Some(pair), login), Renewer::None) && !latched;
    let server_ms = exam.net.server_now_ms(&found.server.token_endpoint);
    let gone_s = pair
        .issued
        .elapsed(clock::boot_id(), clock::now(), Some(server_ms))
        / 1_000;
    let left = |ms: u64| (ms / 1_000) as i64 - gone_s as i64;
    let mut token = Token {
        access: Some(&pair.access).filter(|access| !access.expose().is_empty()),
        scope: pair.scope.as_deref(),
        left_s: pair.access_ms.map(left),
        renewable,
    };
    let refresh = match &pair.refresh {
        None => Check::skipped(CheckId::Refresh, "there is none"),
        Some(_) => judge::refresh_age(
            &config.name,
            RefreshAge {
                age_s: gone_s,
                left_s: pair.refresh_ms.map(left),
                idle_s: config.profile.lifetimes.refresh_idle_s,
            },
        ),
    };
    let Some(access) = token.access else {
        // Its end stands for "renew at once", and says nothing of a token.
        token.left_s = None;
        let ids = [CheckId::Token, CheckId::Lifetime, CheckId::Audience];
        exam.skip(&ids, NO_ACCESS_YET);
        exam.done(Instant::now(), refresh);
        return token;
    };
    let around = Around {
        session: &config.name,
        now_s: server_ms.div_euclid(1_000),
        by_server: exam.net.clocks.of(&found.server.token_endpoint).is_some(),
        left_s: token.left_s,
        renewable: token.renewable,
    };
    let looked = peek(access.expose());
    let mut note = |check: Check| exam.done(Instant::now(), check);
    note(judge::times(&looked, &around));
    note(judge::lifetime(pair.access_ms.map(|ms| ms / 1_000)));
    note(origin(patient, found, looked.as_ref().ok()));
    note(refresh);
    token
}

fn origin(patient: &Patient<'_>, found: &Found, peek: Option<&Peek>) -> Check {
    let Some(peek) = peek else {
        return Check::skipped(CheckId::Audience, "only the server can read the token");
    };
    let site = found.index.as_ref().and_then(|index| index.url.as_ref());
    let issuer = if found.wordpress {
        // The plugins write the site's own address, without a slash at the end.
        site.map(|url| url.as_str().trim_end_matches('/').to_owned())
    } else {
        let metadata = found.metadata.as_ref();
        metadata
            .map(|metadata| metadata.issuer.clone())
            .or_else(|| found.server.issuer.clone())
    };
    // Some servers name another issuer than their own in their tokens.
    let issuer = issuer.filter(|own| {
        let profile = &patient.config.profile;
        !peek
            .iss()
            .is_some_and(|found| profile.issues_as(own, found))
    });
    let upstream = patient.config.upstream.as_ref();
    judge::origin(peek, issuer.as_deref(), upstream.map(url::Url::as_str))
}

/// Whether the server knows the client.
pub(super) async fn client(exam: &mut Exam<'_>, patient: &Patient<'_>, found: &Found, there: bool) {
    let config = patient.config;
    let paused = patient.pace.is_some_and(|pace| pace.wait_ms > 0);
    let why = if !there {
        return; // Said already.
    } else if config.blocked.is_some() {
        "its secret cannot be read"
    } else if !found.usable {
        "where the token endpoint is, is not known"
    } else if paused {
        "the token endpoint asked to be left alone"
    } else {
        ""
    };
    if !why.is_empty() {
        exam.skip(&[CheckId::Client], why);
        return;
    }
    let began = Instant::now();
    let ctx = exam.net.wire_ctx(&found.server.token_endpoint);
    let request = match client_question(&found.server, &config.client, &ctx) {
        Ok(Some(request)) => request,
        Ok(None) => {
            exam.skip(&[CheckId::Client], "it has no credentials to check");
            return;
        }
        Err(error) => {
            exam.skip(&[CheckId::Client], &error.to_string());
            return;
        }
    };
    let check = match exam.ask(request).await {
        Err(failure) => Check::fail(CheckId::Client, failure),
        Ok(response) => {
            let refusal = client_answer(&response, &config.client);
            let local = Local {
                session: config.name.clone(),
                ..Local::default()
            };
            let verdict = classify_token(exam.profile, TokenFailure::Refused(&refusal), &local);
            let failure = verdict.failure().clone();
            let said = refusal.error.as_deref().unwrap_or("nothing");
            match failure.class {
                Class::ClientInvalid | Class::ClientUnauthorized => {
                    Check::fail(CheckId::Client, failure).fix(Fix::new(
                        Who::Operator,
                        format!(
                            "Compare `client_id`, `client_secret` and `client_auth` of [sessions.{}] with what is registered at the server",
                            config.name
                        ),
                    ))
                }
                _ if said == "invalid_grant" => Check::ok(
                    CheckId::Client,
                    "known: the server refused the grant made up for this, not the client",
                ),
                _ => Check::skipped(
                    CheckId::Client,
                    format!("cannot be told: the server answered {} {said}", refusal.status),
                ),
            }
            .fact("asked_with", "a refresh token nobody gave", "doctor")
        }
    };
    exam.done(began, check.at(&found.server.token_endpoint));
}

/// Whether the key that signed our token is still published.
pub(super) async fn keys(exam: &mut Exam<'_>, patient: &Patient<'_>, found: &Found, there: bool) {
    let jwks = found
        .metadata
        .as_ref()
        .and_then(|metadata| metadata.jwks_uri.as_ref());
    let (Some(url), true) = (jwks, there) else {
        let why = if there {
            "the server publishes no keys"
        } else {
            "the server cannot be reached"
        };
        exam.skip(&[CheckId::Keys], why);
        return;
    };
    let began = Instant::now();
    let fetched = match get(url) {
        Ok(request) => exam.ask(request).await,
        Err(error) => {
            exam.skip(&[CheckId::Keys], &error.to_string());
            return;
        }
    };
    let response = match fetched {
        Ok(response) => response,
        Err(failure) => {
            exam.done(began, Check::fail(CheckId::Keys, failure).at(url));
            return;
        }
    };
    let check = match serde_json::from_slice::<JwkSet>(response.body()) {
        Ok(set) if response.status().is_success() => signing_key(patient, &set),
        _ => Check::warn(
            CheckId::Keys,
            format!(
                "no key set there (status {}): nobody can check tokens",
                response.status().as_u16()
            ),
        )
        .fix(Fix::new(
            Who::ServerAdmin,
            "Serve the key set at `jwks_uri`",
        )),
    };
    exam.done(began, check.at(url));
}

fn signing_key(patient: &Patient<'_>, set: &JwkSet) -> Check {
    let keys = KeySet::from_jwks(set);
    let kids: Vec<&str> = keys.kids().collect();
    let count = format!("published: {}", set.keys.len());
    let pair = patient.record.and_then(|record| record.pair.as_ref());
    let Some(pair) = pair.filter(|pair| !pair.access.expose().is_empty()) else {
        return Check::ok(CheckId::Keys, count);
    };
    let Ok(looked) = peek(pair.access.expose()) else {
        return Check::ok(CheckId::Keys, format!("{count}; the token is opaque"));
    };
    if looked.header.alg.starts_with("HS") {
        return Check::ok(
            CheckId::Keys,
            format!("{count}; the token is signed with a shared secret"),
        );
    }
    let (cause, says) = match verify_signature(pair.access.expose(), &keys) {
        Err(Reason::UnknownKey { kid }) => (
            "key_no_longer_published",
            format!(
                "the key that signed the token (`{}`) is not among those the server publishes",
                kid.as_deref().unwrap_or("unnamed")
            ),
        ),
        Err(Reason::BadSignature) => (
            "signature_does_not_fit",
            "the server publishes a key of that name, and the signature does not fit it".to_owned(),
        ),
        Err(reason) => return Check::warn(CheckId::Keys, reason.to_string()),
        Ok(_) => {
            let says = format!("{count}; the token's is among them, and the signature fits");
            return Check::ok(CheckId::Keys, says);
        }
    };
    let config = patient.config;
    let login = patient.record.and_then(|record| record.secret.as_ref());
    let latched = patient.record.is_some_and(|record| record.latch.is_some());
    let renewable = !matches!(Renewer::of(config, Some(pair), login), Renewer::None) && !latched;
    let (heal, who, command) = if renewable {
        (
            Heal::Refresh,
            Who::Tenure,
            format!("tenure doctor {} --allow-refresh", config.name),
        )
    } else {
        (
            Heal::Relogin,
            Who::User,
            format!("tenure login {}", config.name),
        )
    };
    let failure = Failure::new(
        Code::SigningKeyChanged,
        Class::KeyMismatch,
        cause,
        heal,
        who,
        says,
    )
    .with_rule("doctor.jwks")
    .with_command(command)
    .with_evidence("published", kids.join(", "), "key set");
    Check::fail(CheckId::Keys, failure)
}

/// Asks the server about the token, where it offers to be asked.
pub(super) async fn introspect(
    exam: &mut Exam<'_>,
    patient: &Patient<'_>,
    found: &Found,
    token: &Token<'_>,
    there: bool,
) {
    let config = patient.config;
    let (Some(access), true, None) = (token.access, there, &config.blocked) else {
        let why = match (token.access, there) {
            (None, _) => "there is no token to ask about",
            (_, false) => "the server cannot be reached",
            _ => "the client's secret cannot be read",
        };
        exam.skip(&[CheckId::Introspection], why);
        return;
    };
    if exam.failed(CheckId::Client) {
        exam.skip(
            &[CheckId::Introspection],
            "the server does not know the client",
        );
        return;
    }
    let began = Instant::now();
    let ctx = exam.net.wire_ctx(&found.server.token_endpoint);
    let request = match introspection(&found.server, &config.client, access, &ctx) {
        Ok(Some(request)) => request,
        Ok(None) => {
            exam.skip(&[CheckId::Introspection], "not offered");
            return;
        }
        Err(error) => {
            exam.skip(&[CheckId::Introspection], &error.to_string());
            return;
        }
    };
    let check = match exam.ask(request).await {
        Err(failure) => {
            Check::warn(CheckId::Introspection, failure.detail.clone()).because(failure)
        }
        Ok(response) => match introspection_answer(&response, access) {
            Err(refusal) => Check::skipped(
                CheckId::Introspection,
                format!(
                    "the server does not answer this client ({} {})",
                    refusal.status,
                    refusal.error.as_deref().unwrap_or("without a word")
                ),
            ),
            Ok(seen) if seen.active => {
                Check::ok(CheckId::Introspection, "the server calls it active")
            }
            Ok(_) => inactive(exam, token),
        },
    };
    exam.done(began, check);
}

/// The server does not know the token as good: expired and revoked look the same here.
fn inactive(exam: &Exam<'_>, token: &Token<'_>) -> Check {
    if token.left_s.is_some_and(|left| left <= 0) {
        return Check::ok(CheckId::Introspection, "not active: it has ended");
    }
    let (heal, who, command) = if token.renewable {
        let command = format!("tenure doctor {} --allow-refresh", exam.name);
        (Heal::Refresh, Who::Tenure, command)
    } else {
        (
            Heal::Relogin,
            Who::User,
            format!("tenure login {}", exam.name),
        )
    };
    let failure = Failure::new(
        Code::AccessTokenRevoked,
        Class::AccessRevoked,
        "not_active",
        heal,
        who,
        "the server calls the token not active before its time is over: it was revoked",
    )
    .with_rule("doctor.introspection")
    .with_command(command)
    .with_evidence("active", false, "introspection");
    Check::fail(CheckId::Introspection, failure)
}
