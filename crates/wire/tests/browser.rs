//! What comes back through the browser, and what servers say about themselves.

mod common;

use common::*;
use tenure_core::Secret;
use tenure_wire::discovery::{self, Difference, DiscoveryError};
use tenure_wire::{RedirectError, parse_redirect, parse_redirect_requiring_issuer, pasted};

const ISSUER: &str = "https://id.example";

fn redirect(query: &str) -> Result<Secret, RedirectError> {
    let address = url(&format!("http://127.0.0.1:9/cb?{query}"));
    parse_redirect(&address, &Secret::new("st"), Some(ISSUER))
}

#[test]
fn a_code_comes_with_its_state_and_its_issuer() {
    assert_eq!(
        redirect("code=a%2Fb&state=st").expect("a code").expose(),
        "a/b"
    );
    assert_eq!(
        redirect("code=c&state=st&iss=https%3A%2F%2Fid.example")
            .expect("a code")
            .expose(),
        "c"
    );
    assert_eq!(redirect("code=c"), Err(RedirectError::StateMissing));
    assert_eq!(redirect("code=c&state="), Err(RedirectError::StateMissing));
    assert_eq!(
        redirect("code=c&state=sT"),
        Err(RedirectError::StateMismatch)
    );
    assert_eq!(
        redirect("code=c&state=st&code=d"),
        Err(RedirectError::Twice { name: "code" })
    );
    assert_eq!(
        redirect("state=st"),
        Err(RedirectError::Missing { name: "code" })
    );
    assert_eq!(
        redirect("code=c&state=st&iss=https://evil.example"),
        Err(RedirectError::IssuerMismatch {
            expected: ISSUER.into(),
            found: "https://evil.example".into()
        })
    );
}

#[test]
fn a_promised_issuer_must_come() {
    let of = |query: &str| {
        let address = url(&format!("http://127.0.0.1:9/cb?{query}"));
        parse_redirect_requiring_issuer(&address, &Secret::new("st"), ISSUER)
    };
    assert!(of("code=c&state=st&iss=https://id.example").is_ok());
    assert!(matches!(
        of("code=c&state=st"),
        Err(RedirectError::IssuerMissing { .. })
    ));
    assert_eq!(of("code=c&state=x"), Err(RedirectError::StateMismatch));
}

#[test]
fn errors_are_passed_on_after_the_state_is_checked() {
    let error = redirect("error=access_denied&error_description=The+user+said+no&state=st")
        .expect_err("denied");
    assert_eq!(
        error.to_string(),
        "the server refused the login: access_denied (The user said no)"
    );
    assert_eq!(
        redirect("error=access_denied"),
        Err(RedirectError::StateMissing)
    );
}

#[test]
fn what_people_paste() {
    let code = |text: &str| {
        let address = pasted(text)?;
        parse_redirect(&address, &Secret::new("st"), None).map(|code| code.expose().to_owned())
    };
    for text in [
        "http://127.0.0.1:9/cb?code=c&state=st",
        "  \"http://127.0.0.1:9/cb?code=c\n  &state=st\"\n",
        "<http://127.0.0.1:9/cb?code=c&state=st>",
        "?code=c&state=st",
        "code=c&state=st",
        "127.0.0.1:9/cb?code=c&state=st",
        "localhost:9/cb?code=c&state=st",
        "http://127.0.0.1:9/cb#code=c&state=st",
    ] {
        assert_eq!(code(text).as_deref(), Ok("c"), "{text}");
    }
    for text in [
        "",
        "hello",
        "http://127.0.0.1:9/cb",
        "https://id.example/login?x=1",
    ] {
        assert_eq!(code(text), Err(RedirectError::NotAnAddress), "{text}");
    }
}

#[test]
fn metadata_addresses() {
    let of = |issuer: &str| -> Vec<String> {
        discovery::urls(&url(issuer))
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    assert_eq!(
        of("https://id.example"),
        [
            "https://id.example/.well-known/openid-configuration",
            "https://id.example/.well-known/oauth-authorization-server",
        ]
    );
    assert_eq!(
        of("https://id.example/realms/shop/"),
        [
            "https://id.example/realms/shop/.well-known/openid-configuration",
            "https://id.example/.well-known/oauth-authorization-server/realms/shop",
            "https://id.example/.well-known/openid-configuration/realms/shop",
            "https://id.example/realms/shop/.well-known/oauth-authorization-server",
        ]
    );
    let index: Vec<String> = discovery::rest_index_urls(&url("https://shop.example/blog"))
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        index,
        [
            "https://shop.example/blog/wp-json/",
            "https://shop.example/blog/?rest_route=/"
        ]
    );
    let request = discovery::get(&url("https://id.example/x")).expect("a request");
    assert_eq!(request.method(), http::Method::GET);
    assert_eq!(
        header(&request, "user-agent"),
        Some(tenure_wire::USER_AGENT)
    );
}

