//! The languages of the pages for people. Sentences are written in English in the code and looked up here.

use std::borrow::Cow;
use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, header};

/// A language.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Lang {
    #[default]
    En,
    Nl,
}

/// English and Dutch; `{}` stands for what differs from time to time.
const NL: &[(&str, &str)] = &[
    // The login page.
    ("Sign in to {}", "Inloggen bij {}"),
    ("Error: {}", "Fout: {}"),
    ("It will be allowed:", "Deze toepassing krijgt toegang tot:"),
    ("Then you return to {}.", "Daarna ga je terug naar {}."),
    (
        "{}: (an app on this device)",
        "{}: (een app op dit apparaat)",
    ),
    ("User name", "Gebruikersnaam"),
    ("Password", "Wachtwoord"),
    ("Sign in", "Inloggen"),
    ("Refuse", "Weigeren"),
    (
        "The user name or the password is wrong.",
        "De gebruikersnaam of het wachtwoord klopt niet.",
    ),
    ("The account is disabled.", "Het account is uitgeschakeld."),
    (
        "Too many attempts; try again in {} s.",
        "Te veel pogingen; probeer het over {} s opnieuw.",
    ),
    (
        "This page was open for too long or in another browser. Please try again.",
        "Deze pagina stond te lang open, of in een andere browser. Probeer het opnieuw.",
    ),
    (
        "The server cannot reach its database; nothing was spent that a retry would not give again.",
        "De server kan zijn database niet bereiken. Probeer het zo opnieuw; er is niets verloren.",
    ),
    (
        "The server failed. The same request may be tried again.",
        "De server heeft een fout gemaakt. Probeer het gerust opnieuw.",
    ),
    // A link that cannot be followed.
    ("This login link is not valid", "Deze inloglink klopt niet"),
    ("This link cannot be followed", "Deze link werkt niet"),
    (
        "The redirect address is not valid.",
        "Het adres om naar terug te gaan klopt niet.",
    ),
    (
        "The address to return to is not valid.",
        "Het adres om naar terug te gaan klopt niet.",
    ),
    (
        "The application that sent you here is not registered. Nothing was shared with it.",
        "De toepassing die je hierheen stuurde is hier niet bekend. Er is niets met haar gedeeld.",
    ),
    (
        "The address to return to is not one the application registered. Nothing was shared with it.",
        "Het adres om naar terug te gaan is niet door de toepassing aangemeld. Er is niets mee gedeeld.",
    ),
    (
        "The application must hand its requests in beforehand. Nothing was shared with it.",
        "De toepassing moet haar verzoeken vooraf indienen. Er is niets met haar gedeeld.",
    ),
    (
        "The request it names is unknown or waited for too long. Go back to the application and begin again.",
        "Het verzoek achter deze link is onbekend of te oud. Ga terug naar de toepassing en begin opnieuw.",
    ),
    (
        "The server cannot reach its database. Please try again.",
        "De server kan zijn database niet bereiken. Probeer het opnieuw.",
    ),
    ("This form cannot be read", "Dit formulier is onleesbaar"),
    // The device page.
    ("Sign in on a device", "Inloggen op een apparaat"),
    (
        "Enter the code that the device shows. Do so only if you began this login yourself.",
        "Vul de code in die het apparaat toont. Doe dat alleen als je zelf aan het inloggen bent.",
    ),
    ("Code", "Code"),
    ("Continue", "Verder"),
    ("Refused", "Geweigerd"),
    (
        "The device gets no access. You can close this page.",
        "Het apparaat krijgt geen toegang. Je kunt deze pagina sluiten.",
    ),
    ("Signed in", "Ingelogd"),
    (
        "The device is signed in. You can close this page.",
        "Het apparaat is ingelogd. Je kunt deze pagina sluiten.",
    ),
    (
        "The code expired or was answered before. Start again on the device.",
        "De code is verlopen of al gebruikt. Begin opnieuw op het apparaat.",
    ),
    (
        "No login waits under this code. Compare it with the device; codes expire after a few minutes.",
        "Bij deze code hoort geen login. Vergelijk hem met het apparaat; codes verlopen na een paar minuten.",
    ),
    // The logout page.
    ("You are logged out", "Je bent uitgelogd"),
    (
        "The application can no longer act for you.",
        "De toepassing kan niets meer namens je doen.",
    ),
    (
        "This logout link is not valid",
        "Deze uitloglink klopt niet",
    ),
    (
        "It does not say which login is meant (`id_token_hint`). Nobody was logged out.",
        "Er staat niet in welke login bedoeld is (`id_token_hint`). Er is niemand uitgelogd.",
    ),
    (
        "Its `id_token_hint` is not from here. Nobody was logged out.",
        "De `id_token_hint` is niet van hier. Er is niemand uitgelogd.",
    ),
    (
        "The application it was issued to is not registered any more. Nobody was logged out.",
        "De toepassing is hier niet meer bekend. Er is niemand uitgelogd.",
    ),
    (
        "It was issued to another application than `client_id`. Nobody was logged out.",
        "De login hoort bij een andere toepassing dan `client_id`. Er is niemand uitgelogd.",
    ),
    (
        "The address to return to is not one the application registered. Nobody was logged out.",
        "Het adres om naar terug te gaan is niet door de toepassing aangemeld. Er is niemand uitgelogd.",
    ),
    // Codes.
    (
        "`tenure explain {}` tells what it means, its usual causes and what to do.",
        "`tenure explain {} --lang nl` vertelt wat het betekent, waar het door komt en wat je kunt doen.",
    ),
    ("No such code", "Deze code bestaat niet"),
    (
        "There is no error code of that name.",
        "Er is geen foutcode met die naam.",
    ),
];

