//! The pages for people in their language, and logins that an API asked to be recent.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use axum::body::Body;
use http::{Request, StatusCode, header};
use serde_json::json;
use support::{Answer, PASSWORD, Server, authorization, form};

async fn get(server: &Server, path: &str, language: &str) -> Answer {
    let request = Request::get(path).header(header::ACCEPT_LANGUAGE, language);
    server.send(request.body(Body::empty()).unwrap()).await
}

async fn post(server: &Server, path: &str, cookie: &str, pairs: &[(&str, &str)]) -> Answer {
    let request = Request::post(path)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT_LANGUAGE, "nl-NL,nl;q=0.9,en;q=0.5")
        .header(header::COOKIE, cookie);
    server
        .send(request.body(Body::from(form(pairs))).unwrap())
        .await
}

fn cookie(page: &Answer) -> String {
    let set = page.header(header::SET_COOKIE);
    set.split(';').next().unwrap().to_owned()
}

#[track_caller]
fn is_dutch(page: &Answer, status: u16, words: &[&str]) {
    assert_eq!(page.status, status, "{}", page.text);
    assert!(page.text.contains("<html lang=\"nl\">"), "{}", page.text);
    for word in words {
        assert!(page.text.contains(word), "{word}: {}", page.text);
    }
    for english in [
        "Sign in",
        "User name",
        "Refuse<",
        "Continue",
        "You can",
        "Nothing was",
        "Error",
    ] {
        assert!(!page.text.contains(english), "{english}: {}", page.text);
    }
}

#[tokio::test]
async fn a_dutch_browser_logs_in_in_dutch() {
    let server = Server::start().await;
    let path = format!("/authorize?{}", authorization(&[]));
    let english = get(&server, &path, "fr,en;q=0.5").await;
    assert!(english.text.contains("<html lang=\"en\">") && english.text.contains("User name"));
    let page = get(&server, &path, "nl").await;
    is_dutch(
        &page,
        200,
        &[
            "Inloggen bij The",
            "Gebruikersnaam",
            "Wachtwoord",
            "Weigeren",
            "Daarna ga je terug naar 127.0.0.1.",
        ],
    );
    let asked = get(
        &server,
        &format!("/authorize?{}", authorization(&[("ui_locales", "fr nl")])),
        "en",
    )
    .await;
    is_dutch(&asked, 200, &["Inloggen bij"]);

    let (asked, token) = (page.field("asked"), page.field("token"));
    let log_in = |token: String, password: &'static str| {
        let (server, asked, cookie) = (&server, asked.clone(), cookie(&page));
        async move {
            let pairs = [
                ("asked", asked.as_str()),
                ("token", token.as_str()),
                ("username", "ada"),
                ("password", password),
                ("decision", "allow"),
            ];
            post(server, "/authorize", &cookie, &pairs).await
        }
    };
    let wrong = log_in(token.clone(), "canary-wrong").await;
    is_dutch(
        &wrong,
        400,
        &[
            "De gebruikersnaam of het wachtwoord klopt niet.",
            "Fout: Inloggen bij",
        ],
    );
    let stale = log_in("AAAA".to_owned(), PASSWORD).await;
    is_dutch(&stale, 400, &["Deze pagina stond te lang open"]);
    for _ in 0..5 {
        log_in(token.clone(), "canary-wrong").await;
    }
    let throttled = log_in(token, PASSWORD).await;
    is_dutch(
        &throttled,
        429,
        &["Te veel pogingen; probeer het over 1 s opnieuw."],
    );
    let unknown = get(&server, "/authorize?client_id=nosuch", "nl").await;
    is_dutch(
        &unknown,
        400,
        &["Deze inloglink klopt niet", "is hier niet bekend"],
    );
}

#[tokio::test]
async fn devices_and_logouts_are_dutch_too() {
    let server = Server::start().await;
    is_dutch(
        &get(&server, "/device", "nl").await,
        200,
        &["Inloggen op een apparaat", "Verder"],
    );
    let nothing = get(&server, "/device?user_code=AAAA-AAAA", "nl").await;
    is_dutch(
        &nothing,
        400,
        &[
            "Fout: Inloggen op een apparaat",
            "Bij deze code hoort geen login",
        ],
    );
    let begun = server
        .post("/device_authorization", &[("client_id", "app")])
        .await;
    let code = begun.text_of("user_code");
    let page = get(&server, &format!("/device?user_code={code}"), "nl").await;
    is_dutch(&page, 200, &["Inloggen bij The"]);
    let token = page.field("token");
    let pairs = [
        ("user_code", code.as_str()),
        ("token", &token),
        ("username", "ada"),
        ("password", PASSWORD),
        ("decision", "allow"),
    ];
    let done = post(&server, "/device", &cookie(&page), &pairs).await;
    is_dutch(&done, 200, &["Ingelogd", "Je kunt deze pagina sluiten."]);
    is_dutch(
        &get(&server, "/logout", "nl").await,
        400,
        &["Deze uitloglink klopt niet", "Er is niemand uitgelogd."],
    );
    is_dutch(
        &get(&server, "/error-codes/API02009", "nl").await,
        200,
        &["--lang nl"],
    );
    is_dutch(
        &get(&server, "/error-codes/x", "nl").await,
        404,
        &["Deze code bestaat niet"],
    );
}

#[tokio::test]
async fn tokens_say_how_and_when_the_person_logged_in() {
    let server = Server::start().await;
    let acr = "urn:tenure:acr:password";
    let asked = [
        ("max_age", "0"),
        ("acr_values", "gold urn:tenure:acr:password"),
    ];
    let code = server.code(&asked).await;
    let answer = server.redeem(&code, &[]).await;
    for name in ["access_token", "id_token"] {
        let token = tenure_jose::peek(&answer.text_of(name)).unwrap();
        assert_eq!(token.text("acr"), Some(acr), "{name}");
        assert_eq!(
            token.claims["auth_time"],
            json!(support::START_MS / 1000),
            "{name}"
        );
    }
    server.wait(support::HOUR);
    let refresh = answer.text_of("refresh_token");
    let next = server.refresh_as("app", &refresh).await;
    let token = tenure_jose::peek(&next.text_of("access_token")).unwrap();
    assert_eq!(
        token.claims["auth_time"],
        json!(support::START_MS / 1000),
        "no new login"
    );
    assert_eq!(token.text("acr"), Some(acr));
    let issued = server.issuer.issue("ada", "app", "orders").await.unwrap();
    let token = tenure_jose::peek(issued.access.expose()).unwrap();
    assert_eq!(token.text("acr"), None, "nobody was asked for anything");

    for (changes, error) in [
        ([("max_age", "soon")], "invalid_request"),
        ([("max_age", "-1")], "invalid_request"),
        (
            [("acr_values", "gold")],
            "unmet_authentication_requirements",
        ),
    ] {
        let answer = get(
            &server,
            &format!("/authorize?{}", authorization(&changes)),
            "en",
        )
        .await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER);
        assert_eq!(answer.location("error").as_deref(), Some(error));
    }
}
