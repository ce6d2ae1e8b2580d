//! From the name to the answer: DNS, TCP, TLS, and who answers.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use tenure_core::{Class, Code, Failure, Heal, Who};
use tenure_diagnose::doctor::own;
use tenure_diagnose::doctor::page::{self, Kind, Moved};
use tenure_diagnose::doctor::{Check, CheckId, Fix};
use tenure_http::look::{self, DistrustKind, TlsLook};
use tenure_http::{Fault, FaultKind};
use tenure_wire::Response;
use tenure_wire::discovery::get;
use tokio::net::TcpStream;
use url::{Host, Url};

use super::{Exam, Role, TIMEOUT, intercepted, location};
use crate::clock;

/// Fewer days left than this are worth a word.
const RENEW_DAYS: i64 = 14;
const DAY_S: i64 = 86_400;

/// Proxy variables: Tenure connects directly and heeds none.
pub(super) fn proxies(exam: &mut Exam<'_>) {
    let names = exam.options.proxies.join(", ");
    let check = if names.is_empty() {
        Check::ok(CheckId::Proxy, "none set")
    } else {
        Check::warn(
            CheckId::Proxy,
            format!("{names} set: Tenure connects directly and does not heed it"),
        )
        .fix(Fix::new(
            Who::Operator,
            "If this network lets only the proxy out: allow this machine to reach the server directly",
        ))
    };
    exam.done(Instant::now(), check);
}

/// Goes all the way to an answer; whether there was one of the server's own.
pub(super) async fn reach(exam: &mut Exam<'_>, url: &Url, role: Role) -> bool {
    let at = shown(url);
    let skip = |exam: &mut Exam<'_>, ids: &[CheckId], why: &str| {
        for id in ids {
            exam.done(Instant::now(), Check::skipped(*id, why).at(&at));
        }
        false
    };
    let Some(addresses) = resolve(exam, url, &at).await else {
        let rest = [CheckId::Tcp, CheckId::Tls, CheckId::Http];
        return skip(exam, &rest, "the name is not known");
    };
    let Some(stream) = connect(exam, &addresses, &at).await else {
        return skip(
            exam,
            &[CheckId::Tls, CheckId::Http],
            "there is no connection",
        );
    };
    if url.scheme() == "https" {
        if !handshake(exam, stream, url, &at).await {
            return skip(exam, &[CheckId::Http], "the certificate is not trusted");
        }
    } else {
        drop(stream);
        let check = Check::skipped(CheckId::Tls, "plain http: nothing is encrypted");
        exam.done(Instant::now(), check.at(&at));
    }
    answer(exam, url, role, &at).await
}

fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port_or_known_default() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

async fn resolve(exam: &mut Exam<'_>, url: &Url, at: &str) -> Option<Vec<SocketAddr>> {
    let began = Instant::now();
    let port = url.port_or_known_default().unwrap_or(443);
    let literal: Option<IpAddr> = match url.host()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain(_) => None,
    };
    if let Some(address) = literal {
        exam.done(began, Check::ok(CheckId::Dns, "an address, no name").at(at));
        return Some(vec![(address, port).into()]);
    }
    let name = url.host_str()?;
    let looked = tokio::time::timeout(TIMEOUT, tokio::net::lookup_host((name, port))).await;
    let why = match looked {
        Ok(Ok(found)) => {
            let found: Vec<SocketAddr> = found.collect();
            if !found.is_empty() {
                let mut list: Vec<_> = found.iter().map(|one| one.ip().to_string()).collect();
                list.dedup();
                let check = Check::ok(CheckId::Dns, list.join(", ")).at(at);
                exam.done(began, check);
                return Some(found);
            }
            "it has no address".to_owned()
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", TIMEOUT.as_secs()),
    };
    let failure = named(exam, FaultKind::Dns, why).with_evidence("name", name, "configuration");
    let check = Check::fail(CheckId::Dns, failure).at(at).fix(Fix::new(
        Who::Operator,
        format!("Check the spelling of {name}, and that this machine's name server works"),
    ));
    exam.done(began, check);
    None
}