#[test]
fn metadata_is_read() {
    let body = r#"{"issuer":"https://id.example","token_endpoint":"https://id.example/token",
        "authorization_endpoint":"https://id.example/authorize","revocation_endpoint":"https://id.example/revoke",
        "device_authorization_endpoint":"https://id.example/device","jwks_uri":"https://id.example/jwks",
        "grant_types_supported":["refresh_token"],"code_challenge_methods_supported":["S256"],
        "token_endpoint_auth_methods_supported":["private_key_jwt","none"],
        "authorization_response_iss_parameter_supported":true}"#;
    let metadata = discovery::parse(&json(200, body), ISSUER).expect("metadata");
    assert_eq!(metadata.auth_methods, ["private_key_jwt", "none"]);
    assert!(metadata.iss_in_redirect);
    let server = metadata.server();
    assert_eq!(server.token_endpoint.as_str(), "https://id.example/token");
    assert_eq!(server.issuer.as_deref(), Some(ISSUER));
    assert_eq!(
        server.revocation_endpoint,
        Some(url("https://id.example/revoke"))
    );
    assert_eq!(server.introspection_endpoint, None);
}

#[test]
fn issuers_must_be_the_same_and_the_difference_is_named() {
    for (expected, found, part) in [
        (
            "https://id.example",
            "http://id.example",
            Difference::Scheme,
        ),
        (
            "https://id.example",
            "https://www.id.example",
            Difference::Host,
        ),
        (
            "https://id.example",
            "https://id.example:8443",
            Difference::Port,
        ),
        (
            "https://id.example",
            "https://id.example/",
            Difference::TrailingSlash,
        ),
        (
            "https://id.example/a/",
            "https://id.example/a",
            Difference::TrailingSlash,
        ),
        (
            "https://id.example/a",
            "https://id.example/b",
            Difference::Path,
        ),
        (
            "https://id.example/a",
            "https://id.example/A",
            Difference::Path,
        ),
        (
            "https://id.example",
            "https://ID.example",
            Difference::Spelling,
        ),
        ("https://id.example", "id.example", Difference::Spelling),
        (
            "https://id.example/common",
            "https://other.example/{tenantid}",
            Difference::Host,
        ),
        (
            "https://id.example/",
            "https://id.example/{tenantid}",
            Difference::Path,
        ),
    ] {
        let body = serde_json::json!({"issuer": found, "token_endpoint": "https://id.example/t"})
            .to_string();
        let error = discovery::parse(&json(200, &body), expected).expect_err("mismatch");
        assert!(
            matches!(&error, DiscoveryError::IssuerMismatch { part: p, .. } if *p == part),
            "{expected} {found}: {error}"
        );
        assert!(error.to_string().contains(&part.to_string()), "{error}");
    }
    let entra = r#"{"issuer":"https://login.example/{tenantid}/v2.0","token_endpoint":"https://login.example/t"}"#;
    assert!(discovery::parse(&json(200, entra), "https://login.example/common/v2.0").is_ok());
}

