//! `tenure login shop --device`: a code, entered at the issuer's page, polled for at the server's pace.

use tenure_lab::fault::Fault;
use tenure_lab::{FaultyIssuer, IssuerConfig, Process};

use crate::support::{Example, Form, home_at, login, state};

/// Timers and clocks of two processes agree to this, in ms.
const JITTER_MS: i64 = 150;

/// The code and the address with the code in it, as shown.
fn shown(login: &mut Process) -> (String, String) {
    let line = login.wait_for_line("type the code");
    let code = line.rsplit(' ').next().unwrap().to_owned();
    let line = login.wait_for_line("or open ");
    let address = line.rsplit(' ').next().unwrap().to_owned();
    assert!(address.contains(&code), "{address}");
    (code, address)
}

#[test]
fn a_code_entered_at_the_page_logs_in() {
    let example = Example::start();
    example.log_out();
    let mut login = login(&example.home, &["--device"]);
    let (_, address) = shown(&mut login);
    let page = Form::open(&address).sign_in(&example.password);
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.body.contains("Signed in"), "{page:?}");
    assert_eq!(login.wait().code(), Some(0), "{}", login.stderr());
    example.until_served();
}

#[test]
fn who_refuses_at_the_page_ends_the_login_and_nothing_else() {
    let example = Example::start();
    let mut login = login(&example.home, &["--device"]);
    let (_, address) = shown(&mut login);
    let page = Form::open(&address).refuse();
    assert_eq!(page.status, 200, "{page:?}");
    assert_eq!(login.wait().code(), Some(3));
    let said = login.stderr();
    assert!(
        said.contains("the login was refused")
            && said.contains("API02001")
            && said.contains("tenure login shop --device"),
        "{said}"
    );
    assert_eq!(example.up.gateway("/shop/orders").status, 200);
}

#[test]
fn polls_keep_the_interval_and_slow_down_when_told() {
    let issuer = FaultyIssuer::start(IssuerConfig {
        device_interval_s: 1,
        ..IssuerConfig::default()
    });
    let home = home_at(&issuer);
    issuer
        .faults()
        .next(Fault::status(400, r#"{"error":"slow_down"}"#));
    let mut login = login(&home, &["--device"]);
    let (code, _) = shown(&mut login);
    issuer.approve_device(&code);
    assert_eq!(login.wait().code(), Some(0), "{}", login.stderr());
    let at = |path: &str| -> Vec<i64> {
        let requests = issuer.requests_to(path);
        requests.iter().map(|request| request.at_ms).collect()
    };
    let (asked, polls) = (at("/device_authorization"), at("/token"));
    assert_eq!((asked.len(), polls.len()), (1, 2));
    assert!(
        polls[0] - asked[0] >= 1_000 - JITTER_MS,
        "{asked:?} {polls:?}"
    );
    assert!(
        polls[1] - polls[0] >= 6_000 - JITTER_MS,
        "slow_down adds 5 s to the interval (RFC 8628 §3.5): {polls:?}"
    );
    assert_eq!(state(&home), ("fresh".to_owned(), 1));
}
