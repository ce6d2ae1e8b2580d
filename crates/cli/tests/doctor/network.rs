//! From the name to the answer.

use tenure_lab::tls::{CA_PEM, PAST_CA_PEM, SELF_SIGNED_PEM};
use tenure_lab::{Fault, FaultProxy, FaultyIssuer, IssuerConfig, TlsFront};

use crate::common::Home;
use crate::support::{doctor, examine, home_at, home_with, import};

#[test]
fn a_name_that_is_none() {
    let home = home_with(
        "https://id.tenure-doctor.invalid",
        "https://api.tenure-doctor.invalid",
        "",
    );
    let found = doctor(&home);
    found.assert_verdict("API01004", 4, "dns");
    assert_eq!(found.outcome("tcp"), "skipped");
    assert!(found.steps()[0].contains("spelling"), "{:?}", found.steps());
    // That nobody is logged in is said, too, and is not the root.
    assert_eq!(found.json["also"][0], "API02010 Authentication Required");
}

#[test]
fn a_port_where_nobody_listens() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let proxy = FaultProxy::start(issuer.addr());
    let home = home_with(&proxy.url(), &proxy.url(), "");
    import(&home, &issuer.issue());
    proxy.refuse();
    let found = doctor(&home);
    found.assert_verdict("API01002", 5, "tcp");
    assert_eq!(found.outcome("dns"), "ok");
}

#[test]
fn a_certificate_nobody_trusts_and_one_that_is_trusted() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let front = TlsFront::start(issuer.addr(), &["h2", "http/1.1"]);
    issuer.set_public_url(&front.url());
    let home = home_with(&front.url(), &format!("{}/api", front.url()), "");
    import(&home, &issuer.issue());
    let found = doctor(&home);
    found.assert_verdict("API01005", 4, "tls");
    assert_eq!(found.json["verdict"]["cause"], "certificate_untrusted");
    assert!(found.steps()[0].contains("ca_file"), "{:?}", found.steps());
    assert!(found.fact("tls", "names").contains("localhost"));

    let home = home_with(
        &front.url(),
        &format!("{}/api", front.url()),
        "ca_file = \"ca.pem\"",
    );
    home.write("ca.pem", CA_PEM);
    import(&home, &issuer.issue());
    let found = doctor(&home);
    assert_eq!(found.code(), "", "{:#}", found.json);
    assert_eq!(found.outcome("tls"), "ok");
    assert!(
        found.check("tls")["says"]
            .as_str()
            .expect("a text")
            .contains("days are left")
    );
}

#[test]
fn a_certificate_whose_time_is_over() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let front = TlsFront::start_expired(issuer.addr());
    let home = home_with(&front.url(), &front.url(), "ca_file = \"ca.pem\"");
    home.write("ca.pem", PAST_CA_PEM);
    import(&home, &issuer.issue());
    let found = doctor(&home);
    found.assert_verdict("API01005", 4, "tls");
    assert_eq!(found.json["verdict"]["cause"], "certificate_expired");
    assert!(found.fact("tls", "not_after").contains("2021"));
    assert!(found.steps()[0].contains("Renew"), "{:?}", found.steps());
}

#[test]
fn a_certificate_that_vouches_for_itself() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let front = TlsFront::start_self_signed(issuer.addr());
    let home = home_with(&front.url(), &front.url(), "ca_file = \"ca.pem\"");
    home.write("ca.pem", SELF_SIGNED_PEM);
    import(&home, &issuer.issue());
    let found = doctor(&home);
    found.assert_verdict("API01005", 4, "tls");
    assert_eq!(found.json["verdict"]["cause"], "certificate_self_signed");
    assert!(found.steps()[0].contains("CA:FALSE"), "{:?}", found.steps());
}

#[test]
fn a_wordpress_site_without_a_token_plugin() {
    let site = tenure_lab::wordpress::Tmeister::start();
    site.deactivate_plugin();
    let home = Home::new();
    let found = examine(&home, &[&site.url()]);
    let says = found.check("kind")["says"].as_str().expect("a text");
    assert!(says.contains("WordPress site"), "{:#}", found.json);
    assert!(!says.contains("no REST index"), "{says}");
}

