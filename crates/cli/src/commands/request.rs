//! `tenure request S METHOD PATH`: one request, as the gateway would send it, with heal and one replay.

use std::io::{IsTerminal, Write};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::json;
use tenure_core::{Class, Failure, Who};
use tenure_gateway::{Body, Gateway, Options};
use url::Url;

use super::input;
use crate::app::App;
use crate::args;
use crate::error::{CommandError, Exit, Outcome, Problem};
use crate::output::spinner;

/// Sends the request and prints the API's answer as it is. An error status makes a failure of the command; what
/// keeps the request from being answered is an error like that of any other command.
pub async fn run(app: &App, args: &args::Request) -> Outcome {
    let (config, unread) = app.spec(&args.session)?.build_or_say();
    let request = request(args, config.upstream.as_ref())?;
    let keeper = app.open_keeper(vec![config], false).await?;
    let mut routes = app.routes();
    routes.retain(|name, _| *name == args.session);
    let options = Options {
        routes,
        ..Options::default()
    };
    let gateway = Gateway::new(keeper.clone(), options)
        .map_err(|error| CommandError::new(Exit::NeedsOperator, Problem::new(error.to_string())))?;
    let response = spinner::during("waiting for the answer", gateway.handle(request)).await;
    let done = match response.extensions().get::<Box<Failure>>() {
        Some(failure) => Err(refused(args, (**failure).clone()).or_unread(unread)),
        None if app.out.json => print_json(app, response).await,
        None => print(app, args.include, response).await,
    };
    keeper.shutdown().await;
    done
}

/// What kept the request from the API. Where the request is wrong in itself, the command line is.
fn refused(args: &args::Request, failure: Failure) -> CommandError {
    let exit = match (failure.class, failure.who) {
        (Class::BadRequest, Who::User) => Exit::Usage,
        _ => return failure.into(),
    };
    let problem = Problem::new(format!("{:?}: {}", args.path, failure.detail))
        .fix("write a path and query below the upstream, e.g. /orders?page=2");
    CommandError {
        failure: Some(Box::new(failure)),
        ..CommandError::new(exit, problem)
    }
}

fn request(args: &args::Request, upstream: Option<&Url>) -> Outcome<Request<Full<Bytes>>> {
    let wrong = |what: String, fix: &str| CommandError::usage(what, fix);
    let path = path(args, upstream)?;
    let method = Method::from_bytes(args.method.to_ascii_uppercase().as_bytes()).map_err(|_| {
        wrong(
            format!("{:?} is no method", args.method),
            "write GET, POST, PUT, PATCH, DELETE, …",
        )
    })?;
    let uri = format!("http://localhost/{}{path}", args.session);
    let mut request = Request::new(Full::new(body(args.body.as_deref())?));
    *request.method_mut() = method;
    *request.uri_mut() = uri.parse().map_err(|_| {
        wrong(
            format!("{:?} is no path", args.path),
            "write a path and query below the upstream, percent-encoded, e.g. /orders?page=2",
        )
    })?;
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_static("localhost"));
    for text in &args.headers {
        let parsed = text.split_once(':').and_then(|(name, value)| {
            Some((
                HeaderName::try_from(name.trim()).ok()?,
                HeaderValue::try_from(value.trim()).ok()?,
            ))
        });
        // The value is not repeated: it may be a secret.
        let (name, value) = parsed.ok_or_else(|| {
            wrong(
                "a header given with -H is none".to_owned(),
                "write it as 'Name: value'",
            )
        })?;
        headers.append(name, value);
    }
    if args.body.is_some() && !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    Ok(request)
}

/// Path and query below the upstream, with a slash before them. A whole address is taken when it leads there.
fn path(args: &args::Request, upstream: Option<&Url>) -> Outcome<String> {
    let given = &args.path;
    let whole = Url::parse(given).ok().filter(Url::has_host);
    let Some(whole) = whole.filter(|_| given.contains("://")) else {
        let slash = if given.starts_with('/') { "" } else { "/" };
        return Ok(format!("{slash}{given}"));
    };
    let below = |upstream: &Url| {
        let rest = whole
            .path()
            .strip_prefix(upstream.path().trim_end_matches('/'))?;
        let below = rest.is_empty() || rest.starts_with('/');
        (whole.origin() == upstream.origin() && below).then(|| rest.to_owned())
    };
    let query = whole
        .query()
        .map_or(String::new(), |query| format!("?{query}"));
    if let Some(rest) = upstream.and_then(below) {
        return Ok(format!("{rest}{query}"));
    }
    let goes_to = match upstream {
        Some(upstream) => format!(", which is at {upstream}"),
        None => String::new(),
    };
    Err(CommandError::usage(
        format!(
            "{}{} is not below the upstream of session {}{goes_to}",
            whole.origin().ascii_serialization(),
            whole.path(),
            args.session
        ),
        format!(
            "write the path and query below the upstream alone, e.g. {}{query}; the token goes nowhere else",
            whole.path()
        ),
    ))
}

