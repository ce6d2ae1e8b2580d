//! From what a person has before them (a code, a server's code or message, a symptom) to the codes it can mean.

use tenure_core::{Class, Code};

use super::symptoms::{self, EXACT};
use super::{Lang, ServerError, title, written};
use crate::classify::{Answer, Local, Place, code_of, judge, normal, rules};

/// Shortest phrase of a rule that may be found inside a message, in bytes.
const PHRASE_MIN: usize = 8;
/// More ways than this to mean one code are not listed.
const WAYS_MAX: usize = 5;
/// More codes than this are of no help to anybody.
const FOUND_MAX: usize = 8;
/// Score from which a code is named beside a remark that it may be no failure of a token.
const SURE: u32 = 58;
/// Shorter words stand in too many titles to mean one.
const TITLE_MIN: usize = 3;

/// What a query means.
#[derive(Clone, Debug, Default)]
pub struct Meaning {
    /// What it is, when it is no failure of a token, or often is none.
    pub other: Option<&'static str>,
    /// The codes it can mean, the likeliest first. Empty when none is known.
    pub found: Vec<Found>,
}

/// A code that was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The code.
    pub code: Code,
    /// Why: the strongest reason first, at most a handful.
    pub hits: Vec<Hit>,
}

/// One reason why a code is meant.
#[derive(Clone, Debug)]
pub enum Hit {
    /// It is the code itself.
    Code,
    /// A server says so; what it says, and what tells it apart, stands in the rule.
    Server(ServerError),
    /// The classifier reads the message so, at this kind of endpoint (`token` or `resource`).
    Read(&'static str),
    /// Somebody described it so.
    Symptom(&'static str),
    /// The page or its title has the words.
    Page,
}

/// The codes a query can mean, in whatever language it is; `lang` is the one to answer in.
pub fn search(query: &str, lang: Lang) -> Meaning {
    let query = query.trim();
    if query.is_empty() {
        return Meaning::default();
    }
    let named = named(query);
    if !named.is_empty() {
        return Meaning {
            other: None,
            found: named,
        };
    }
    let words = symptoms::words(query);
    let mut finder = Finder::default();
    let mut other = symptoms::other(&words, lang);
    finder.servers(query);
    if let Some(status) = status(query) {
        other = finder
            .status(status, lang)
            .map(|general| other.unwrap_or(general));
    } else {
        let about = finder.reading(query, other.is_some(), lang);
        other = other.or(about);
    }
    finder.symptoms(&words, lang);
    finder.pages(query);
    finder.done(other)
}

/// The codes closest to what looks like one of ours and is none.
pub fn closest_to_unknown(query: &str) -> Option<Vec<Code>> {
    const LONGEST: usize = 7;
    let squeezed = squeezed(query);
    let rest = squeezed.strip_prefix("API")?;
    let digits = rest.bytes().filter(u8::is_ascii_digit).count();
    let looks_like_one = digits * 2 > rest.len() && rest.len() <= LONGEST;
    (looks_like_one && code(&squeezed).is_none()).then(|| super::closest(&squeezed))
}

/// The codes that are named: by the whole query, or by words of it.
fn named(query: &str) -> Vec<Found> {
    let mut codes: Vec<Code> = code(&squeezed(query)).into_iter().collect();
    if codes.is_empty() {
        let words = query.split(|letter: char| !letter.is_ascii_alphanumeric());
        codes.extend(words.filter(|word| word.len() > 5).filter_map(code));
    }
    let mut found: Vec<Found> = Vec::new();
    for code in codes {
        if !found.iter().any(|found| found.code == code) {
            found.push(Found {
                code,
                hits: vec![Hit::Code],
            });
        }
    }
    found
}

/// `API 02002` and `api-02002` are `API02002`.
fn squeezed(query: &str) -> String {
    let kept = query.chars().filter(char::is_ascii_alphanumeric);
    kept.collect::<String>().to_ascii_uppercase()
}

/// `API02002`, `api02002`, `02002`, `2002`.
fn code(query: &str) -> Option<Code> {
    let upper = query.to_ascii_uppercase();
    let digits = upper.strip_prefix("API").unwrap_or(&upper);
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    (all_digits && digits.len() <= 5).then(|| Code::parse(&format!("API{digits:0>5}")))?
}

/// The status, where a query is nothing more: `404`, `HTTP 404`, `foutcode 404`.
fn status(query: &str) -> Option<u16> {
    number(query)?
        .parse()
        .ok()
        .filter(|status| (300..600).contains(status))
}

/// The number, where a query is nothing more.
fn number(query: &str) -> Option<String> {
    const SAID_BESIDE: [&str; 9] = [
        "http",
        "https",
        "status",
        "error",
        "code",
        "statuscode",
        "fout",
        "foutcode",
        "melding",
    ];
    let lower = query.to_lowercase();
    let mut words = lower
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty() && !SAID_BESIDE.contains(word));
    let number = words.next()?;
    let alone = words.next().is_none() && number.bytes().all(|byte| byte.is_ascii_digit());
    alone.then(|| number.to_owned())
}

/// Whether a server's code is this number under a key or a prefix: `code:190`, `AADSTS50076`.
fn numbered(known: &str, number: &str) -> bool {
    const SHORTEST: usize = 3;
    let prefix = known.strip_suffix(number);
    number.len() >= SHORTEST
        && prefix.is_some_and(|prefix| !prefix.ends_with(|last: char| last.is_ascii_digit()))
}

#[derive(Default)]
struct Finder(Vec<Candidate>);

struct Candidate {
    code: Code,
    /// Why, and how much it counts.
    reasons: Vec<(u32, Hit)>,
}

impl Candidate {
    fn score(&self) -> u32 {
        let scores = self.reasons.iter().map(|(score, _)| *score);
        scores.max().unwrap_or_default()
    }

