//! Login in a browser: authorization code with PKCE over a loopback redirect (RFC 8252 §7.3), or WCPOS's
//! redirect that carries the tokens. A machine without a browser pastes the address it was sent to.

use std::future::Future;
use std::time::Duration;

use tenure_core::{Class, Code, Failure, Heal, Secret, Who};
use tenure_diagnose::Grant;
use tenure_http::Client;
use tenure_wire::pkce::Pkce;
use tenure_wire::{Dialect, Exchange};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use url::Url;

use super::{Desk, NewLogin};
use crate::config::SessionConfig;
use crate::failures::unbuildable;

const PATH: &str = "/callback";
/// A browser's request head fits; a flood does not.
const HEAD_LIMIT: usize = 32 * 1024;
/// How long a connection may take to send its request.
const HEAD_WAIT: Duration = Duration::from_secs(30);
/// Connections that may be read from at once.
const CONNECTIONS: usize = 64;

/// A login waiting for its browser.
pub struct Browser<'a> {
    desk: Desk<'a>,
    listener: TcpListener,
    url: Url,
    redirect_uri: String,
    state: Secret,
    pkce: Pkce,
}

impl<'a> Browser<'a> {
    /// Listens on a loopback port and makes the address to open.
    ///
    /// # Errors
    /// When the server cannot be found, has no such login, or no port is free.
    pub async fn start(http: &'a Client, config: &'a SessionConfig) -> Result<Self, Failure> {
        let desk = Desk::new(http, config).await?;
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(|error| no_port(config, &error))?;
        let port = listener
            .local_addr()
            .map_err(|error| no_port(config, &error))?
            .port();
        let redirect_uri = format!("http://127.0.0.1:{port}{PATH}");
        let state = Secret::new(tenure_jose::b64url(tenure_jose::random::<24>()));
        let pkce = Pkce::from_random(tenure_jose::random::<32>());
        let url = tenure_wire::authorization_url(
            &desk.server,
            &config.client,
            &redirect_uri,
            desk.scope().as_deref(),
            &state,
            None,
            &pkce.challenge,
            &[],
        )
        .map_err(|error| unbuildable(&error))?;
        Ok(Self {
            desk,
            listener,
            url,
            redirect_uri,
            state,
            pkce,
        })
    }

