//! The API: does it get the header, and what does it say to the token. Without a path that needs the token, the
//! server's own check or userinfo is asked in its place.

use std::time::Instant;

use tenure_core::{Class, Failure, Heal, Who};
use tenure_diagnose::classify::challenge::challenges;
use tenure_diagnose::doctor::header::{self, Answers, Arrival, Reply};
use tenure_diagnose::doctor::{Check, CheckId, Fix, page, token};
use tenure_diagnose::{Local, Seen, classify_api};
use tenure_wire::Response;
use tenure_wire::ask::{Bearer, question};
use url::Url;

use super::credentials::Token;
use super::wordpress::header_check;
use super::{Exam, Found, Patient, intercepted};
use crate::clock;

/// A token that has so many seconds left is not expired by any clock that is nearly right.
const LIVES_S: i64 = 60;

pub(super) async fn examine(
    exam: &mut Exam<'_>,
    patient: &Patient<'_>,
    found: &Found,
    token: &Token<'_>,
    upstream: Option<&Url>,
    there: bool,
) {
    let wordpress = found.wordpress;
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
    if exam.tenure {
        let why = "a Tenure gateway answers there, with a token of its own";
        exam.skip(&[CheckId::Header, CheckId::Api, CheckId::Scopes], why);
        return;
    }
    let began = Instant::now();
    let asked = Asked::at(exam, url, false, token).await;
    let unseen = exam.options.path.is_none() && asked.wants_no_token();
    if !wordpress {
        let check = if unseen {
            elsewhere(exam, found, token, url).await
        } else {
            asked.check(exam.speaks_for(token)).at(url)
        };
        exam.done(began, check);
    }
    let began = Instant::now();
    if unseen && asked.is_open() {
        let why = "the address answers without a token, too";
        exam.skip(&[CheckId::Api, CheckId::Scopes], why);
        return;
    }
    let Some(response) = asked.ours else {
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

/// The answers of one address to no token, to rubbish and to ours.
struct Asked {
    none: Option<Response>,
    rubbish: Option<Response>,
    ours: Option<Response>,
}

impl Asked {
    async fn at(exam: &Exam<'_>, url: &Url, post: bool, token: &Token<'_>) -> Self {
        let none = ask(exam, url, post, Bearer::None).await;
        let rubbish = ask(exam, url, post, Bearer::Rubbish).await;
        let ours = match token.access {
            Some(access) => ask(exam, url, post, Bearer::Token(access)).await,
            None => None,
        };
        Self {
            none,
            rubbish,
            ours,
        }
    }

    /// Whether the header arrives; `None` without an answer.
    fn arrival(&self, good: bool) -> Option<Arrival> {
        let read = |response: &Response| {
            Reply::read(
                response.status().as_u16(),
                response.headers(),
                response.body(),
            )
        };
        Some(header::arrival(&Answers {
            none: read(self.none.as_ref()?),
            rubbish: read(self.rubbish.as_ref()?),
            ours: self.ours.as_ref().map(read),
            good,
        }))
    }

    fn check(&self, good: bool) -> Check {
        match self.arrival(good) {
            None => Check::skipped(CheckId::Header, "the API did not answer"),
            Some(arrival) => header_check(&arrival, self.software().as_deref()),
        }
    }

    fn software(&self) -> Option<String> {
        page::software(self.rubbish.as_ref()?.headers())
    }

    /// Nothing there depends on a token, or on one that arrives.
    fn wants_no_token(&self) -> bool {
        let refuses = |response: &Response| matches!(response.status().as_u16(), 401 | 403);
        matches!(self.arrival(false), Some(Arrival::Untold(_)))
            && !self.none.as_ref().is_some_and(refuses)
    }

    /// It answers as it should without a token.
    fn is_open(&self) -> bool {
        succeeded(self.none.as_ref())
    }
}

fn succeeded(response: Option<&Response>) -> bool {
    response.is_some_and(|response| response.status().is_success())
}

async fn ask(exam: &Exam<'_>, url: &Url, post: bool, bearer: Bearer<'_>) -> Option<Response> {
    let request = question(url, post, bearer, false).ok()?;
    exam.ask(request).await.ok()
}

/// Where the API's address asks for no token: another address of the server that takes one. It tells of the API's
/// header only where both are behind the same web server.
async fn elsewhere(exam: &Exam<'_>, found: &Found, token: &Token<'_>, api: &Url) -> Check {
    let validate = found.server.validate_endpoint.as_ref();
    let metadata = found.metadata.as_ref();
    let userinfo = metadata.and_then(|metadata| metadata.userinfo_endpoint.as_ref());
    let (url, post) = match (validate, userinfo) {
        (Some(url), _) => (url, true),
        (None, Some(url)) => (url, false),
        (None, None) => return unseen(exam, api),
    };
    let asked = Asked::at(exam, url, post, token).await;
    let arrival = asked.arrival(exam.speaks_for(token));
    match arrival {
        Some(arrival @ (Arrival::Arrives(_) | Arrival::Lost(_)))
            if url.origin() == api.origin() =>
        {
            header_check(&arrival, asked.software().as_deref()).at(url)
        }
        _ if succeeded(asked.ours.as_ref()) && !asked.is_open() => {
            unseen(exam, api).fact("token_accepted_by", url, "server")
        }
        _ => unseen(exam, api),
    }
}

fn unseen(exam: &Exam<'_>, api: &Url) -> Check {
    let says =
        "whether the API gets the Authorization header was not seen: its address asks for no token";
    Check::warn(CheckId::Header, says)
        .at(api)
        .fix(
            Fix::new(
                Who::Operator,
                "Name a path of the API that needs the token, in place of /PATH",
            )
            .command(format!("tenure doctor {} --path /PATH", exam.name)),
        )
        .blind()
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
            401 | 403 => Check::warn(
                id,
                format!(
                    "answers {status} and does not say why: it may be the token, what its user may do, or neither"
                ),
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
    if failure.class == Class::AccessExpired
        && let Some(left) = token.left_s.filter(|left| *left > LIVES_S)
    {
        return called_expired(failure, id, left);
    }
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

/// By the token's own word it is good, and every refresh would bring another one like it.
fn called_expired(failure: Failure, id: CheckId, left_s: i64) -> Check {
    let step = format!(
        "Compare the API's clock with another, and its limit on the age of a token: it calls a token expired that is good for {left_s} s more"
    );
    let compare = Fix::new(Who::ServerAdmin, step);
    let usual = Fix::of(&failure);
    // A refresh comes after, for it would bring a token that fares alike.
    let (first, second) = if failure.heal == Heal::Refresh {
        (compare, usual)
    } else {
        (usual, compare)
    };
    Check::fail(id, failure)
        .fact("token_good_for_s", left_s, "token")
        .fix(first)
        .fix(second)
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