async fn connect(exam: &mut Exam<'_>, addresses: &[SocketAddr], at: &str) -> Option<TcpStream> {
    let began = Instant::now();
    let mut failed: Vec<(SocketAddr, FaultKind, String)> = Vec::new();
    for address in addresses {
        match tokio::time::timeout(TIMEOUT / 2, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let check = match failed.first() {
                    None => Check::ok(CheckId::Tcp, "open"),
                    Some((first, _, why)) => Check::warn(
                        CheckId::Tcp,
                        format!("open at {}, but not at {}: {why}", address.ip(), first.ip()),
                    ),
                };
                exam.done(began, check.at(at));
                return Some(stream);
            }
            Ok(Err(error)) => failed.push((*address, kind(&error), error.to_string())),
            Err(_) => {
                let why = format!("no answer within {} s", (TIMEOUT / 2).as_secs());
                failed.push((*address, FaultKind::Timeout, why));
            }
        }
    }
    let (kind, why) = failed
        .into_iter()
        .next()
        .map_or((FaultKind::Other, String::new()), |(_, kind, why)| {
            (kind, why)
        });
    let step = match kind {
        FaultKind::Refused => "Check the port, and that the server runs: nothing listens there",
        FaultKind::Timeout => "Check firewalls between this machine and the server",
        _ => "Check this machine's network: there is no way to the server",
    };
    let failure = named(exam, kind, why);
    let check = Check::fail(CheckId::Tcp, failure).at(at);
    exam.done(began, check.fix(Fix::new(Who::Operator, step)));
    None
}

fn kind(error: &std::io::Error) -> FaultKind {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => FaultKind::Refused,
        ErrorKind::TimedOut => FaultKind::Timeout,
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable | ErrorKind::NetworkDown => {
            FaultKind::Unreachable
        }
        _ => FaultKind::Reset,
    }
}

fn named(exam: &Exam<'_>, kind: FaultKind, detail: String) -> Failure {
    exam.fault(&Fault {
        kind,
        sent: false,
        detail,
    })
}

async fn handshake(exam: &mut Exam<'_>, stream: TcpStream, url: &Url, at: &str) -> bool {
    let began = Instant::now();
    let host = url.host_str().unwrap_or_default();
    let check = match look::tls(stream, host, exam.trust, TIMEOUT).await {
        Err(why) => Check::fail(CheckId::Tls, named(exam, FaultKind::Tls, why)).fix(Fix::new(
            Who::Operator,
            "Check that the port speaks TLS, and which versions it offers",
        )),
        Ok(look) => chain(exam, &look, host),
    };
    let trusted = check.failure.is_none();
    exam.done(began, check.at(at));
    trusted
}

fn chain(exam: &Exam<'_>, look: &TlsLook, host: &str) -> Check {
    let now_s = clock::wall().0 / 1_000;
    let own = look.chain.first();
    let days = own.map(|own| (own.not_after - now_s).div_euclid(DAY_S));
    let check = match (&look.distrust, days) {
        (Some(distrust), days) => distrusted(exam, distrust, look, host, days),
        (None, Some(days)) if days < RENEW_DAYS => Check::warn(
            CheckId::Tls,
            format!("trusted, but only {days} days are left"),
        )
        .fix(Fix::new(
            Who::ServerAdmin,
            format!("Renew the certificate of {host}"),
        )),
        (None, Some(days)) => Check::ok(CheckId::Tls, format!("trusted; {days} days are left")),
        (None, None) => Check::ok(CheckId::Tls, "trusted"),
    };
    let Some(own) = own else { return check };
    let issuer = own.issuer.as_deref().unwrap_or("-");
    let check = check
        .fact("names", own.names.join(", "), "certificate")
        .fact("issued_by", issuer, "certificate")
        .fact("not_before", date(own.not_before), "certificate")
        .fact("not_after", date(own.not_after), "certificate")
        .fact("chain", look.chain.len(), "certificate");
    match &look.version {
        Some(version) => check.fact("version", version, "handshake"),
        None => check,
    }
}

