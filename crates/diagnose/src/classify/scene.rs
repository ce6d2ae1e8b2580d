//! What surrounds an answer's words: who answered what with which status, and what is known locally. Rules ask
//! for these names as they ask for words.

use super::answer::{Answer, Place};
use super::local::{Grant, Local};
use super::read::{Reading, Shape};
use super::rules::Bits;

macro_rules! scene {
    ($($constant:ident = $name:literal),* $(,)?) => {
        #[derive(Clone, Copy)]
        #[allow(non_camel_case_types)]
        enum Scene { $($constant),* }

        /// The names, in the order of their numbers.
        pub(crate) const NAMES: &[&str] = &[$($name),*];
    };
}

scene! {
    AtToken = "at_token", AtResource = "at_resource",
    Refresh = "g_refresh", Code = "g_code", Device = "g_device", Password = "g_password", Client = "g_client",
    Assertion = "g_other",
    Json = "json", Xml = "xml", Html = "html", Plain = "plain", Empty = "empty",
    Silent = "silent", TokenChallenge = "token_challenge", OtherChallenge = "other_challenge",
    ChallengeError = "challenge_error", Denies = "denies",
    Sent = "sent", NotSent = "not_sent", LocalExpired = "local_expired", LocalFresh = "local_fresh",
    NoRefresh = "no_refresh", RefreshOver = "refresh_over", ClockOff = "clock_off", OtherHost = "other_host", ScopeGap = "scope_gap", Cut = "cut", EmptyObject = "empty_object", LoginForm = "login_form", FlaskJwt = "flask_jwt",
    S401 = "s401", S403 = "s403", S400 = "s400", S4xx = "s4xx", S5xx = "s5xx", S2xx = "s2xx", S3xx = "s3xx",
}

/// The scene of an answer.
pub(crate) fn of(answer: &Answer<'_>, reading: &Reading, local: &Local) -> Bits {
    let mut bits = Bits::default();
    let mut set = |scene: Scene, holds: bool| {
        if holds {
            bits.set(scene as u8);
        }
    };
    let token = answer.place == Place::Token;
    set(Scene::AtToken, token);
    set(Scene::AtResource, !token);
    set(Scene::Refresh, token && local.grant == Grant::RefreshToken);
    set(
        Scene::Code,
        token && local.grant == Grant::AuthorizationCode,
    );
    set(Scene::Device, token && local.grant == Grant::DeviceCode);
    set(Scene::Password, token && local.grant == Grant::Password);
    set(
        Scene::Client,
        token && local.grant == Grant::ClientCredentials,
    );
    set(Scene::Assertion, token && local.grant == Grant::Other);
    set(Scene::Json, reading.shape == Shape::Json);
    set(Scene::Xml, reading.shape == Shape::Xml);
    set(Scene::Html, reading.shape == Shape::Html);
    set(Scene::Plain, reading.shape == Shape::Plain);
    set(Scene::Empty, reading.shape == Shape::Empty);
    set(
        Scene::Silent,
        reading.text.is_empty() && reading.codes.is_empty(),
    );
    set(Scene::Denies, reading.denies);
    let tokens = || {
        reading
            .challenges
            .iter()
            .filter(|challenge| challenge.carries_tokens())
    };
    set(Scene::TokenChallenge, tokens().next().is_some());
    set(
        Scene::ChallengeError,
        tokens().any(|challenge| challenge.param("error").is_some()),
    );
    set(
        Scene::OtherChallenge,
        !reading.challenges.is_empty() && tokens().next().is_none(),
    );
    set(Scene::Sent, local.surely_sent());
    set(Scene::NotSent, local.surely_not_sent());
    set(Scene::LocalExpired, local.token_expired == Some(true));
    set(Scene::LocalFresh, local.token_expired == Some(false));
    set(Scene::NoRefresh, !local.has_refresh);
    set(Scene::RefreshOver, local.refresh_expired);
    set(Scene::Cut, reading.cut);
    set(Scene::EmptyObject, reading.bare);
    set(Scene::LoginForm, reading.login_form);
    set(
        Scene::FlaskJwt,
        !token && answer.status == 422 && reading.only_msg,
    );
    set(Scene::OtherHost, local.other_host());
    set(Scene::ScopeGap, scope_gap(answer));
    set(Scene::ClockOff, local.clock_is_off().is_some());
    set(Scene::S400, answer.status == 400);
    set(Scene::S401, answer.status == 401);
    set(Scene::S403, answer.status == 403);
    set(Scene::S4xx, (400..500).contains(&answer.status));
    set(Scene::S5xx, (500..600).contains(&answer.status));
    set(Scene::S2xx, answer.status < 300);
    set(Scene::S3xx, (300..400).contains(&answer.status));
    bits
}

/// GitHub names the scopes a token has and those any of which would do.
fn scope_gap(answer: &Answer<'_>) -> bool {
    let (Some(has), Some(wants)) = (
        answer.header("x-oauth-scopes"),
        answer.header("x-accepted-oauth-scopes"),
    ) else {
        return false;
    };
    let mut wanted = wants
        .split(',')
        .map(str::trim)
        .filter(|scope| !scope.is_empty())
        .peekable();
    wanted.peek().is_some() && wanted.all(|scope| !has.split(',').any(|own| own.trim() == scope))
}
