//! Servers that fail, are down, cannot be reached, or are not who answers.

use tenure_lab::proxy::Mode;
use tenure_lab::{Fault, FaultProxy, FaultyIssuer, IssuerConfig};

use crate::case::Case;
use crate::common::wait_for;
use crate::stage::{PUBLIC, Stage, between, oauth};
use crate::support::ending_in;

const ORDERS: &str = "/shop/orders";

/// The token endpoint is in trouble that passes, and the access token has ended.
const PASSING: Case = Case {
    chain: &["API01009"],
    class: "server_error",
    heal: "retry_later",
    who: "tenure",
    state: "expired",
    token: 5,
    gateway: 503,
    event: "refresh_failed",
};

/// An answer of the API in place of which something else came; the session itself is well.
const AT_THE_API: Case = Case {
    state: "fresh",
    token: 0,
    event: "observed",
    ..PASSING
};

/// The token endpoint shows this fault until it is over.
fn at_the_token_endpoint(fault: Fault, case: Case) {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let pair = ending_in(issuer.issue(), 0);
    issuer.faults().until_cleared(fault);
    let mut stage = Stage::running(&oauth(&issuer, PUBLIC), ORDERS, &pair);
    case.prove(&mut stage, |_| issuer.faults().clear());
    assert_eq!(issuer.logins(), 1, "it healed by itself");
}

fn at_the_api(fault: Fault, case: Case) {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let stage = Stage::running(&oauth(&issuer, PUBLIC), ORDERS, &issuer.issue());
    let mut stage = stage.works();
    issuer.api_faults().until_cleared(fault);
    case.prove(&mut stage, |_| issuer.api_faults().clear());
    assert_eq!(issuer.hits("/token"), 0, "no refresh heals this");
}

#[test]
fn a_server_error_at_the_token_endpoint() {
    let fault = Fault::status(500, r#"{"error":"server_error"}"#);
    at_the_token_endpoint(fault, PASSING);
}

#[test]
fn a_provider_under_maintenance() {
    let page = "<!doctype html><html><head><title>Maintenance</title></head><body><h1>Down for maintenance</h1></body></html>";
    let html = vec![("content-type".to_owned(), "text/html".to_owned())];
    let case = Case {
        chain: &["API01008"],
        class: "server_unavailable",
        ..PASSING
    };
    at_the_token_endpoint(Fault::Status(503, page.to_owned(), html), case);
}

#[test]
fn a_captive_portal_at_the_token_endpoint() {
    let case = Case {
        chain: &["API01010"],
        class: "network_intercepted",
        ..PASSING
    };
    at_the_token_endpoint(Fault::Html200, case);
}

fn to_the_portal() -> Fault {
    let location = vec![(
        "location".to_owned(),
        "http://login.hotspot.example/welcome".to_owned(),
    )];
    Fault::Status(302, String::new(), location)
}

#[test]
fn a_redirect_to_a_portal_at_the_token_endpoint() {
    let case = Case {
        chain: &["API01010"],
        class: "network_intercepted",
        ..PASSING
    };
    at_the_token_endpoint(to_the_portal(), case);
}

#[test]
fn a_captive_portal_at_the_api() {
    let case = Case {
        chain: &["API01010"],
        class: "network_intercepted",
        gateway: 200,
        ..AT_THE_API
    };
    at_the_api(Fault::Html200, case);
}

#[test]
fn a_redirect_to_a_portal_at_the_api() {
    let case = Case {
        chain: &["API01010"],
        class: "network_intercepted",
        gateway: 302,
        ..AT_THE_API
    };
    at_the_api(to_the_portal(), case);
}

#[test]
fn an_api_that_resets_connections() {
    let case = Case {
        chain: &["API01003"],
        class: "connection_reset",
        who: "provider",
        gateway: 502,
        ..AT_THE_API
    };
    at_the_api(Fault::ResetBeforeProcessing, case);
}

/// The way to the token endpoint is broken and mended.
fn on_the_way(case: Case, breaks: impl Fn(&FaultProxy), mends: impl Fn(&FaultProxy)) {
    let issuer = FaultyIssuer::start(IssuerConfig::new());
    let proxy = FaultProxy::start(issuer.addr());
    let config = between(
        &format!("{}/token", proxy.url()),
        &issuer.url_of("/api"),
        PUBLIC,
    );
    let pair = ending_in(issuer.issue(), 0);
    breaks(&proxy);
    let mut stage = Stage::running(&config, ORDERS, &pair);
    case.prove(&mut stage, |_| mends(&proxy));
    assert_eq!(issuer.logins(), 1, "it healed by itself");
}

#[test]
fn a_token_endpoint_that_refuses_connections() {
    let case = Case {
        chain: &["API01002"],
        class: "connection_refused",
        ..PASSING
    };
    on_the_way(case, FaultProxy::refuse, FaultProxy::accept);
}

#[test]
fn a_token_endpoint_behind_a_black_hole() {
    let case = Case {
        chain: &["API01001"],
        class: "timeout",
        ..PASSING
    };
    on_the_way(
        case,
        |proxy| proxy.set(Mode::BlackHole),
        |proxy| {
            // What is stuck on the way never arrives: a request let through now, whose reply is cut off, would be a
            // reply lost.
            proxy.cut();
            wait_for("the connections to be gone", || {
                (proxy.open_connections() == 0).then_some(())
            });
            proxy.set(Mode::Pass);
        },
    );
}

#[test]
fn a_token_endpoint_that_resets_connections() {
    let case = Case {
        chain: &["API01003"],
        class: "connection_reset",
        ..PASSING
    };
    at_the_token_endpoint(Fault::ResetBeforeProcessing, case);
}
