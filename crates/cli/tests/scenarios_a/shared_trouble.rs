//! What one process meets, the others that share the store know: pauses, failures, a token that was refused.

use tenure_lab::{Fault, Rotation};

use crate::common::wait_for;
use crate::support::{Setup, Stage, codes, root};

fn short_lived() -> Setup {
    Setup {
        rotation: Rotation::Strict,
        access_ttl_s: 3,
        ..Setup::default()
    }
}

/// A second session at the same token endpoint, logged in.
fn add_other(stage: &Stage) {
    let path = stage.home.path().join("tenure.toml");
    let config = std::fs::read_to_string(&path).expect("the configuration");
    let other = config.replace("[sessions.shop", "[sessions.other");
    stage.home.write("tenure.toml", &format!("{config}{other}"));
    let answer = stage.issuer.issue();
    let file = stage.home.write("other.json", &answer.to_string());
    let file = file.to_str().expect("UTF-8");
    stage.home.run(&["login", "other", "--import", file]).ok();
}

#[test]
fn an_endpoint_that_asked_for_a_pause_is_left_alone_by_every_process() {
    let stage = short_lived().stage();
    add_other(&stage);
    let faults = stage.issuer.faults();
    faults.until_cleared(Fault::RetryAfterSeconds(3_600));
    let before = stage.calls();
    let up = stage.up();
    wait_for("both sessions to have expired", || {
        let states = up.statuses();
        states
            .iter()
            .all(|status| status["state"] == "expired")
            .then_some(())
    });
    let calls = stage.calls();
    assert!(calls > before, "it was asked at all");
    for session in ["shop", "other"] {
        for _ in 0..3 {
            let ran = stage.home.run(&["token", session, "--json"]);
            assert_eq!(ran.code, 5, "try later: {}", ran.err);
            assert!(
                ran.err.contains("API03005") || ran.out.contains("API03005"),
                "and why: {}",
                ran.err
            );
        }
    }
    assert_eq!(stage.calls(), calls, "the endpoint hears nothing more");
    // Another process shows what the running one met.
    let status = stage.status();
    assert_eq!(status["state"], "expired", "{status}");
    assert!(
        codes(&status["failure"]).contains(&"API03005".to_owned()),
        "{status}"
    );
    assert!(
        status["next_refresh_in"]
            .as_i64()
            .is_some_and(|s| s > 3_000),
        "{status}"
    );
    // And so does a process that is started anew.
    up.stop();
    let up = stage.up();
    assert_eq!(up.via("/orders").status, 503);
    assert_eq!(stage.calls(), calls, "nor from a new process");
    // A login is heard at once, everywhere.
    faults.clear();
    stage.log_in();
    wait_for("the login", || {
        (up.via("/orders").status == 200).then_some(())
    });
    let status = stage.status();
    assert!(status["failure"].is_null(), "{status}");
    up.stop();
}

#[test]
fn a_refused_token_that_nothing_renews_asks_for_a_login_in_every_process() {
    let stage = Setup::default().stage();
    let mut answer = stage.issuer.issue();
    let object = answer.as_object_mut().expect("an object");
    object.remove("refresh_token");
    let file = stage.home.write("bare.json", &answer.to_string());
    let file = file.to_str().expect("UTF-8");
    stage.home.run(&["login", "shop", "--import", file]).ok();
    let up = stage.up();
    assert_eq!(up.via("/orders").status, 200);
    stage.issuer.revoke_access_tokens();
    let refused = up.via("/orders");
    assert_eq!(refused.status, 401, "the API's own answer: {refused:?}");
    assert!(refused.header("tenure-code").is_some(), "{refused:?}");
    let status = wait_for("the state in another process", || {
        let status = stage.status();
        (status["state"] == "needs_login").then_some(status)
    });
    assert_eq!(root(&status["failure"])["heal"], "relogin", "{status}");
    assert_eq!(status["failure"]["command"], "tenure login shop");
    let ran = stage.home.run(&["token", "shop"]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    stage.log_in();
    wait_for("the login", || {
        (up.via("/orders").status == 200).then_some(())
    });
    up.stop();
}

#[test]
fn a_token_the_gateway_saw_refused_is_given_away_by_no_other_process() {
    let stage = Setup::default().stage();
    stage.log_in();
    let up = stage.up();
    assert_eq!(up.via("/orders").status, 200);
    let refused = stage.home.run(&["token", "shop"]).ok().out;
    let faults = stage.issuer.faults();
    faults.until_cleared(Fault::RetryAfterSeconds(3_600));
    stage.issuer.revoke_access_tokens();
    // The refresh that could heal the refusal does not go through: the token is all there is.
    assert!(up.via("/orders").status >= 400);
    wait_for("the refusal in another process", || {
        (stage.status()["state"] == "expired").then_some(())
    });
    for args in [
        &["token", "shop"][..],
        &["token", "shop", "--min-valid", "0s"],
    ] {
        let ran = stage.home.run(args);
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (5, ""),
            "{args:?}: {}",
            ran.err
        );
    }
    let bearers = || {
        let sent = stage.issuer.requests_to("/api/orders");
        let old = |one: &&tenure_lab::Recorded| one.bearer() == Some(refused.trim());
        sent.iter().filter(old).count()
    };
    let before = bearers();
    let ran = stage.home.run(&["request", "shop", "GET", "/orders"]);
    assert_eq!((ran.code, ran.out.as_str()), (5, ""), "{}", ran.err);
    assert_eq!(bearers(), before, "the refused token is not sent again");
    up.stop();
}
