//! `tenure login shop --browser`: the issuer's login page, the way back, and a machine without a browser.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::common::get;
use crate::support::{Example, Form, location, login, login_typing, shown_address};

/// The parameter of an address.
fn parameter(url: &str, name: &str) -> String {
    let url = url::Url::parse(url).expect("a URL");
    let found = url.query_pairs().find(|(key, _)| key == name);
    found.expect(name).1.into_owned()
}

#[test]
fn the_login_page_logs_in_and_the_running_gateway_serves_it() {
    let example = Example::start();
    let before = example.generation();
    example.log_out();
    let mut login = login(&example.home, &["--browser"]);
    let url = shown_address(&mut login);
    let redirect = parameter(&url, "redirect_uri");
    let port = url::Url::parse(&redirect).unwrap().port().expect("a port");
    // Browsers open connections ahead and leave them silent; they hold up nobody.
    let _silent = TcpStream::connect(("127.0.0.1", port)).expect("it listens");

    let form = Form::open(&url);
    let wrong = form.sign_in("not the password");
    assert_eq!(wrong.status, 400, "{wrong:?}");
    assert!(wrong.body.contains("role=\"alert\""), "{wrong:?}");
    let back = location(&form.sign_in(&example.password));
    assert!(back.starts_with(&redirect), "{back}");

    let asked = Instant::now();
    let state = parameter(&back, "state");
    let stranger = get(&back.replace(&state, "another"));
    assert_eq!(stranger.status, 400, "{stranger:?}");
    assert!(stranger.body.contains("another login"), "{stranger:?}");
    assert_eq!(login.try_status(), None, "the login goes on waiting");
    let page = get(&back);
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.body.contains("You are logged in"), "{page:?}");
    assert!(asked.elapsed() < Duration::from_secs(25), "held up");

    assert_eq!(login.wait().code(), Some(0), "{}", login.stderr());
    assert!(login.stdout().contains("shop is logged in"), "{login:?}");
    example.until_served();
    assert!(example.generation() > before);
}

#[test]
fn who_refuses_on_the_page_ends_the_login() {
    let example = Example::start();
    let mut login = login(&example.home, &["--browser"]);
    let form = Form::open(&shown_address(&mut login));
    let page = get(&location(&form.refuse()));
    assert_eq!(page.status, 400, "{page:?}");
    assert!(page.body.contains("access_denied"), "{page:?}");
    assert_eq!(login.wait().code(), Some(3));
    let said = login.stderr();
    assert!(
        said.contains("refused the login") && said.contains("tenure login shop --browser"),
        "{said}"
    );
    assert_eq!(
        example.up.gateway("/shop/orders").status,
        200,
        "the session is as it was"
    );
}

#[test]
fn without_a_browser_the_address_is_pasted() {
    let example = Example::start();
    example.log_out();
    let (mut login, mut terminal) = login_typing(&example.home, &["--browser"]);
    let form = Form::open(&shown_address(&mut login));
    let back = location(&form.sign_in(&example.password));
    writeln!(terminal, "\n{back}").expect("typed");
    assert_eq!(login.wait().code(), Some(0), "{}", login.stderr());
    example.until_served();
    let code = parameter(&back, "code");
    assert!(!login.stderr().contains(&code), "the code is not shown");
}

#[test]
fn pasted_nonsense_is_asked_for_again_three_times() {
    let example = Example::start();
    example.log_out();
    let (mut login, mut terminal) = login_typing(&example.home, &["--browser"]);
    let form = Form::open(&shown_address(&mut login));
    let back = location(&form.sign_in(&example.password));
    writeln!(terminal, "canary-7\nhttp://127.0.0.1/\n{back}").expect("typed");
    assert_eq!(login.wait().code(), Some(0), "{}", login.stderr());
    let said = login.stderr();
    assert_eq!(said.matches("Paste the whole address").count(), 2, "{said}");
    assert!(!said.contains("canary"), "{said}");

    let (mut login, mut terminal) = login_typing(&example.home, &["--browser"]);
    shown_address(&mut login);
    writeln!(terminal, "a\nb\nc").expect("typed");
    assert_eq!(login.wait().code(), Some(3), "{}", login.stderr());
}

#[test]
fn a_pasted_address_of_another_login_is_refused() {
    let example = Example::start();
    let (mut login, mut terminal) = login_typing(&example.home, &["--browser"]);
    let redirect = parameter(&shown_address(&mut login), "redirect_uri");
    writeln!(terminal, "{redirect}?code=stolen-code&state=guessed").expect("typed");
    assert_eq!(login.wait().code(), Some(3));
    let said = login.stderr();
    assert!(
        said.contains("another login") && !said.contains("stolen-code"),
        "{said}"
    );
}