    /// With the reasons that count, the strongest first; what a server says comes before, as it tells codes apart.
    fn found(mut self, least: u32) -> Found {
        self.reasons.sort_by_key(|(score, hit)| {
            let server = matches!(hit, Hit::Server(_));
            (!server, std::cmp::Reverse(*score))
        });
        let count = self
            .reasons
            .into_iter()
            .filter(|(score, _)| *score >= least);
        Found {
            code: self.code,
            hits: count.map(|(_, hit)| hit).take(WAYS_MAX).collect(),
        }
    }
}

impl Finder {
    fn add(&mut self, code: Code, score: u32, hit: Hit) {
        match self.0.iter_mut().find(|known| known.code == code) {
            Some(known) => known.reasons.push((score, hit)),
            None => self.0.push(Candidate {
                code,
                reasons: vec![(score, hit)],
            }),
        }
    }

    /// Rules that know the code, or a phrase of the message.
    fn servers(&mut self, query: &str) {
        let asked = normal(query);
        let number = number(query);
        for rule in rules() {
            let code = code_of(rule.class, &rule.cause);
            let by_code = rule.codes.iter().any(|known| normal(known) == asked);
            let by_text = rule.texts.iter().any(|phrase| {
                let phrase = normal(phrase.trim_matches('*'));
                phrase == asked || (phrase.len() >= PHRASE_MIN && asked.contains(&phrase))
            });
            let by_number = number
                .as_ref()
                .is_some_and(|number| rule.codes.iter().any(|known| numbered(known, number)));
            let score = match (by_code, by_text || by_number) {
                // Some profiles give a code a meaning of its own.
                (true, _) if !rule.profiles().is_empty() => 65,
                (true, _) => 80,
                (false, true) => 60,
                (false, false) => continue,
            };
            self.add(code, score, Hit::Server(ServerError::of(rule)));
        }
    }

