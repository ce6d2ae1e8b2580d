//! What both layers do with a session: where its token may go, what heals a refusal.

use tenure_core::Failure;
use tenure_diagnose::ApiVerdict;
use tenure_keeper::{AfterRefusal, Session, Token};
use url::Url;

use crate::error::{NoToken, NoUpstream};
use crate::served::Served;

/// A session whose token may go to one origin.
#[derive(Clone, Debug)]
pub(crate) struct Carrier {
    session: Session,
    upstream: Url,
}

impl Carrier {
    pub(crate) fn new(session: Session) -> Result<Self, NoUpstream> {
        match session.config().upstream.clone() {
            Some(upstream) => Ok(Self { session, upstream }),
            None => Err(NoUpstream(session.name().to_owned())),
        }
    }

    /// Whether scheme, host and port are those of the session's upstream (I15).
    pub(crate) fn owns(&self, scheme: &str, host: Option<&str>, port: Option<u16>) -> bool {
        let port = port.or(match scheme {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        });
        let (Some(host), Some(own)) = (host, self.upstream.host_str()) else {
            return false;
        };
        scheme == self.upstream.scheme()
            && host.eq_ignore_ascii_case(own)
            && port == self.upstream.port_or_known_default()
    }

    /// The session's token; waits only when there is no valid one.
    pub(crate) async fn token(&self) -> Result<Token, NoToken> {
        self.session
            .token_to_send()
            .await
            .map_err(|failure| NoToken {
                session: self.session.name().to_owned(),
                failure: Box::new(failure),
            })
    }

    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// After `token` was refused: a newer one to send the request again with (I12), else why there is none,
    /// where more is known than what the answer said.
    pub(crate) async fn heal(
        &self,
        token: &Token,
        refusal: &Failure,
    ) -> Result<Token, Option<Failure>> {
        match self
            .session
            .refused_because(token.generation, refusal)
            .await
        {
            AfterRefusal::Newer(newer) if newer.generation > token.generation => Ok(newer),
            AfterRefusal::Newer(_) | AfterRefusal::NotHealable => Err(None),
            AfterRefusal::Failed(failure) => Err(Some(failure)),
        }
    }

    /// Too late for this request; the next ones are to find a newer token.
    pub(crate) fn heal_for_the_next(&self, token: &Token, refusal: &Failure) {
        let (session, generation) = (self.session.clone(), token.generation);
        let refusal = refusal.clone();
        tokio::spawn(async move { drop(session.refused_because(generation, &refusal).await) });
    }

    /// What the answer to the second sending says; that the newer token was refused as well is told to people.
    pub(crate) fn second_answer(
        &self,
        newer: &Token,
        verdict: Option<ApiVerdict>,
    ) -> Option<Failure> {
        let verdict = verdict?;
        if verdict.refused {
            self.session.observed(newer.generation, &verdict.failure);
        }
        Some(verdict.failure)
    }

    /// What the caller is told.
    pub(crate) fn served(&self, token: &Token, replayed: bool, failure: Option<Failure>) -> Served {
        Served {
            session: self.session.name().to_owned(),
            generation: token.generation,
            replayed,
            failure: failure.map(Box::new),
        }
    }
}