#[test]
fn metadata_that_cannot_be_used_is_named() {
    let of =
        |status, body: &str| discovery::parse(&json(status, body), ISSUER).expect_err("unusable");
    assert_eq!(of(404, "{}"), DiscoveryError::Status { status: 404 });
    assert_eq!(of(200, "<html>"), DiscoveryError::Unusable { why: "html" });
    assert_eq!(of(200, "{}"), DiscoveryError::Missing { field: "issuer" });
    assert_eq!(
        of(200, r#"{"issuer":"https://id.example"}"#),
        DiscoveryError::Missing {
            field: "token_endpoint"
        }
    );
    let with = |endpoint: &str| {
        of(
            200,
            &format!(r#"{{"issuer":"https://id.example","token_endpoint":"{endpoint}"}}"#),
        )
    };
    assert_eq!(
        with("/token"),
        DiscoveryError::BadUrl {
            field: "token_endpoint"
        }
    );
    assert_eq!(
        with("ftp://id.example/"),
        DiscoveryError::BadUrl {
            field: "token_endpoint"
        }
    );
    assert_eq!(
        with("http://id.example/t"),
        DiscoveryError::Insecure {
            field: "token_endpoint"
        }
    );
    let plain = r#"{"issuer":"http://127.0.0.1:9","token_endpoint":"http://127.0.0.1:9/t"}"#;
    assert!(discovery::parse(&json(200, plain), "http://127.0.0.1:9").is_ok());
}

#[test]
fn the_rest_index_of_a_shop() {
    let body = r#"{"name":"My Shop","description":"","url":"https://shop.example","home":"https://shop.example",
        "namespaces":["oembed/1.0","wp/v2","wcpos/v1","wcpos/v2","jwt-auth/v1"],
        "authentication":{"application-passwords":{"endpoints":{"authorization":"https://shop.example/wp-admin/authorize-application.php"}},
            "wcpos":{"endpoints":{"authorization":"https://shop.example/wcpos-auth"}}},
        "use_jwt_as_param":"1","wcpos_version":"1.10.0"}"#;
    let index = discovery::parse_rest_index(&json(200, body)).expect("an index");
    assert_eq!(index.name, "My Shop");
    assert_eq!(index.url, Some(url("https://shop.example")));
    assert!(index.has_namespace("wcpos/v2") && !index.has_namespace("wcpos"));
    assert_eq!(
        index.authentication_wcpos,
        Some(url("https://shop.example/wcpos-auth"))
    );
    assert!(index.use_jwt_as_param);
    assert_eq!(index.wcpos_version.as_deref(), Some("1.10.0"));

    // No authentication: PHP writes an empty array. A notice before the JSON does no harm.
    let bare =
        "<b>Deprecated</b>: x\n{\"name\":\"S\",\"namespaces\":[\"wp/v2\"],\"authentication\":[]}";
    let index = discovery::parse_rest_index(&response(200, &[], bare)).expect("an index");
    assert_eq!(index.authentication_wcpos, None);
    assert!(!index.use_jwt_as_param);
    assert_eq!(
        discovery::parse_rest_index(&json(200, r#"{"hello":1}"#)),
        Err(DiscoveryError::NotAnIndex)
    );
}

#[test]
fn the_routes_of_an_index() {
    let body = r#"{"name":"S","namespaces":["jwt-auth/v1"],"routes":{
        "/":{"namespace":"","methods":["GET"],"endpoints":[{"methods":["GET"],"args":{"context":{"default":"view"}}}]},
        "/jwt-auth/v1/token":{"namespace":"jwt-auth/v1","methods":["POST"],"endpoints":[{"methods":["POST"],"args":[]}]},
        "/odd":7}}"#;
    let index = discovery::parse_rest_index(&json(200, body)).expect("an index");
    assert_eq!(index.routes.len(), 3);
    assert!(index.has_route("/jwt-auth/v1/token") && !index.has_route("/jwt-auth/v1"));
    assert!(index.lists_routes_of("jwt-auth/v1") && !index.lists_routes_of("jwt-auth/v2"));
    let root = index
        .routes
        .iter()
        .find(|route| route.path == "/")
        .expect("the root");
    assert_eq!(
        (&root.methods[..], &root.args[..]),
        (&["GET".to_owned()][..], &["context".to_owned()][..])
    );

    // Shops list far more than a token answer may hold; beyond all reason, nothing is read rather than a part.
    let with = |routes: usize| {
        let listed: Vec<String> = (0..routes)
            .map(|n| format!("\"/a/v1/{n:060}\":{{\"methods\":[\"GET\"]}}"))
            .collect();
        let body = format!(
            "{{\"namespaces\":[\"a/v1\"],\"routes\":{{{}}}}}",
            listed.join(",")
        );
        assert!(body.len() > tenure_wire::MAX_BODY);
        discovery::parse_rest_index(&json(200, &body)).expect("an index")
    };
    assert_eq!(with(4_000).routes.len(), 4_000);
    assert!(with(discovery::MAX_ROUTES + 1).routes.is_empty());
}

#[test]
fn a_route_is_addressed_as_the_index_was() {
    let at = |index: &str| {
        discovery::rest_route_url(&url(index), "/a/v1/b")
            .as_str()
            .to_owned()
    };
    assert_eq!(
        at("https://s.example/x/wp-json/"),
        "https://s.example/x/wp-json/a/v1/b"
    );
    assert_eq!(
        at("https://s.example/?rest_route=/"),
        "https://s.example/?rest_route=%2Fa%2Fv1%2Fb"
    );
}