    /// What the classifier makes of it, as the message of an API and of a token endpoint; what is said where it
    /// is no failure of a token.
    fn reading(&mut self, query: &str, is_other: bool, lang: Lang) -> Option<&'static str> {
        let body = serde_json::json!({ "message": query }).to_string();
        // As an API's message it is met most often; what somebody tells of their day is none, and its words are chance.
        let (api, token) = if symptoms::is_told(query) {
            (18, 15)
        } else {
            (75, 58)
        };
        let class = self.read(Place::Resource, 401, &body, api);
        let not_auth = class == Class::NotAuth;
        // A coupon that is over is no subscription that is over, whatever a token endpoint would mean by it.
        if !not_auth && !is_other {
            self.read(Place::Token, 400, &body, token);
        }
        not_auth.then(|| general(lang))
    }

    /// What a status means that comes with nothing else.
    fn status(&mut self, status: u16, lang: Lang) -> Option<&'static str> {
        let class = self.read(Place::Resource, status, "", 78);
        self.read(Place::Token, status, "", 70);
        (class == Class::NotAuth).then(|| general(lang))
    }

    fn read(&mut self, place: Place, status: u16, body: &str, score: u32) -> Class {
        let headers = http::HeaderMap::new();
        let answer = Answer {
            place,
            status,
            headers: &headers,
            body: body.as_bytes(),
        };
        let local = Local {
            token_sent: true,
            has_refresh: true,
            ..Local::default()
        };
        let failure = judge(&answer, &local, None).failure;
        if !matches!(failure.class, Class::Unknown | Class::NotAuth) {
            let name = match place {
                Place::Token => "token",
                Place::Resource => "resource",
            };
            self.add(failure.code, score, Hit::Read(name));
        }
        failure.class
    }

    fn symptoms(&mut self, asked: &[String], lang: Lang) {
        for symptom in symptoms::symptoms() {
            let score = symptom.score(asked);
            if score == 0 {
                continue;
            }
            for (place, code) in (0u32..).zip(&symptom.codes) {
                let text = symptom.text(lang);
                self.add(*code, score.saturating_sub(place), Hit::Symptom(text));
            }
        }
    }

    fn pages(&mut self, query: &str) {
        let asked = query.to_lowercase();
        for code in Code::ALL {
            let score = |lang| {
                let title = title(*code, lang).to_lowercase();
                if title == asked {
                    100
                } else if asked.len() >= TITLE_MIN && title.contains(&asked) {
                    76
                } else if written(*code, lang).to_lowercase().contains(&asked) {
                    10
                } else {
                    0
                }
            };
            let best = Lang::ALL.into_iter().map(score).max().unwrap_or_default();
            if best > 0 {
                self.add(*code, best, Hit::Page);
            }
        }
    }

    /// The likeliest first, without what is far less likely. A symptom that is known word for word outweighs the
    /// remark that it may be no failure of a token.
    fn done(mut self, other: Option<&'static str>) -> Meaning {
        self.0.sort_by_key(|known| std::cmp::Reverse(known.score()));
        let top = self.0.first().map_or(0, Candidate::score);
        // Beside something else, words in common are chance.
        let least = if other.is_some() { SURE } else { top / 3 };
        let likely = self.0.into_iter().filter(|known| known.score() >= least);
        Meaning {
            other: other.filter(|_| top < EXACT),
            found: likely
                .take(FOUND_MAX)
                .map(|known| known.found(least))
                .collect(),
        }
    }
}