    /// The address to open in a browser.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Where the browser comes back to.
    pub fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// Waits for the browser to come back, or for the address it was sent to from `pasted` (which may stay
    /// pending for ever, or yield `None` when nobody can paste).
    ///
    /// # Errors
    /// When the login was refused or the answer is not the one to this login.
    pub async fn finish(
        self,
        pasted: impl Future<Output = Option<String>>,
    ) -> Result<NewLogin, Failure> {
        tokio::pin!(pasted);
        let mut can_paste = true;
        // Browsers open connections ahead that may stay silent: none holds up the others.
        let mut reading = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if reading.len() < CONNECTIONS => {
                    let Ok((stream, _)) = accepted else { continue };
                    reading.spawn(tokio::time::timeout(HEAD_WAIT, read_target(stream)));
                }
                Some(read) = reading.join_next() => {
                    let Ok(Ok(Some((stream, target)))) = read else { continue };
                    if let Some(result) = self.serve(stream, &target).await {
                        return result;
                    }
                }
                text = &mut pasted, if can_paste => match text {
                    Some(text) => return self.redeem_text(&text).await,
                    None => can_paste = false,
                },
            }
        }
    }

    async fn redeem_text(&self, text: &str) -> Result<NewLogin, Failure> {
        let url = tenure_wire::pasted(text).map_err(|error| self.refused(&error.to_string()))?;
        self.redeem(&url).await
    }

    /// Answers one request; `None` when it was not the redirect (a favicon, a scanner).
    async fn serve(
        &self,
        mut stream: TcpStream,
        target: &str,
    ) -> Option<Result<NewLogin, Failure>> {
        let url = Url::parse(&self.redirect_uri).ok()?.join(target).ok()?;
        if url.path() != PATH {
            answer(
                &mut stream,
                "404 Not Found",
                "This address is only for the answer to a login.",
            )
            .await;
            return None;
        }
        if let Some(why) = self.stranger(&url) {
            // Another page found the port, or an old tab: the login goes on waiting for its own answer.
            answer(&mut stream, "400 Bad Request", &why).await;
            return None;
        }
        let result = self.redeem(&url).await;
        match &result {
            Ok(_) => {
                answer(
                    &mut stream,
                    "200 OK",
                    "You are logged in. You can close this page and go back.",
                )
                .await;
            }
            Err(failure) => {
                let text = format!(
                    "The login did not work: {} ({}).",
                    failure.detail, failure.code
                );
                answer(&mut stream, "400 Bad Request", &text).await;
            }
        }
        Some(result)
    }

    /// Why this redirect is not the answer to this login, if it is not.
    fn stranger(&self, url: &Url) -> Option<String> {
        let checked = tenure_wire::check_state(url, &self.state);
        checked.err().map(|error| error.to_string())
    }

    async fn redeem(&self, url: &Url) -> Result<NewLogin, Failure> {
        let desk = &self.desk;
        if desk.server.dialect == Dialect::Wcpos {
            let granted = tenure_wire::parse_wcpos_redirect(url, &self.state, &desk.wire_ctx())
                .map_err(|error| self.refused(&error.to_string()))?;
            return Ok(desk.login(&granted, None));
        }
        let server = &desk.server;
        let code = match server.issuer.as_deref().filter(|_| server.iss_in_redirect) {
            Some(issuer) => tenure_wire::parse_redirect_requiring_issuer(url, &self.state, issuer),
            None => tenure_wire::parse_redirect(url, &self.state, server.issuer.as_deref()),
        }
        .map_err(|error| self.refused(&error.to_string()))?;
        let started = Exchange::code(
            &desk.server,
            &desk.config.client,
            &code,
            &self.redirect_uri,
            &self.pkce.verifier,
            &desk.wire_ctx(),
        );
        let granted = desk.perform(started, Grant::AuthorizationCode).await?;
        Ok(desk.login(&granted, None))
    }

    fn refused(&self, why: &str) -> Failure {
        let name = &self.desk.config.name;
        Failure::new(
            Code::InvalidCredentials,
            Class::LoginRejected,
            "login_not_completed",
            Heal::Relogin,
            Who::User,
            why,
        )
        .with_rule("keeper.browser_login")
        .with_command(format!("tenure login {name} --browser"))
    }
}

fn no_port(config: &SessionConfig, error: &std::io::Error) -> Failure {
    Failure::new(
        Code::InvalidRequest,
        Class::BadRequest,
        "no_loopback_port",
        Heal::FixConfig,
        Who::Operator,
        format!("no loopback port could be opened for the browser's answer: {error}; use --device instead"),
    )
    .with_rule("keeper.browser_login")
    .with_command(format!("tenure login {} --device", config.name))
}

/// The request target of a GET, and where to answer it; `None` for anything else.
async fn read_target(mut stream: TcpStream) -> Option<(TcpStream, String)> {
    let mut head = Vec::new();
    let mut chunk = [0; 2048];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        let read = stream.read(&mut chunk).await.ok()?;
        if read == 0 || head.len() > HEAD_LIMIT {
            return None;
        }
        head.extend_from_slice(&chunk[..read]);
    }
    let line = head.split(|byte| *byte == b'\r').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    (words.next()? == "GET").then_some(())?;
    let target = words.next()?.to_owned();
    Some((stream, target))
}

async fn answer(stream: &mut TcpStream, status: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>Tenure</title>\
         <body style=\"font:1.1rem system-ui;margin:3rem auto;max-width:36rem;padding:0 1rem\"><h1>Tenure</h1><p>{text}</p></body></html>"
    );
    let response = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\ncache-control: no-store\r\n\
         content-security-policy: default-src 'none'; style-src 'unsafe-inline'\r\nreferrer-policy: no-referrer\r\nconnection: close\r\n\r\n{page}",
        page.len()
    );
    // The browser may be gone; the login stands without its page.
    let _browser_gone = stream.write_all(response.as_bytes()).await;
    let _browser_gone = stream.shutdown().await;
}