fn distrusted(
    exam: &Exam<'_>,
    distrust: &look::Distrust,
    look: &TlsLook,
    host: &str,
    days: Option<i64>,
) -> Check {
    let ago = days.map_or(0, |days| -days);
    let names = look.chain.first().map(|own| own.names.join(", "));
    let names = names.unwrap_or_default();
    let by = look.chain.first().and_then(|own| own.issuer.clone());
    let (cause, who, says, step) = match distrust.kind {
        DistrustKind::Expired => (
            "certificate_expired",
            Who::ServerAdmin,
            format!("the certificate of {host} expired {ago} days ago"),
            format!("Renew the certificate of {host}"),
        ),
        DistrustKind::NotYetValid => (
            "certificate_not_yet_valid",
            Who::Operator,
            format!("the certificate of {host} is not valid yet, or this machine's clock is behind"),
            "Check this machine's clock, then the certificate's dates".to_owned(),
        ),
        DistrustKind::WrongName => (
            "certificate_of_another_name",
            Who::Operator,
            format!("the certificate is for {names}, not for {host}"),
            format!("Use a name that the certificate is for, or have {host} added to it"),
        ),
        DistrustKind::UnknownIssuer => (
            "certificate_untrusted",
            Who::Operator,
            format!(
                "nobody whom this machine trusts has signed the certificate of {host} (signed by {})",
                by.as_deref().unwrap_or("nobody named")
            ),
            "For a private authority set `ca_file` to its certificate; for a public one have the server send its intermediates".to_owned(),
        ),
        DistrustKind::Authority => (
            "certificate_self_signed",
            Who::ServerAdmin,
            format!("the certificate of {host} is self-signed and an authority's (CA:TRUE), which no server may show"),
            format!("Make one for {host} that is no authority (`openssl req -x509 -addext basicConstraints=critical,CA:FALSE …`), then set `ca_file` to it; or have an authority sign one"),
        ),
        DistrustKind::Revoked => (
            "certificate_revoked",
            Who::ServerAdmin,
            format!("the certificate of {host} was revoked"),
            format!("Replace the certificate of {host}"),
        ),
        DistrustKind::Other => (
            "certificate_refused",
            Who::Operator,
            format!("the certificate of {host} is not accepted: {}", distrust.detail),
            "Look at the certificate chain that the server sends".to_owned(),
        ),
    };
    let transport = named(exam, FaultKind::Tls, distrust.detail.clone());
    let failure = Failure::new(
        Code::TlsError,
        Class::TlsError,
        cause,
        Heal::FixConfig,
        who,
        says,
    )
    .with_rule("doctor.tls");
    let failure = Failure {
        evidence: transport.evidence,
        ..failure
    };
    Check::fail(CheckId::Tls, failure).fix(Fix::new(who, step))
}

/// A day of the calendar.
fn date(epoch_s: i64) -> String {
    let since = std::time::Duration::from_secs(u64::try_from(epoch_s).unwrap_or(0));
    httpdate::fmt_http_date(std::time::UNIX_EPOCH + since)
}

/// Asks for the address and says who answered.
async fn answer(exam: &mut Exam<'_>, url: &Url, role: Role, at: &str) -> bool {
    let began = Instant::now();
    let asked = match get(url) {
        Ok(request) => exam.ask(request).await,
        Err(error) => {
            let check = Check::skipped(CheckId::Http, error.to_string()).at(at);
            exam.done(began, check);
            return false;
        }
    };
    let response = match asked {
        Ok(response) => response,
        Err(failure) => {
            exam.done(began, Check::fail(CheckId::Http, failure).at(at));
            return false;
        }
    };
    let known = own::own(response.headers());
    exam.tenure |= known.is_some() && matches!(role, Role::Api | Role::Address);
    let check = match &known {
        Some(known) => own::judge(known, url, role.place(exam.name)),
        None => judge(url, &response, role),
    };
    let check = check
        .at(at)
        .fact("status", response.status().as_u16(), "response");
    let check = match page::software(response.headers()) {
        Some(name) => check.fact("server", name, "response"),
        None => check,
    };
    let own = check.failure.is_none();
    exam.done(began, check);
    own
}