/// Text, `@FILE`, or `-` for stdin.
fn body(given: Option<&str>) -> Outcome<Bytes> {
    Ok(match given {
        None => Bytes::new(),
        Some("-") => input::file(Path::new("-"))?.into(),
        Some(text) => match text.strip_prefix('@') {
            Some(path) => input::file(Path::new(path))?.into(),
            None => Bytes::from(text.to_owned()),
        },
    })
}

/// The body as it comes. An answer without one is not silent: its status is told.
async fn print(app: &App, include: bool, response: Response<Body>) -> Outcome {
    let (head, mut body) = response.into_parts();
    let mut out = std::io::stdout();
    if include {
        writeln!(out, "{:?} {}", head.version, head.status)?;
        for (name, value) in &head.headers {
            writeln!(out, "{name}: {}", String::from_utf8_lossy(value.as_bytes()))?;
        }
        writeln!(out)?;
    }
    let mut last = None;
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(|error| broke_off(&error))?.into_data() {
            last = data.last().copied().or(last);
            out.write_all(&data)?;
            out.flush()?;
        }
    }
    match last {
        None if !include => app.out.note(head.status),
        Some(last) if last != b'\n' && out.is_terminal() => writeln!(out)?,
        _ => {}
    }
    ended(head.status)
}

async fn print_json(app: &App, response: Response<Body>) -> Outcome {
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| broke_off(&error))?;
    let body = body.to_bytes();
    let headers: Vec<_> = head
        .headers
        .iter()
        .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
        .collect();
    let (text, encoded) = match std::str::from_utf8(&body) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(STANDARD.encode(&body))),
    };
    app.out.json(&json!({ "status": head.status.as_u16(), "headers": headers, "body": text, "body_base64": encoded }))?;
    ended(head.status)
}

fn broke_off(error: &dyn std::fmt::Display) -> CommandError {
    let problem = Problem::new(format!("the answer broke off: {error}"))
        .fix("send the request again, unless it must not be processed twice");
    CommandError::new(Exit::TryLater, problem)
}

/// The API's answer has been printed, whatever it says; the exit code is what is left to say.
fn ended(status: StatusCode) -> Outcome {
    if status.as_u16() < 400 {
        return Ok(());
    }
    Err(CommandError {
        silent: true,
        ..CommandError::failed(format!("the answer is {status}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_of(given: &str, upstream: &str) -> Outcome<String> {
        let args = args::Request {
            session: "shop".to_owned(),
            method: "GET".to_owned(),
            path: given.to_owned(),
            body: None,
            headers: Vec::new(),
            include: false,
        };
        path(&args, Some(&Url::parse(upstream).expect("a URL")))
    }

    #[test]
    fn a_whole_address_is_taken_when_it_leads_to_the_upstream() {
        let upstream = "https://api.example/v1";
        for (given, path) in [
            ("orders?page=2", "/orders?page=2"),
            (
                "/see?url=https://else.example/",
                "/see?url=https://else.example/",
            ),
            ("https://api.example/v1/orders?page=2", "/orders?page=2"),
            ("HTTPS://API.example:443/v1/orders", "/orders"),
            ("https://api.example/v1", ""),
        ] {
            assert_eq!(path_of(given, upstream).expect("a path"), path, "{given}");
        }
    }

    #[test]
    fn an_address_elsewhere_is_refused_and_the_path_named() {
        let upstream = "https://api.example/v1";
        for given in [
            "https://else.example/orders?page=2",
            "http://api.example/v1/orders?page=2",
            "https://api.example/v12/orders?page=2",
            "https://api.example:444/v1/orders?page=2",
        ] {
            let error = path_of(given, upstream).expect_err("refused");
            assert_eq!(error.exit, Exit::Usage);
            let fix = error.problems[0].fix.as_deref().expect("a fix");
            assert!(fix.contains("orders?page=2"), "{fix}");
        }
    }
}
