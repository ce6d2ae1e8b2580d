//! One token request and its answer, without a socket.

use std::fmt;

use tenure_core::Secret;

use crate::answer::{Granted, Reading, TokenAnswer, Unusable, object, sort, unusable};
use crate::client_auth::Client;
use crate::error::WireError;
use crate::mask::Known;
use crate::server::{Ctx, Dialect, Server};
use crate::wordpress::{simple_jwt_login, tmeister, usefulteam, wcpos};
use crate::{Request, Response, json_refresh, oauth2, refusal};

/// What to do with an answer.
pub enum Step {
    /// Send this too, and feed its answer.
    Send(Request),
    /// The exchange is over.
    Done(TokenAnswer),
}

impl fmt::Debug for Step {
    /// A request is shown by its address only: headers and body hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Send(request) => write!(f, "Send({} {})", request.method(), request.uri().path()),
            Step::Done(answer) => f.debug_tuple("Done").field(answer).finish(),
        }
    }
}

/// A token request under way. Feed answers until [`Step::Done`].
#[derive(Debug)]
pub struct Exchange {
    dialect: Dialect,
    expires_in_default: Option<i64>,
    /// What was sent, to take it out of everything that is shown.
    known: Known,
    stage: Stage,
    second_failure: Option<TokenAnswer>,
}

/// Where a two-step exchange stands.
enum Stage {
    /// One answer ends it.
    Single,
    /// After the access token, this request rotates the cookie.
    AccessThenCookie(Request),
    /// The access token is here, the answer with the cookie is not.
    Cookie(Granted),
    /// Over.
    Over,
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Single => "Single",
            Stage::AccessThenCookie(_) => "AccessThenCookie",
            Stage::Cookie(_) => "Cookie",
            Stage::Over => "Over",
        })
    }
}

impl Exchange {
    /// Renews with the refresh secret held. `rotate_cookie` (usefulteam) asks for a new cookie as well, in a
    /// second request.
    pub fn refresh(
        server: &Server,
        client: &Client,
        refresh: &Secret,
        scope: Option<&str>,
        rotate_cookie: bool,
        ctx: &Ctx,
    ) -> Result<(Exchange, Request), WireError> {
        let request = match &server.dialect {
            Dialect::OAuth2 => oauth2::refresh(server, client, refresh, scope, ctx),
            Dialect::JsonRefresh(fields) => {
                json_refresh::refresh(server, fields, client, refresh, ctx)
            }
            Dialect::WordpressTmeister => Err(WireError::CannotRefresh {
                dialect: server.dialect.as_str(),
            }),
            Dialect::WordpressUsefulteam => usefulteam::access(server, refresh),
            Dialect::SimpleJwtLogin { version } => {
                simple_jwt_login::refresh(server, *version, refresh)
            }
            Dialect::Wcpos => wcpos::refresh(server, refresh),
        }?;
        let mut exchange = Self::new(server, client, &[refresh]);
        if rotate_cookie && server.dialect == Dialect::WordpressUsefulteam {
            exchange.stage = Stage::AccessThenCookie(usefulteam::rotate(server, refresh)?);
        }
        Ok((exchange, request))
    }

    /// Logs in with a username and a password.
    pub fn password(
        server: &Server,
        client: &Client,
        username: &str,
        password: &Secret,
        scope: Option<&str>,
        ctx: &Ctx,
    ) -> Result<(Exchange, Request), WireError> {
        let request = match &server.dialect {
            Dialect::OAuth2 => oauth2::password(server, client, username, password, scope, ctx),
            Dialect::JsonRefresh(fields) => {
                json_refresh::password(server, fields, client, username, password, ctx)
            }
            Dialect::WordpressTmeister => tmeister::login(server, username, password),
            Dialect::WordpressUsefulteam => usefulteam::login(server, username, password),
            Dialect::SimpleJwtLogin { .. } => simple_jwt_login::login(server, username, password),
            Dialect::Wcpos => Err(no_such_grant(server, "login by password")),
        }?;
        Ok((Self::new(server, client, &[password]), request))
    }

    /// Gets a token for the client itself (RFC 6749 §4.4). `scope` is space separated.
    pub fn client_credentials(
        server: &Server,
        client: &Client,
        scope: Option<&str>,
        ctx: &Ctx,
    ) -> Result<(Exchange, Request), WireError> {
        only_oauth2(server, "client credentials grant")?;
        let request = oauth2::client_credentials(server, client, scope, ctx)?;
        Ok((Self::new(server, client, &[]), request))
    }

    /// Redeems an authorization code (RFC 6749 §4.1.3) with its PKCE verifier.
    pub fn code(
        server: &Server,
        client: &Client,
        code: &Secret,
        redirect_uri: &str,
        verifier: &Secret,
        ctx: &Ctx,
    ) -> Result<(Exchange, Request), WireError> {
        only_oauth2(server, "authorization code grant")?;
        let request = oauth2::code(server, client, code, redirect_uri, verifier, ctx)?;
        Ok((Self::new(server, client, &[code, verifier]), request))
    }

