//! Nothing is spent, nothing is shown that is secret.

use std::os::unix::fs::PermissionsExt;

use tenure_lab::{Fault, FaultyIssuer, IssuerConfig};

use crate::common::Ran;
use crate::support::{examine, home_with, import};

const MARK: &str = "canary-";
/// Looks like any word: only who knows it can mask it.
const SECRET: &str = "canary-plain";

#[test]
fn no_refresh_and_no_login_is_ever_sent_unasked() {
    let issuer = FaultyIssuer::start(IssuerConfig::new().client("lab", SECRET));
    let client = "client_id = \"lab\"\nclient_secret = { file = \"secret\" }";
    let home = home_with(&issuer.url(), &issuer.url_of("/api"), client);
    home.write("secret", SECRET);
    let pair = issuer.issue();
    let refresh = pair["refresh_token"]
        .as_str()
        .expect("it rotates")
        .to_owned();
    import(&home, &pair);
    // Whatever state it is in.
    for state in ["fresh", "expired", "revoked"] {
        match state {
            "expired" => issuer.expire_access_now(),
            "revoked" => issuer.revoke_all_families(),
            _ => {}
        }
        examine(&home, &["shop", "--path", "/orders"]);
    }
    assert_eq!(issuer.presented(&refresh), 0);
    assert!(issuer.requests_to("/revoke").is_empty());
    assert!(issuer.requests_to("/authorize").is_empty());
    let asked = issuer.requests_to("/token");
    assert_eq!(asked.len(), 3, "one question about the client in each run");
    for request in &asked {
        assert_eq!(
            request.field("grant_type").as_deref(),
            Some("refresh_token")
        );
        let token = request.field("refresh_token");
        assert_eq!(token.as_deref(), Some("tenure-doctor-not-a-token"));
    }
    for request in issuer.requests() {
        let harmless = ["/token", "/introspect"].contains(&request.path.as_str());
        assert!(
            request.method == "GET" || harmless,
            "{} {}",
            request.method,
            request.path
        );
        assert!(!request.text().contains(&refresh), "{}", request.path);
        assert!(!request.query.contains(MARK), "{}", request.path);
    }

    let asked = examine(&home, &["shop", "--allow-refresh"]);
    assert_eq!(asked.outcome("renewal"), "fail", "it was revoked");
    assert_eq!(
        issuer.presented(&refresh),
        1,
        "and one exchange is one exchange"
    );
}

#[test]
fn no_secret_is_in_report_or_output() {
    let issuer = FaultyIssuer::start(IssuerConfig::new().marker(MARK).client("lab", SECRET));
    let client = "client_id = \"lab\"\nclient_secret = { file = \"secret\" }";
    let home = home_with(&issuer.url(), &issuer.url_of("/api"), client);
    home.write("secret", SECRET);
    let pair = issuer.issue();
    import(&home, &pair);
    let token = pair["access_token"].as_str().expect("a text");
    let leaky = format!(
        "{{\"error\":\"invalid_token\",\"error_description\":\"bad token {token} of {SECRET}\"}}"
    );
    let echoing = format!("{{\"issuer\":\"{}/{token}\"}}", issuer.url());
    let faults = [
        None,
        Some(Fault::status(200, &echoing)),
        Some(Fault::status(401, &leaky)),
        Some(Fault::status(500, &leaky)),
        Some(Fault::Html200),
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        for queue in [issuer.api_faults(), issuer.faults()] {
            queue.clear();
            if let Some(fault) = &fault {
                queue.until_cleared(fault.clone());
            }
        }
        let name = format!("report-{number}");
        for json in [false, true] {
            let file = format!("{name}-{json}");
            let mut args = vec!["doctor", "shop", "--path", "/orders", "--report", &file];
            if json {
                args.push("--json");
            }
            let mut command = home.command(&args);
            command.env("HTTPS_PROXY", "http://me:canary-proxy@127.0.0.1:1");
            let ran = Ran::from(
                command
                    .env("TENURE_LOG", "trace")
                    .output()
                    .expect("it starts"),
            );
            let path = home.path().join(&file);
            let report = std::fs::read_to_string(&path).expect("written");
            for (what, text) in [
                ("report", &report),
                ("stdout", &ran.out),
                ("stderr", &ran.err),
            ] {
                assert!(!text.contains(MARK), "{what} of {file}: {text}");
            }
            assert!(report.contains("HTTPS_PROXY set"), "{report}");
            assert!(report.contains("\"client_id\":\"lab\""), "{report}");
            let mode = std::fs::metadata(&path)
                .expect("there")
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
    let again = home.run(&["doctor", "shop", "--report", "report-0-false"]);
    assert_eq!(again.code, 2, "{again:?}");
    assert!(again.err.contains("does not exist yet"), "{again:?}");
}
