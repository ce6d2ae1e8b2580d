//! The API: does it get the header, and what does it say to the token.

use std::time::Instant;

use tenure_core::{Class, Heal};
use tenure_diagnose::classify::challenge::challenges;
use tenure_diagnose::doctor::header::{self, Answers, Reply};
use tenure_diagnose::doctor::{Check, CheckId, Fix, page, token};
use tenure_diagnose::{Local, Seen, classify_api};
use tenure_wire::Response;
use tenure_wire::ask::{Bearer, question};
use url::Url;

use super::credentials::Token;
use super::wordpress::header_check;
use super::{Exam, Patient, intercepted};
use crate::clock;

pub(super) async fn examine(
    exam: &mut Exam<'_>,
    patient: &Patient<'_>,
    token: &Token<'_>,
    upstream: Option<&Url>,
    there: bool,
    wordpress: bool,
) {
    // At a WordPress site the plugin's own routes have told about the header; the front page tells nothing.
    let asked = upstream.filter(|_| !wordpress || exam.options.path.is_some());
    let Some(url) = asked else {
        let why = match upstream {
            None => "the session has no upstream",
            Some(_) => "name a path that needs the token with --path",
        };
        let ids: &[CheckId] = if wordpress {
            &[CheckId::Api, CheckId::Scopes]
        } else {
            &[CheckId::Header, CheckId::Api, CheckId::Scopes]
        };
        exam.skip(ids, why);
        return;
    };
    if !there {
        exam.skip(
            &[CheckId::Header, CheckId::Api, CheckId::Scopes],
            "the API cannot be reached",
        );
        return;
    }
    let began = Instant::now();
    let none = ask(exam, url, Bearer::None).await;
    let rubbish = ask(exam, url, Bearer::Rubbish).await;
    let ours = match token.access {
        Some(access) => ask(exam, url, Bearer::Token(access)).await,
        None => None,
    };
    if !wordpress {
        let good = exam.speaks_for(token);
        let check = arrival(none.as_ref(), rubbish.as_ref(), ours.as_ref(), good);
        exam.done(began, check.at(url));
    }
    let began = Instant::now();
    let Some(response) = ours else {
        let why = match token.access {
            Some(_) => "the API did not answer",
            None => "there is no token to ask with",
        };
        exam.skip(&[CheckId::Api, CheckId::Scopes], why);
        return;
    };
    let check = judge(exam, patient, token, &response, CheckId::Api);
    exam.done(began, check.at(url));
    let check = scopes(exam, token, &response);
    exam.done(Instant::now(), check);
}

async fn ask(exam: &Exam<'_>, url: &Url, bearer: Bearer<'_>) -> Option<Response> {
    let request = question(url, false, bearer, false).ok()?;
    exam.ask(request).await.ok()
}

fn arrival(
    none: Option<&Response>,
    rubbish: Option<&Response>,
    ours: Option<&Response>,
    good: bool,
) -> Check {
    let (Some(none), Some(rubbish)) = (none, rubbish) else {
        return Check::skipped(CheckId::Header, "the API did not answer");
    };
    let read = |response: &Response| {
        Reply::read(
            response.status().as_u16(),
            response.headers(),
            response.body(),
        )
    };
    let answers = Answers {
        none: read(none),
        rubbish: read(rubbish),
        ours: ours.map(read),
        good,
    };
    let software = page::software(rubbish.headers());
    header_check(&header::arrival(&answers), software.as_deref())
}

/// What an answer to our token amounts to.
pub(super) fn judge(
    exam: &Exam<'_>,
    patient: &Patient<'_>,
    token: &Token<'_>,
    response: &Response,
    id: CheckId,
) -> Check {
    let status = response.status().as_u16();
    if id == CheckId::Api && exam.failed(CheckId::Header) {
        return Check::skipped(id, "the API does not get the header");
    }
    let local = Local {
        token_sent: true,
        token_expired: token.left_s.map(|left| left <= 0),
        has_refresh: token.renewable,
        issuer: patient.config.endpoints.known().issuer.clone(),
        session: exam.name.to_owned(),
        now_s: Some(clock::wall().0 / 1_000),
        ..Local::default()
    };
    let seen = Seen {
        status,
        headers: response.headers(),
        body_start: response.body(),
    };
    let Some(verdict) = classify_api(exam.profile, &seen, &local) else {
        return match status {
            200..=299 => Check::ok(id, format!("accepted ({status})")),
            404 | 405 => Check::skipped(
                id,
                format!("the address answers {status}: name one that needs the token with --path"),
            ),
            _ => Check::warn(
                id,
                format!("answers {status}, which is not about the token"),
            ),
        };
    };
    if let Some(url) = patient.config.upstream.as_ref()
        && let Some(failure) = intercepted(url, response, false)
    {
        return Check::fail(id, failure);
    }
    let failure = verdict.failure;
    // An access token that has ended is daily life where something renews it.
    if failure.class == Class::AccessExpired && failure.heal == Heal::Refresh {
        let says = "the token has ended; it is renewed when it is next wanted";
        return Check::warn(id, says)
            .because(failure)
            .fact("status", status, "response");
    }
    let check = Check::fail(id, failure.clone());
    if failure.class == Class::InsufficientScope {
        return check; // The next check names the scope.
    }
    check.fix(Fix::of(&failure))
}

/// What the challenge asks for against what was granted.
fn scopes(exam: &Exam<'_>, token: &Token<'_>, response: &Response) -> Check {
    let challenge = challenges(response.headers())
        .into_iter()
        .find(|challenge| challenge.param("error") == Some("insufficient_scope"));
    let Some(challenge) = challenge else {
        return match token.scope {
            Some(scope) => Check::ok(CheckId::Scopes, format!("granted: {scope}")),
            None => Check::skipped(CheckId::Scopes, "nothing was said about scopes"),
        };
    };
    match (challenge.param("scope"), token.scope) {
        (Some(wanted), Some(granted)) => token::scopes(exam.name, granted, wanted),
        (Some(wanted), None) => Check::warn(
            CheckId::Scopes,
            format!("the API wants `{wanted}`; what was granted was not said"),
        ),
        (None, _) => Check::warn(
            CheckId::Scopes,
            "the API wants another scope and does not name it",
        ),
    }
}