    /// Asks whether a device code has been approved (RFC 8628 §3.4).
    pub fn device_token(
        server: &Server,
        client: &Client,
        device_code: &Secret,
        ctx: &Ctx,
    ) -> Result<(Exchange, Request), WireError> {
        only_oauth2(server, "device grant")?;
        let request = oauth2::device_token(server, client, device_code, ctx)?;
        Ok((Self::new(server, client, &[device_code]), request))
    }

    fn new(server: &Server, client: &Client, sent: &[&Secret]) -> Self {
        let mut known = Known::default();
        for secret in sent.iter().copied().chain(client.secret.as_ref()) {
            known.add(secret);
        }
        Self {
            dialect: server.dialect.clone(),
            expires_in_default: server.expires_in_default,
            known,
            stage: Stage::Single,
            second_failure: None,
        }
    }

    /// Takes the answer to the request sent last.
    pub fn on_response(&mut self, response: &Response, ctx: &Ctx) -> Step {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Single => Step::Done(self.read(response, ctx)),
            Stage::AccessThenCookie(rotation) => match self.read(response, ctx) {
                TokenAnswer::Granted(granted) if granted.refresh.is_none() => {
                    self.known.add(&granted.access);
                    self.stage = Stage::Cookie(granted);
                    Step::Send(rotation)
                }
                other => Step::Done(other),
            },
            Stage::Cookie(granted) => Step::Done(self.rotated(granted, response, ctx)),
            Stage::Over => Step::Done(TokenAnswer::Unusable(Unusable {
                why: "out_of_turn",
                ..unusable(response, "", &self.known)
            })),
        }
    }

    /// What is usable although the connection broke: the access token of a two-step exchange whose second
    /// answer did not come. Whether the cookie held is still good is then not known.
    pub fn salvage(self) -> Option<Granted> {
        match self.stage {
            Stage::Cookie(granted) => Some(granted),
            _ => None,
        }
    }

    /// Why the second step of a two-step exchange brought nothing, although the first granted a token.
    pub fn second_step_failure(&self) -> Option<&TokenAnswer> {
        self.second_failure.as_ref()
    }

    fn reading(&self) -> Reading {
        if self.dialect.is_wordpress() {
            Reading::WordPress
        } else {
            Reading::Plain
        }
    }

    fn read(&self, response: &Response, ctx: &Ctx) -> TokenAnswer {
        sort(response, self.reading(), &self.known, |value| {
            let mut granted = match &self.dialect {
                Dialect::OAuth2 => oauth2::granted(value, ctx),
                Dialect::JsonRefresh(fields) => json_refresh::granted(value, fields, ctx),
                Dialect::WordpressTmeister => tmeister::granted(value, ctx),
                Dialect::WordpressUsefulteam => usefulteam::granted(value, response.headers(), ctx),
                Dialect::SimpleJwtLogin { version } => {
                    simple_jwt_login::granted(value, *version, ctx)
                }
                Dialect::Wcpos => wcpos::granted(value, ctx),
            }?;
            granted.stated.profile = self.expires_in_default;
            // A JWT that renews itself outlives its own `exp`, by how much only the server knows.
            if !matches!(self.dialect, Dialect::SimpleJwtLogin { .. }) {
                granted.peek_refresh_lifetime();
            }
            Some(granted)
        })
    }

    /// Adds the new cookie to the grant. Without one the grant still stands; the failure is kept beside it.
    fn rotated(&mut self, mut granted: Granted, response: &Response, ctx: &Ctx) -> TokenAnswer {
        match usefulteam::refresh_cookie(response.headers(), ctx) {
            Some(cookie) if self.is_yes(response) => {
                granted.refresh = Some(cookie.value);
                granted.refresh_expires_in = cookie.expires_in;
            }
            _ => self.second_failure = Some(self.no_cookie(response)),
        }
        TokenAnswer::Granted(granted)
    }

    /// Whether the server carried out what it was asked, whatever else its body holds.
    fn is_yes(&self, response: &Response) -> bool {
        response.status().is_success()
            && object(response, self.reading()).is_ok_and(|value| !refusal::says_no(&value))
    }

    fn no_cookie(&self, response: &Response) -> TokenAnswer {
        match object(response, self.reading()) {
            Ok(value) if !response.status().is_success() || refusal::says_no(&value) => {
                TokenAnswer::Refused(refusal::read(response, &value, self.reading(), &self.known))
            }
            Ok(_) => TokenAnswer::Unusable(unusable(response, "no_cookie", &self.known)),
            Err(why) => TokenAnswer::Unusable(unusable(response, why, &self.known)),
        }
    }
}

fn only_oauth2(server: &Server, grant: &'static str) -> Result<(), WireError> {
    match server.dialect {
        Dialect::OAuth2 => Ok(()),
        _ => Err(no_such_grant(server, grant)),
    }
}

fn no_such_grant(server: &Server, grant: &'static str) -> WireError {
    WireError::NoSuchGrant {
        dialect: server.dialect.as_str(),
        grant,
    }
}