fn judge(url: &Url, response: &Response, role: Role) -> Check {
    let status = response.status().as_u16();
    if let Some(failure) = intercepted(url, response, role == Role::Server) {
        let step = match failure.cause.as_str() {
            "bot_challenge" => Fix::new(
                Who::ServerAdmin,
                "Exempt the API and token routes from the bot check",
            ),
            _ => Fix::new(
                Who::User,
                format!(
                    "Open http://neverssl.com in a browser on this network and sign in, then run the doctor again; if there is nothing to sign in to, check where {} leads",
                    shown(url)
                ),
            ),
        };
        return Check::fail(CheckId::Http, failure).fix(step);
    }
    if let Some(to) = location(url, response) {
        return redirected(url, &to, role);
    }
    match status {
        429 => throttled(),
        502..=504 => unavailable(status),
        500..=599 if role == Role::Server => unavailable(status),
        500..=599 => Check::warn(CheckId::Http, format!("it answers with an error, {status}")),
        _ => page_or_own(response, role, status),
    }
}

fn page_or_own(response: &Response, role: Role, status: u16) -> Check {
    let page = page::page(status, response.headers(), response.body());
    if role == Role::Server && status == 200 && page.is_some_and(|page| page.kind == Kind::Html) {
        return Check::warn(
            CheckId::Http,
            "a web page answers where a machine is expected; whose it is cannot be told from it",
        );
    }
    Check::ok(CheckId::Http, format!("answers ({status})"))
}

/// Nothing more is asked then.
fn throttled() -> Check {
    let failure = Failure::new(
        Code::RateLimited,
        Class::RateLimited,
        "throttled",
        Heal::RetryLater,
        Who::Tenure,
        "the server asks for fewer requests",
    )
    .with_rule("doctor.http")
    .with_evidence("status", 429, "response");
    Check::fail(CheckId::Http, failure)
}

fn unavailable(status: u16) -> Check {
    let (code, class) = if status == 500 {
        (Code::ServerError, Class::ServerError)
    } else {
        (Code::WebsiteUnavailable, Class::ServerUnavailable)
    };
    let failure = Failure::new(
        code,
        class,
        "answers_with_an_error",
        Heal::RetryLater,
        Who::Tenure,
        format!("the server answers with an error of its own, {status}"),
    )
    .with_rule("doctor.http")
    .with_evidence("status", status, "response");
    Check::fail(CheckId::Http, failure)
}

/// Tenure follows no redirect: a token must not travel to where nobody sent it.
fn redirected(from: &Url, to: &Url, role: Role) -> Check {
    let moved = page::moved(from, to);
    let origin = to.origin().ascii_serialization();
    if role == Role::Address || !matches!(moved, Moved::ToHttps | Moved::ToHttp | Moved::Www) {
        let says = match moved {
            Moved::OtherHost => format!("leads to another host, {origin}"),
            _ => format!("leads to {}{}", origin, to.path()),
        };
        let check = Check::warn(CheckId::Http, says);
        return check.fact("location", format!("{origin}{}", to.path()), "response");
    }
    let part = match moved {
        Moved::Www => "`www.`",
        _ => "http and https",
    };
    let failure = Failure::new(
        Code::WrongServer,
        Class::WrongIssuer,
        "server_has_moved",
        Heal::FixConfig,
        Who::Operator,
        format!("the server sends everybody on to {origin}: the address differs in {part}, and Tenure follows no redirect"),
    )
    .with_rule("doctor.http")
    .with_evidence("location", format!("{origin}{}", to.path()), "response");
    let key = if role == Role::Api {
        "upstream"
    } else {
        "issuer"
    };
    Check::fail(CheckId::Http, failure).fix(Fix::new(
        Who::Operator,
        format!("Write {origin} in `{key}` of the session"),
    ))
}