fn general(lang: Lang) -> &'static str {
    match lang {
        Lang::En => {
            "From an API this is not a token failure: it is about something else than the login."
        }
        Lang::Nl => {
            "Van een API is dit geen tokenfout: het gaat over iets anders dan het inloggen."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(query: &str) -> Vec<Code> {
        let found = search(query, Lang::En).found;
        found.into_iter().map(|found| found.code).collect()
    }

    #[test]
    fn a_code_is_found_however_it_is_said() {
        for said in [
            "API02002",
            "api02002",
            "02002",
            "2002",
            " API02002 ",
            "API 02002",
            "api-02002",
            "API02002.",
            "error API02002: token expired",
        ] {
            assert_eq!(codes(said), [Code::TokenExpired], "{said}");
        }
        assert!(!codes("99999").contains(&Code::TokenExpired));
    }

    #[test]
    fn a_server_s_code_lists_all_it_can_mean() {
        let found = codes("jwt_auth_invalid_token");
        for code in [Code::TokenExpired, Code::SigningKeyChanged] {
            assert!(found.contains(&code), "{code}: {found:?}");
        }
    }

    #[test]
    fn a_message_is_enough() {
        assert_eq!(
            codes("Signature verification failed")[0],
            Code::SigningKeyChanged
        );
        assert_eq!(codes("jwt expired")[0], Code::TokenExpired);
        assert_eq!(codes("AADSTS700082"), [Code::RefreshExpired]);
    }

    /// What somebody types, and the code that must come first.
    const TYPED: &[(&str, &str)] = &[
        ("logged out after lunch", "API02009"),
        ("we were all logged out after lunch again", "API02009"),
        ("keeps logging me out every 20 minutes", "API02002"),
        ("the till keeps logging me out every 20 minutes", "API02002"),
        ("logged out every hour", "API02002"),
        ("ik word steeds uitgelogd", "API02002"),
        ("ik word elke 15 minuten uitgelogd", "API02002"),
        ("kassa logt uit", "API02002"),
        ("user gets logged out randomly", "API02002"),
        ("steeds opnieuw wachtwoord invullen", "API02002"),
        ("ERR_CONNECTION_REFUSED", "API01002"),
        ("expired", "API02002"),
        ("de kassa logt telkens uit", "API02002"),
        ("we worden elke ochtend uitgelogd", "API02016"),
        ("I have to log in every day", "API02016"),
        ("sessie verlopen", "API02016"),
        ("je sessie is verlopen", "API02016"),
        ("session expired", "API02016"),
        ("certificate has expired", "API01005"),
        ("ssl certificate expired", "API01005"),
        ("certificaat is verlopen", "API01005"),
        ("unable to get local issuer certificate", "API01005"),
        (
            "curl: (60) SSL certificate problem: unable to get local issuer certificate",
            "API01005",
        ),
        ("x509: certificate signed by unknown authority", "API01005"),
        ("UNABLE_TO_VERIFY_LEAF_SIGNATURE", "API01005"),
        ("password changed", "API02014"),
        ("ik heb mijn wachtwoord gewijzigd", "API02014"),
        ("wrong password", "API02001"),
        ("verkeerd wachtwoord", "API02001"),
        ("I can't log in", "API02001"),
        ("kan niet inloggen", "API02001"),
        ("190", "API02002"),
        ("Meta error 190", "API02002"),
        ("50076", "API02013"),
        ("AADSTS50076", "API02013"),
        ("error 700082", "API02009"),
        ("404", "API02021"),
        ("HTTP 404", "API02021"),
        ("401", "API02999"),
        ("403", "API02005"),
        ("407", "API01010"),
        ("429", "API03005"),
        ("foutcode 503", "API01008"),
        ("500", "API01009"),
        ("invalid_grant", "API02008"),
        ("invalid_client", "API02019"),
        ("clock is wrong", "API02023"),
        ("de klok staat verkeerd", "API02023"),
        ("too many requests", "API03005"),
        ("te veel verzoeken", "API03005"),
        ("captcha", "API01010"),
        ("consent required", "API02017"),
        ("toestemming vereist", "API02017"),
        ("MFA", "API02013"),
        ("tweestapsverificatie", "API02013"),
        ("token verlopen", "API02002"),
        ("refresh token expired", "API02009"),
        ("geen internet in de winkel", "API01007"),
        ("de website ligt eruit", "API01008"),
        ("disk full", "API02026"),
        ("schijf vol", "API02026"),
        ("tablet gestolen", "API02014"),
        ("subscription expired", "API02018"),
        ("I am logged out every night", "API02016"),
        ("elke nacht uitgelogd", "API02016"),
        ("'s nachts uitgelogd", "API02016"),
        ("I get logged out at midnight", "API02016"),
        ("logged out after password change", "API02014"),
        ("uitgelogd na wachtwoordwijziging", "API02014"),
        ("kan niet afrekenen", "API02002"),
        ("cannot check out", "API02002"),
        ("can't take payments at the till", "API02002"),
        ("steeds uitgelogd", "API02002"),
        ("we keep getting kicked out", "API02002"),
        ("logged out after restart", "API02025"),
        ("uitgelogd na herstart", "API02025"),
        ("logged out after reboot", "API02025"),
        ("logged out every two weeks", "API02009"),
        ("uitgelogd na een maand", "API02009"),
        ("logged out on all devices", "API02014"),
        ("ik ben op alle apparaten uitgelogd", "API02014"),
        ("logged out when I log in on my phone", "API02015"),
        ("uitgelogd als ik op mijn telefoon inlog", "API02015"),
        ("login page keeps coming back", "API02023"),
        ("inlogscherm komt steeds terug", "API02023"),
        ("orders do not sync", "API02007"),
        ("bestellingen komen niet binnen", "API02007"),
        ("voorraad wordt niet bijgewerkt", "API02007"),
        ("white screen", "API01009"),
        ("scherm blijft wit", "API01009"),
        ("employee left the company", "API02014"),
        ("medewerker uit dienst", "API02014"),
        ("de kassa doet het niet", "API01008"),
        ("till does not work", "API01008"),
        ("the app is slow", "API01001"),
        ("na de update werkt het niet meer", "API01009"),
        ("bestelling kan niet worden opgeslagen", "API02005"),
        ("session lost", "API02016"),
        ("sinds vanochtend geen verbinding", "API01007"),
        ("verbinding met server verbroken", "API01003"),
        ("inlogpagina van de wifi", "API01010"),
        ("user may not see orders", "API02004"),
        ("moved from staging to live", "API02021"),
        ("vernieuwen van token lukt niet", "API02007"),
    ];

    #[test]
    fn what_is_typed_finds_the_likeliest_code_whatever_the_language() {
        let mut wrong = Vec::new();
        for (typed, code) in TYPED {
            for lang in Lang::ALL {
                let meaning = search(typed, lang);
                let first = meaning.found.first().map(|found| found.code.as_str());
                if first != Some(*code) {
                    wrong.push(format!("{typed:?} in {lang:?}: {meaning:?}"));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn what_is_no_failure_of_a_token_is_said_to_be_none() {
        for typed in [
            "coupon expired",
            "kortingscode verlopen",
            "gift card expired",
            "your cart has expired",
            "payment declined",
            "out of stock",
            "offer expired",
            "422",
        ] {
            for (lang, says) in [
                (Lang::En, "not a token failure"),
                (Lang::Nl, "geen tokenfout"),
            ] {
                let meaning = search(typed, lang);
                let other = meaning.other.unwrap_or_default();
                assert!(other.contains(says), "{typed:?}: {meaning:?}");
                assert!(meaning.found.is_empty(), "{typed:?}: {meaning:?}");
            }
        }
        // From an API it is none; a token endpoint that is not there is a wrong address.
        assert!(search("404", Lang::En).other.is_some());
        for typed in [
            "token expired",
            "certificate has expired",
            "401",
            "429",
            "MFA",
        ] {
            assert_eq!(search(typed, Lang::En).other, None, "{typed}");
        }
    }

    #[test]
    fn a_code_that_does_not_exist_leads_to_the_closest() {
        for typed in ["API99999", "api 99999", "API-99999"] {
            let close = closest_to_unknown(typed).expect("looks like a code");
            assert_eq!(close[0], Code::Unrecognised, "{typed}");
            assert!(codes(typed).is_empty(), "{typed}");
        }
        for typed in [
            "API02002",
            "api key",
            "api",
            "api 2 down",
            "99999",
            "disk full",
        ] {
            assert_eq!(closest_to_unknown(typed), None, "{typed}");
        }
    }

    #[test]
    fn nonsense_means_nothing() {
        assert!(codes("purple elephants").is_empty());
        assert!(codes("printer does not print").is_empty());
        assert!(codes("pinautomaat doet het niet").is_empty());
        assert!(codes("  ").is_empty());
    }
}
