//! `tenure request S METHOD PATH`: one request, as the gateway would send it, with heal and one replay.

use std::io::Write;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tenure_core::Heal;
use tenure_gateway::{Body, Gateway, Options};
use url::Url;

use super::input;
use super::up::lock;
use crate::app::App;
use crate::args;
use crate::error::{CommandError, Exit, Outcome, Problem};
use crate::output::spinner;

/// Sends the request and prints the answer. An error status makes a failure of the command.
pub async fn run(app: &App, args: &args::Request) -> Outcome {
    let config = app.spec(&args.session)?.build_or_block();
    let request = request(args)?;
    let keeper = app.open_keeper(vec![config], false).await?;
    let mut routes = app.routes();
    routes.retain(|name, _| *name == args.session);
    let pages = lock::running_admin(&app.data.value);
    let options = Options {
        // People are shown pages they can open; JSON stays the same whether `up` runs or not.
        pages_base: pages
            .filter(|_| !app.out.json)
            .and_then(|url| Url::parse(&url).ok()),
        routes,
        ..Options::default()
    };
    let gateway = Gateway::new(keeper.clone(), options)
        .map_err(|error| CommandError::new(Exit::NeedsOperator, Problem::new(error.to_string())))?;
    let response = spinner::during("waiting for the answer", gateway.handle(request)).await;
    let done = if app.out.json {
        print_json(app, response).await
    } else {
        print(args.include, response).await
    };
    keeper.shutdown().await;
    done
}

fn request(args: &args::Request) -> Outcome<Request<Full<Bytes>>> {
    let wrong = |what: String, fix: &str| CommandError::usage(what, fix);
    let method = Method::from_bytes(args.method.to_ascii_uppercase().as_bytes()).map_err(|_| {
        wrong(
            format!("{:?} is no method", args.method),
            "write GET, POST, PUT, PATCH, DELETE, …",
        )
    })?;
    let slash = if args.path.starts_with('/') { "" } else { "/" };
    let uri = format!("http://localhost/{}{slash}{}", args.session, args.path);
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

/// The body as it comes.
async fn print(include: bool, response: Response<Body>) -> Outcome {
    let (head, mut body) = response.into_parts();
    let mut out = std::io::stdout();
    if include {
        writeln!(out, "{:?} {}", head.version, head.status)?;
        for (name, value) in &head.headers {
            writeln!(out, "{name}: {}", String::from_utf8_lossy(value.as_bytes()))?;
        }
        writeln!(out)?;
    }
    // A body that says how the gateway failed is needed for the exit code.
    let mut kept = Vec::new();
    let own = is_own(&head.headers);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            CommandError::new(
                Exit::TryLater,
                Problem::new(format!("the answer broke off: {error}")),
            )
        })?;
        if let Ok(data) = frame.into_data() {
            if own {
                kept.extend_from_slice(&data);
            } else {
                out.write_all(&data)?;
                out.flush()?;
            }
        }
    }
    out.write_all(&for_people(&kept))?;
    out.flush()?;
    if std::io::IsTerminal::is_terminal(&out) {
        writeln!(out)?;
    }
    ended(head.status, exit_of(head.status.as_u16(), own, &kept))
}

async fn print_json(app: &App, response: Response<Body>) -> Outcome {
    let (head, body) = response.into_parts();
    let body = body
        .collect()
        .await
        .map_err(|error| {
            CommandError::new(
                Exit::TryLater,
                Problem::new(format!("the answer broke off: {error}")),
            )
        })?
        .to_bytes();
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
    ended(
        head.status,
        exit_of(head.status.as_u16(), is_own(&head.headers), &body),
    )
}

/// The gateway's own answer without paths that lead nowhere: pages are served by a running `tenure up` only.
fn for_people(body: &[u8]) -> Vec<u8> {
    let Ok(mut problem) = serde_json::from_slice::<Value>(body) else {
        return body.to_vec();
    };
    let base = problem["type"]
        .as_str()
        .and_then(|page| Url::parse(page).ok());
    if base.is_none()
        && let Some(fields) = problem.as_object_mut()
    {
        fields.remove("type");
    }
    let mut cause = problem.get_mut("because");
    while let Some(Value::Object(fields)) = cause {
        let page = fields.get("page").and_then(Value::as_str);
        match base.as_ref().and_then(|base| base.join(page?).ok()) {
            Some(page) => fields.insert("page".to_owned(), page.as_str().into()),
            None => fields.remove("page"),
        };
        cause = fields.get_mut("because");
    }
    problem.to_string().into_bytes()
}

/// Whether the gateway answered itself: a forwarded answer names the generation it was got with.
fn is_own(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind == "application/problem+json")
        && headers.contains_key("tenure-code")
        && !headers.contains_key("tenure-generation")
}

fn exit_of(status: u16, own: bool, body: &[u8]) -> Option<Exit> {
    if status < 400 {
        return None;
    }
    let heal = if own {
        serde_json::from_slice::<Value>(body)
            .ok()
            .and_then(|problem| serde_json::from_value(problem["heal"].clone()).ok())
    } else {
        None
    };
    Some(match heal {
        Some(Heal::Relogin) => Exit::NeedsLogin,
        Some(Heal::RetryLater | Heal::Refresh) => Exit::TryLater,
        Some(Heal::None) | None => Exit::Failed,
        Some(_) => Exit::NeedsOperator,
    })
}

/// The answer has been printed, whatever it says; the exit code is what is left to say.
fn ended(status: http::StatusCode, exit: Option<Exit>) -> Outcome {
    match exit {
        None => Ok(()),
        Some(exit) => Err(CommandError {
            silent: true,
            ..CommandError::new(exit, Problem::new(format!("the answer is {status}")))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_shown_no_path_that_leads_nowhere() {
        let shown = |kind: &str| {
            let body = json!({ "type": kind, "code": "API02007", "because": { "page": "/error-codes/API02009" } });
            serde_json::from_slice::<Value>(&for_people(body.to_string().as_bytes())).expect("JSON")
        };
        let nowhere = shown("/error-codes/API02007");
        assert_eq!(nowhere, json!({ "code": "API02007", "because": {} }));
        let served = shown("http://127.0.0.1:7879/error-codes/API02007");
        assert_eq!(served["type"], "http://127.0.0.1:7879/error-codes/API02007");
        assert_eq!(
            served["because"]["page"],
            "http://127.0.0.1:7879/error-codes/API02009"
        );
        assert_eq!(for_people(b"plain"), b"plain");
        assert_eq!(for_people(b""), b"");
    }

    #[test]
    fn the_gateways_own_answers_decide_the_exit_code_by_their_heal() {
        assert_eq!(exit_of(200, false, b""), None);
        assert_eq!(
            exit_of(404, false, br#"{"heal":"relogin"}"#),
            Some(Exit::Failed)
        );
        assert_eq!(
            exit_of(401, true, br#"{"heal":"relogin"}"#),
            Some(Exit::NeedsLogin)
        );
        assert_eq!(
            exit_of(503, true, br#"{"heal":"retry_later"}"#),
            Some(Exit::TryLater)
        );
        assert_eq!(
            exit_of(502, true, br#"{"heal":"fix_config"}"#),
            Some(Exit::NeedsOperator)
        );
    }
}