#[test]
fn a_captive_portal_by_page_and_by_redirect() {
    let redirect = Fault::Status(
        302,
        String::new(),
        vec![(
            "location".to_owned(),
            "http://portal.invalid/login".to_owned(),
        )],
    );
    for (fault, cause) in [
        (Fault::Html200, "captive_portal"),
        (redirect, "redirect_to_another_host"),
    ] {
        let issuer = FaultyIssuer::start(IssuerConfig::new());
        let home = home_at(&issuer);
        import(&home, &issuer.issue());
        issuer.api_faults().until_cleared(fault.clone());
        issuer.faults().until_cleared(fault);
        let found = doctor(&home);
        found.assert_verdict("API01010", 5, "http");
        assert_eq!(found.json["verdict"]["cause"], cause);
    }
}

#[test]
fn a_web_site_where_a_server_was_expected() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let home = home_at(&issuer);
    import(&home, &issuer.issue());
    let page = "<!doctype html><html><body>Welcome</body></html>";
    let headers = vec![("content-type".to_owned(), "text/html".to_owned())];
    let fault = Fault::Status(200, page.to_owned(), headers);
    issuer.api_faults().until_cleared(fault);
    let found = doctor(&home);
    found.assert_verdict("API01010", 5, "discovery");
    let says = found.json["says"].as_str().expect("a text");
    assert!(says.contains("cannot be told apart from outside"), "{says}");
}

#[test]
fn a_server_that_asks_for_fewer_requests_gets_none() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let home = home_at(&issuer);
    import(&home, &issuer.issue());
    issuer
        .api_faults()
        .until_cleared(Fault::RetryAfterSeconds(60));
    let found = doctor(&home);
    found.assert_verdict("API03005", 5, "http");
    assert_eq!(issuer.requests().len(), 1);
}

#[test]
fn a_bot_check() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let home = home_at(&issuer);
    import(&home, &issuer.issue());
    let page = "<html><title>Just a moment...</title><script src=\"/cdn-cgi/challenge-platform/x\"></script></html>";
    let headers = vec![("content-type".to_owned(), "text/html".to_owned())];
    let fault = Fault::Status(403, page.to_owned(), headers);
    issuer.api_faults().until_cleared(fault);
    let found = doctor(&home);
    found.assert_verdict("API01010", 4, "http");
    assert_eq!(found.json["verdict"]["cause"], "bot_challenge");
}

#[test]
fn an_address_tells_what_stands_there() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let home = Home::new();
    let found = examine(&home, &[&issuer.url()]);
    assert_eq!((found.code(), found.ran.code), ("", 0), "{:#}", found.json);
    assert!(
        found.check("kind")["says"]
            .as_str()
            .expect("a text")
            .contains("oauth2")
    );
    let site = tenure_lab::wordpress::Tmeister::start();
    let found = examine(&home, &[&site.url()]);
    assert!(
        found.check("kind")["says"]
            .as_str()
            .expect("a text")
            .contains("wordpress-tmeister")
    );
    assert!(
        site.requests()
            .iter()
            .all(|request| request.bearer().is_none())
    );
}

#[test]
fn a_server_that_sends_everybody_to_https() {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let home = home_at(&issuer);
    import(&home, &issuer.issue());
    let to = issuer.url().replace("http:", "https:");
    let headers = vec![("location".to_owned(), format!("{to}/x"))];
    let fault = Fault::Status(301, String::new(), headers);
    issuer.api_faults().until_cleared(fault);
    let found = doctor(&home);
    found.assert_verdict("API02021", 4, "http");
    assert_eq!(
        found.steps()[0],
        format!("Write {to} in `issuer` of the session")
    );
}

#[test]
fn wrong_targets_are_told() {
    let home = Home::new();
    home.write("tenure.toml", "");
    for (args, says) in [
        (&["ftp://a.example"][..], "not ftp"),
        (&["http://me:canary-1@127.0.0.1:1"], "user name or password"),
        (&["nobody"], "there is no session"),
        (&[], "no session to examine"),
        (
            &["nobody", "--path", "/../admin"],
            "no path below the session's upstream",
        ),
        (
            &["http://127.0.0.1:1", "--allow-refresh"],
            "needs a session",
        ),
    ] {
        let ran = home.run(&[&["doctor"], args].concat());
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.err.contains(says), "{ran:?}");
        assert!(!ran.err.contains("canary"), "{ran:?}");
    }
    let report = home.path().join("report");
    let ran = home.run(&["doctor", "nobody", "--report", "report"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(!report.exists(), "nothing is left in the way");
}