impl Lang {
    /// What stands in `<html lang>`.
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Lang::En => "en",
            Lang::Nl => "nl",
        }
    }

    /// The first of a list of language tags that is spoken here.
    fn first<'a>(mut tags: impl Iterator<Item = &'a str>) -> Option<Self> {
        tags.find_map(|tag| {
            let base = tag.trim().split(['-', '_']).next().unwrap_or_default();
            match base.to_ascii_lowercase().as_str() {
                "nl" => Some(Lang::Nl),
                "en" => Some(Lang::En),
                _ => None,
            }
        })
    }

    /// By `Accept-Language` (RFC 9110 §12.5.4).
    fn of(headers: &HeaderMap) -> Self {
        let value = headers.get(header::ACCEPT_LANGUAGE);
        let text = value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let mut tags: Vec<(u32, &str)> = text
            .split(',')
            .filter_map(|one| {
                let (tag, parameter) = one.split_once(';').unwrap_or((one, ""));
                let weight = match parameter.trim().strip_prefix("q=") {
                    Some(weight) => weight.parse::<f32>().ok()?,
                    None => 1.0,
                };
                // Thousandths are all there is, and none means never.
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "between 0 and 1000"
                )]
                let weight = (weight.clamp(0.0, 1.0) * 1000.0) as u32;
                (weight > 0).then_some((weight, tag))
            })
            .collect();
        // Stable: of equals the first.
        tags.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
        Self::first(tags.into_iter().map(|(_, tag)| tag)).unwrap_or_default()
    }

    /// What an application asks for (`ui_locales`, OpenID Connect Core §3.1.2.1) goes before what the browser does.
    pub(crate) fn or_asked(self, ui_locales: Option<&str>) -> Self {
        Self::first(ui_locales.unwrap_or_default().split(' ')).unwrap_or(self)
    }

    /// A sentence in this language; in English where nobody has translated it.
    pub(crate) fn say(self, english: &str) -> Cow<'_, str> {
        if self == Lang::Nl {
            for (key, dutch) in NL {
                if let Some(filled) = fill(key, dutch, english) {
                    return filled.into();
                }
            }
        }
        english.to_owned().into()
    }

    /// A sentence with something in its place.
    pub(crate) fn say_with(self, english: &str, what: &str) -> String {
        let known = NL.iter().find(|(key, _)| *key == english);
        let sentence = match (self, known) {
            (Lang::Nl, Some((_, dutch))) => dutch,
            _ => english,
        };
        sentence.replacen("{}", what, 1)
    }
}

/// The translation of a sentence that is `key`, with what stands in its place.
fn fill(key: &str, translation: &str, sentence: &str) -> Option<String> {
    let Some((before, after)) = key.split_once("{}") else {
        return (key == sentence).then(|| translation.to_owned());
    };
    // One that begins or ends with a hole would fit nearly everything.
    if before.is_empty() || after.is_empty() {
        return None;
    }
    let inside = sentence.strip_prefix(before)?.strip_suffix(after)?;
    Some(translation.replacen("{}", inside, 1))
}

impl<S: Sync> FromRequestParts<S> for Lang {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn every_sentence_is_there_once_and_has_the_same_holes() {
        let mut keys: Vec<_> = NL.iter().map(|(key, _)| *key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), NL.len());
        for (english, dutch) in NL {
            let holes = |text: &str| text.matches("{}").count();
            assert_eq!(holes(english), holes(dutch), "{english}");
            assert!(holes(english) <= 1, "{english}");
        }
    }

    #[test]
    fn sentences_are_found_also_with_something_in_them() {
        let seconds = Lang::Nl.say("Too many attempts; try again in 12 s.");
        assert_eq!(seconds, "Te veel pogingen; probeer het over 12 s opnieuw.");
        assert_eq!(Lang::En.say("Sign in"), "Sign in");
        assert_eq!(Lang::Nl.say("Sign in"), "Inloggen");
        assert_eq!(Lang::Nl.say("Of nobody's"), "Of nobody's");
        assert_eq!(Lang::Nl.say_with("Sign in to {}", "{}"), "Inloggen bij {}");
    }

    #[test]
    fn the_browser_and_the_application_say_which() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_LANGUAGE, HeaderValue::from_static(text));
            Lang::of(&headers)
        };
        for (text, expected) in [
            ("nl", Lang::Nl),
            ("nl-BE,en;q=0.8", Lang::Nl),
            ("de, nl;q=0.5, en;q=0.7", Lang::En),
            ("en;q=0, nl;q=0.1", Lang::Nl),
            ("fr, de", Lang::En),
            ("", Lang::En),
            ("nl;q=abc", Lang::En),
        ] {
            assert_eq!(of(text), expected, "{text}");
        }
        assert_eq!(Lang::En.or_asked(Some("fr nl-NL en")), Lang::Nl);
        assert_eq!(Lang::Nl.or_asked(None), Lang::Nl);
    }
}
