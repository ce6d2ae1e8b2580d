//! `inspect` on real tokens, on every mangling it knows, and on texts made to take long.

use std::time::Instant;

use proptest::prelude::*;
use serde_json::{Value, json};
use tenure_core::{Code, Failure, Secret};
use tenure_diagnose::inspect::{Given, Kind, Report, SignatureState, inspect};
use tenure_jose::{Alg, JwkSet, SigningKey};

const NOW: i64 = 1_790_000_000;

fn key(kid: &str) -> SigningKey {
    SigningKey::generate(Alg::Es256, kid).expect("a key")
}

fn access_claims() -> Value {
    json!({
        "iss": "https://id.example", "aud": "orders", "sub": "ada", "scope": "orders",
        "iat": NOW - 60, "exp": NOW + 240, "jti": "t-1",
    })
}

fn sign(claims: &Value) -> String {
    let token = key("k1").sign(Some("at+jwt"), claims).expect("signed");
    token.expose().to_owned()
}

fn given() -> Given<'static> {
    Given {
        now_s: NOW,
        ..Given::default()
    }
}

fn look(text: &str) -> Report {
    inspect(&Secret::new(text), &given())
}

fn with(change: impl FnOnce(&mut Value)) -> Report {
    let mut claims = access_claims();
    change(&mut claims);
    look(&sign(&claims))
}

fn main(report: &Report) -> &Failure {
    report.failure.as_ref().expect("something is wrong")
}

#[test]
fn a_good_token_has_nothing_wrong_and_a_timeline() {
    let report = look(&sign(&access_claims()));
    assert!(report.failure.is_none(), "{report:#?}");
    assert_eq!(report.kind, Kind::AccessToken);
    assert_eq!(report.summary, "an access token that ends in 4 min");
    assert_eq!(report.lifetime_s, Some(300));
    assert!(report.remarks.is_empty(), "{:?}", report.remarks);
    let order: Vec<i64> = report.timeline.iter().map(|moment| moment.in_s).collect();
    assert_eq!(order, [-60, 0, 140, 240, 300], "{:#?}", report.timeline);
    let signature = report.signature.expect("a signature");
    assert_eq!(signature.state, SignatureState::NotChecked);
    assert_eq!(signature.bytes, Some(64));
}

#[test]
fn times_are_judged_by_the_given_clock() {
    let report = with(|claims| claims["exp"] = json!(NOW - 180));
    assert_eq!(main(&report).code, Code::TokenExpired);
    assert_eq!(main(&report).detail, "It expired 3 min ago.");

    let report = with(|claims| claims["nbf"] = json!(NOW + 90));
    assert_eq!(main(&report).code, Code::NotYetValid);
    assert!(main(&report).detail.contains("1 min 30 s"), "{report:#?}");

    let report = with(|claims| {
        claims["iat"] = json!(NOW + 300);
        claims["nbf"] = json!(NOW + 300);
        claims["exp"] = json!(NOW + 600);
    });
    assert_eq!(main(&report).code, Code::ClockSkew);
    assert_eq!(report.other_failures[0].code, Code::NotYetValid);

    let report = with(|claims| claims["iat"] = json!(NOW + 3));
    assert!(report.failure.is_none(), "{report:#?}");
    assert!(report.remarks[0].contains("3 s in the future"));

    let report = with(|claims| claims["exp"] = json!(3_600));
    assert_eq!(main(&report).cause, "exp_is_duration");
    assert!(main(&report).detail.contains("1 h"), "{report:#?}");
    let report = with(|claims| claims["exp"] = json!(1));
    assert_eq!(main(&report).cause, "exp_is_duration");
    assert!(
        main(&report).detail.contains("a time in 1970"),
        "{report:#?}"
    );
    assert!(report.remarks.is_empty(), "{:?}", report.remarks);
    assert_eq!(
        report.summary,
        "an access token whose `exp` is a time in 1970"
    );
    let report = with(|claims| {
        claims["iat"] = json!(20);
        claims["exp"] = json!(320);
    });
    assert!(main(&report).detail.contains("clock"), "{report:#?}");
    let report = with(|claims| claims["exp"] = json!("soon"));
    assert_eq!(main(&report).cause, "time_not_a_number");
    let report = with(|claims| claims["exp"] = json!((NOW + 240) * 1_000));
    assert!(report.failure.is_none());
    assert!(report.remarks[0].contains("milliseconds"), "{report:#?}");
    assert!(report.remarks[0].contains("never ends"), "{report:#?}");
    let report = with(|claims| claims["exp"] = json!((NOW - 240) * 1_000));
    assert!(main(&report).detail.contains("milliseconds"), "{report:#?}");
    let report = with(|claims| claims["exp"] = json!((NOW + 240) * 1_000_000));
    assert!(report.remarks[0].contains("microseconds"), "{report:#?}");
    assert_eq!(report.summary, "an access token that ends in 4 min");
}

#[test]
fn what_cannot_be_decoded_is_called_by_its_name() {
    for (given, name) in [
        (
            "ghp_0123456789abcdefghijklmnopqrstuvwxyzAB",
            "a GitHub personal access token",
        ),
        (
            "glpat-abcdefghijklmnopqrst",
            "a GitLab personal access token",
        ),
        ("xoxb-1234567890-abcdefghijkl", "a Slack bot token"),
        ("sk_live_abcdefghijklmnop", "a Stripe secret key"),
        ("abcdefghijklmnop", "an opaque token"),
    ] {
        let report = look(given);
        assert_eq!(report.summary, name);
        let detail = &main(&report).detail;
        assert!(
            detail.contains("nothing in it can be decoded")
                || detail.contains("Nothing in it can be decoded"),
            "{detail}"
        );
    }
    // {"alg":"dir","enc":"A256GCM"}
    let head = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0";
    let report = look(&format!("{head}..aaaa.bbbb.cccc"));
    assert_eq!(report.summary, "an encrypted token (JWE)");
    assert_eq!(main(&report).cause, "encrypted_token");
    let report = look(&format!("{head}..aaaa.bbbb"));
    assert_eq!(main(&report).cause, "truncated", "{report:#?}");
}

#[test]
fn an_issuer_that_the_provider_s_tokens_name_is_no_difference() {
    let tenant = "72f988bf-86f1-41af-91ab-2d7cd011db47";
    let mut claims = access_claims();
    claims["iss"] = json!(format!("https://sts.windows.net/{tenant}/"));
    let token = Secret::new(sign(&claims));
    let judged = |profile: &str, tenant: &str| {
        let issuer = format!("https://login.microsoftonline.com/{tenant}/v2.0");
        let given = Given {
            issuer: Some(&issuer),
            profile: tenure_diagnose::profile(profile),
            ..given()
        };
        inspect(&token, &given)
    };
    let right = judged("entra-id", tenant);
    assert!(right.failure.is_none(), "{right:#?}");
    assert!(
        right.remarks[0].contains("Microsoft Entra ID"),
        "{:?}",
        right.remarks
    );
    let other = judged("entra-id", "9188040d-6c67-4c5b-b112-36a304b66dad");
    assert_eq!(main(&other).code, Code::WrongServer);
    assert_eq!(main(&judged("oauth2", tenant)).code, Code::WrongServer);
}

#[test]
fn lifetimes_that_are_suspicious_are_said() {
    let report = with(|claims| {
        claims["iat"] = json!(NOW - 10);
        claims["exp"] = json!(NOW + 20);
    });
    assert!(report.remarks[0].contains("short"), "{:?}", report.remarks);
    let report = with(|claims| claims["exp"] = json!(NOW + 200_000));
    assert!(report.remarks[0].contains("long"), "{:?}", report.remarks);
    let report = with(|claims| {
        claims.as_object_mut().expect("an object").remove("exp");
    });
    assert!(report.remarks[0].contains("no end"), "{:?}", report.remarks);
    assert!(report.failure.is_none());
}

#[test]
fn issuer_and_audience_are_compared_exactly() {
    let token = Secret::new(sign(&access_claims()));
    let judged = |issuer, audience| {
        let given = Given {
            issuer,
            audience,
            ..given()
        };
        inspect(&token, &given)
    };
    let right = judged(Some("https://id.example"), Some("orders"));
    assert!(right.failure.is_none(), "{right:#?}");
    let report = judged(Some("https://id.example/"), None);
    assert_eq!(main(&report).code, Code::WrongServer);
    assert!(
        main(&report).detail.contains("trailing slash"),
        "{report:#?}"
    );
    let report = judged(Some("http://www.id.example"), None);
    let detail = &main(&report).detail;
    assert!(
        detail.contains("scheme") && detail.contains("www."),
        "{detail}"
    );
    let report = judged(None, Some("billing"));
    let failure = main(&report);
    assert_eq!(
        (failure.code, failure.cause.as_str()),
        (Code::TokenInvalid, "wrong_audience")
    );
}

#[test]
fn signatures_are_checked_against_the_given_keys() {
    let (own, other) = (key("k1"), key("k2"));
    let set = |keys: &[&SigningKey]| JwkSet {
        keys: keys.iter().filter_map(|key| key.public_jwk()).collect(),
    };
    let token = own.sign(Some("at+jwt"), &access_claims()).expect("signed");
    let judged = |set: &JwkSet| {
        let given = Given {
            keys: Some(set),
            ..given()
        };
        inspect(&token, &given)
    };
    let state = |report: &Report| report.signature.as_ref().expect("a signature").state;

    let report = judged(&set(&[&other, &own]));
    assert_eq!(state(&report), SignatureState::Fits);
    assert!(report.failure.is_none());

    let report = judged(&set(&[&other]));
    assert_eq!(state(&report), SignatureState::UnknownKey);
    assert_eq!(main(&report).code, Code::SigningKeyChanged);
    assert!(main(&report).detail.contains("`k2`"), "{report:#?}");

    let report = judged(&set(&[&key("k1")]));
    assert_eq!(state(&report), SignatureState::FitsNone);
    assert_eq!(main(&report).cause, "bad_signature");

    let mut renamed = set(&[&own]);
    renamed.keys[0].kid = Some("k9".to_owned());
    let report = judged(&renamed);
    assert_eq!(state(&report), SignatureState::Fits);
    assert_eq!(main(&report).cause, "other_key");
    let none = judged(&JwkSet::default());
    assert_eq!(state(&none), SignatureState::NotChecked);
}

/// Every mangling that can be undone: its cause, and the token is judged all the same.
#[test]
fn what_can_be_undone_is_undone_and_judged() {
    let mut claims = access_claims();
    claims["exp"] = json!(NOW - 180);
    let token = sign(&claims);
    let (head, tail) = token.split_at(40);
    let plain_answer = json!({"access_token": token, "refresh_token": "r", "expires_in": 5});
    let wrapped_answer = json!({"success": true, "data": {"jwt": token}});
    let bearer_answer = json!({"token": format!("Bearer {token}")});
    for (cause, text) in [
        ("quoted", format!("\"{token}\"")),
        ("quoted", format!("'{token}'")),
        ("quoted", format!("\u{201c}{token}\u{201d}")),
        ("quoted", format!("{token}\"")),
        ("quoted", format!("b'{token}'")),
        ("bearer_prefix", format!("Bearer {token}")),
        ("bearer_prefix", format!("bearer {token}")),
        ("bearer_prefix", format!("Bearer Bearer {token}")),
        ("header_line", format!("Authorization: Bearer {token}")),
        ("line_break_at_end", format!("{token}\n")),
        ("whitespace_around", format!("  {token} ")),
        ("line_break_inside", format!("{head}\r\n{tail}")),
        ("whitespace_inside", format!("{head} {tail}")),
        ("invisible_characters", format!("\u{feff}{token}")),
        ("invisible_characters", format!("{head}\u{200b}{tail}")),
        ("url_encoded", token.replace('.', "%2E")),
        ("url_encoded", format!("Bearer%20{token}")),
        ("escape_sequences", format!("{token}\\n")),
        ("token_repeated", format!("{token}, {token}")),
        ("punctuation_around", format!("{token},")),
        ("padding", format!("{token}==")),
        ("non_ascii", token.replacen('e', "е", 1)),
        ("assignment", format!("export TOKEN={token}")),
        ("assignment", format!("TOKEN=\"{token}\"")),
        (
            "address",
            format!("https://x.example/cb#access_token={token}&state=1"),
        ),
        (
            "form_response",
            format!("token_type=bearer&access_token={token}"),
        ),
        (
            "cookie_header",
            format!("Cookie: a=b; session={token}; c=d"),
        ),
        ("cookie_header", format!("a=b; session={token}")),
        ("token_response", plain_answer.to_string()),
        ("token_response", wrapped_answer.to_string()),
        ("token_response", bearer_answer.to_string()),
    ] {
        let report = look(&text);
        let failure = main(&report);
        assert_eq!(failure.code, Code::TokenInvalid, "{cause}: {failure:?}");
        assert_eq!(failure.cause, cause, "{failure:?}");
        let end = "it is an access token that expired 3 min ago.";
        assert!(failure.detail.ends_with(end), "{cause}: {}", failure.detail);
        let expired = |other: &Failure| other.code == Code::TokenExpired;
        assert!(
            report.other_failures.iter().any(expired),
            "{cause}: {report:#?}"
        );
    }
}

#[test]
fn plain_base64_is_written_as_base64url() {
    // A signature with either character is not made at will; signing again makes another.
    let signed = std::iter::repeat_with(|| sign(&access_claims()))
        .take(50)
        .find(|token| token.contains(['-', '_']))
        .expect("nearly every signature has one");
    let report = look(&signed.replace('-', "+").replace('_', "/"));
    assert_eq!(main(&report).cause, "standard_base64");
    assert!(report.other_failures.is_empty(), "{report:#?}");
}

/// What stands in a token's place and is none: said plainly, each under its own name.
#[test]
fn what_is_no_token_is_called_what_it_is() {
    let jwe = tenure_jose::b64url(r#"{"alg":"dir","enc":"A256GCM"}"#) + ".a.b.c.d";
    let claims = access_claims().to_string();
    let tenure_refresh = format!("AQ{}", "A".repeat(74));
    for (cause, kind, text) in [
        ("empty", Kind::NoToken, ""),
        ("empty", Kind::NoToken, " \n"),
        ("undefined", Kind::NoToken, "undefined"),
        ("undefined", Kind::NoToken, "Bearer undefined"),
        ("null", Kind::NoToken, "null"),
        ("null", Kind::NoToken, "None"),
        ("object", Kind::NoToken, "[object Object]"),
        ("format_placeholder", Kind::NoToken, "%s"),
        ("unexpanded_variable", Kind::NoToken, "${TOKEN}"),
        ("unexpanded_variable", Kind::NoToken, "$TOKEN"),
        ("unexpanded_variable", Kind::NoToken, "{{ token }}"),
        ("sample_text", Kind::NoToken, "<your token>"),
        ("sample_text", Kind::NoToken, "YOUR_ACCESS_TOKEN"),
        ("bearer_only", Kind::NoToken, "Bearer "),
        ("masked", Kind::NoToken, "eyJ****"),
        (
            "shortened",
            Kind::NoToken,
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIi...",
        ),
        (
            "opaque_token",
            Kind::OpaqueToken,
            "ghp_0123456789abcdefghij0123456789abcdef",
        ),
        (
            "opaque_token",
            Kind::OpaqueToken,
            "gho_0123456789abcdefghij0123456789abcdef",
        ),
        (
            "opaque_token",
            Kind::OpaqueToken,
            "glpat-0123456789abcdefghij",
        ),
        (
            "opaque_token",
            Kind::OpaqueToken,
            "xoxb-0123456789-abcdefghij",
        ),
        (
            "opaque_token",
            Kind::OpaqueToken,
            "ya29.a0AfB_byC1234567890",
        ),
        ("opaque_token", Kind::OpaqueToken, "5f1b0c7de2a94b1c8f03"),
        (
            "refresh_token",
            Kind::RefreshToken,
            "ghr_1B4a2e77838347a7E420ce178F2E7c6912E1",
        ),
        ("refresh_token", Kind::RefreshToken, &tenure_refresh),
        (
            "client_secret",
            Kind::ClientSecret,
            "cs_0123456789abcdef0123456789abcdef01234567",
        ),
        (
            "api_key",
            Kind::ApiKey,
            "ck_0123456789abcdef0123456789abcdef01234567",
        ),
        ("api_key", Kind::ApiKey, "sk_live_0123456789abcdefghijklmn"),
        ("api_key", Kind::ApiKey, "AKIAIOSFODNN7EXAMPLE"),
        (
            "pem",
            Kind::NoToken,
            "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n",
        ),
        (
            "private_key",
            Kind::NoToken,
            "-----BEGIN EC PRIVATE KEY-----\nMHc\n-----END EC PRIVATE KEY-----",
        ),
        ("jwks", Kind::NoToken, r#"{"keys":[{"kty":"EC"}]}"#),
        (
            "error_response",
            Kind::NoToken,
            r#"{"error":"invalid_grant"}"#,
        ),
        ("decoded_claims", Kind::NoToken, &claims),
        ("broken_json", Kind::NoToken, r#"{"access_token":"eyJ"#),
        ("html_page", Kind::NoToken, "<!doctype html><html></html>"),
        ("basic_credentials", Kind::NoToken, "Basic YTpi"),
        ("cookie_header", Kind::NoToken, "a=b; c=d"),
        ("address", Kind::NoToken, "https://shop.example/"),
        ("text", Kind::NoToken, "please log in first"),
        ("binary", Kind::NoToken, "abc\u{1}def\u{2}"),
        ("non_ascii", Kind::NoToken, "日本語のトークン"),
        ("encrypted_token", Kind::EncryptedToken, &jwe),
        ("too_short", Kind::NoToken, "abc"),
    ] {
        let report = look(text);
        // A wrapping is told first; what is inside is told, too.
        let mut all = report.failure.iter().chain(&report.other_failures);
        let failure = all.find(|one| one.cause == cause);
        let failure = failure.unwrap_or_else(|| panic!("{text:?} is no {cause}: {report:#?}"));
        assert_eq!(
            (failure.code, report.kind),
            (Code::TokenInvalid, kind),
            "{text}"
        );
        assert_eq!(failure.rule, format!("inspect.{cause}"));
        assert!(failure.detail.ends_with('.'), "{}", failure.detail);
    }
}

/// A real token of which something is missing, or to which something was added.
#[test]
fn cuts_and_joints_are_found() {
    let token = sign(&access_claims());
    let other = sign(&access_claims());
    let parts: Vec<&str> = token.split('.').collect();
    for (cause, text) in [
        ("truncated", parts[0].to_owned()),
        ("truncated", token[..20].to_owned()),
        ("truncated", format!("{}.{}", parts[0], &parts[1][..20])),
        ("signature_missing", format!("{}.{}", parts[0], parts[1])),
        ("signature_missing", format!("{}.{}.", parts[0], parts[1])),
        ("signature_cut", token[..token.len() - 8].to_owned()),
        ("signature_cut", token[..token.len() - 1].to_owned()),
        ("signature_cut", format!("{token}AAAA")),
        ("beginning_missing", token[1..].to_owned()),
        ("two_tokens", format!("{token},{other}")),
        ("two_tokens", format!("{token} {other}")),
        ("two_tokens", format!("{token}\n{other}\n")),
        ("two_tokens", format!("{token}{other}")),
        ("too_many_parts", format!("{token}.abc")),
    ] {
        let report = look(&text);
        let mut all = report.failure.iter().chain(&report.other_failures);
        assert!(all.any(|one| one.cause == cause), "{cause}: {report:#?}");
    }
}

#[test]
fn other_kinds_of_tokens_are_told_apart() {
    for (cause, change) in [
        ("id_token", json!({"nonce": "n", "aud": "client"})),
        ("id_token", json!({"at_hash": "h"})),
        ("refresh_token", json!({"typ": "Refresh"})),
        ("refresh_token", json!({"token_use": "refresh"})),
        ("refresh_token", json!({"type": "refresh"})),
    ] {
        let mut claims = json!({"iss": "https://id.example", "iat": NOW, "exp": NOW + 300});
        for (name, value) in change.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        let token = key("k1").sign(Some("JWT"), &claims).expect("signed");
        let report = inspect(&token, &given());
        assert_eq!(main(&report).cause, cause, "{report:#?}");
        assert_eq!(main(&report).code, Code::TokenInvalid);
    }
}

#[test]
fn unsigned_and_shared_secret_tokens_are_warned_of() {
    let make = |header: &Value, signature: &str| {
        let b64 = |value: &Value| tenure_jose::b64url(value.to_string());
        format!("{}.{}.{signature}", b64(header), b64(&access_claims()))
    };
    let report = look(&make(&json!({"alg": "none", "typ": "JWT"}), ""));
    assert_eq!(main(&report).cause, "alg_none");
    assert!(report.other_failures.is_empty(), "{report:#?}");

    let signature = tenure_jose::b64url([7; 32]);
    let report = look(&make(&json!({"alg": "HS256", "kid": "1"}), &signature));
    assert!(report.failure.is_none(), "{report:#?}");
    let said = report.remarks.join("\n");
    for word in ["shared secret", "short", "`typ` is missing"] {
        assert!(said.contains(word), "{said}");
    }
    let token = Secret::new(make(&json!({"alg": "HS256"}), &signature));
    let set = JwkSet {
        keys: vec![key("k1").public_jwk().expect("public")],
    };
    let given = Given {
        keys: Some(&set),
        ..given()
    };
    assert_eq!(
        main(&inspect(&token, &given)).cause,
        "shared_secret_algorithm"
    );
}

/// Neither the token nor a part of it that could be used comes back.
#[test]
fn no_report_holds_the_signature() {
    let token = sign(&access_claims());
    let signature = token.rsplit('.').next().expect("a signature");
    for text in [
        token.clone(),
        format!("Bearer {token}"),
        token[..token.len() - 4].to_owned(),
        format!("{token},{token}x"),
        json!({"access_token": token, "refresh_token": token}).to_string(),
        format!("{token} is refused"),
        token.replacen('e', "е", 1),
        format!("{token}.{token}"),
        format!("{{{token}}}"),
        format!("${{{token}}}"),
        format!("{token}: {token}"),
        format!("{signature}: x"),
        format!("{signature} {signature}"),
    ] {
        let report = look(&text);
        let shown = serde_json::to_string(&report).expect("JSON") + &format!("{report:?}");
        assert!(!shown.contains(&signature[..16]), "{shown}");
    }
}

#[test]
fn hostile_sizes_and_depths_are_quick() {
    let b64 = |text: &str| tenure_jose::b64url(text);
    let deep = "[".repeat(60_000);
    let start = Instant::now();
    for text in [
        "[".repeat(200_000),
        ".".repeat(250_000),
        format!("eyJ{}", ".".repeat(250_000)),
        format!("{}.{}.x", b64("{\"alg\":\"HS256\"}"), b64(&deep)),
        "%41".repeat(80_000),
        "%25".repeat(80_000),
        "access_token".repeat(20_000),
        "eyJ.a.b ".repeat(30_000),
        "\"".repeat(250_000),
        "\\\"".repeat(120_000),
        "x".repeat(1_000_000),
        "a=b;".repeat(60_000),
        "Bearer ".repeat(35_000),
        format!("https://x.example/?{}", "token&".repeat(40_000)),
    ] {
        look(&text);
    }
    // Generous for a debug build on a loaded machine; anything quadratic takes minutes.
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

/// Damage to a real token, and parts that decode to anything.
fn anything() -> impl Strategy<Value = String> {
    let token = sign(&access_claims());
    prop_oneof![
        any::<Vec<u8>>().prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        (0..token.len(), 0..token.len(), any::<String>()).prop_map(move |(from, to, put)| {
            let (from, to) = (from.min(to), from.max(to));
            format!("{}{put}{}", &token[..from], &token[to..])
        }),
        (any::<Vec<u8>>(), any::<Vec<u8>>(), any::<Vec<u8>>()).prop_map(|(a, b, c)| {
            let b64 = |bytes: Vec<u8>| tenure_jose::b64url(bytes);
            format!("{}.{}.{}", b64(a), b64(b), b64(c))
        }),
        (any::<i64>(), any::<f64>(), any::<i64>()).prop_map(|(iat, nbf, exp)| {
            let claims = json!({"iat": iat, "nbf": nbf, "exp": exp}).to_string();
            let b64 = |text: String| tenure_jose::b64url(text);
            format!(
                "{}.{}.AAAA",
                b64("{\"alg\":\"none\"}".to_owned()),
                b64(claims)
            )
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn whatever_it_is_there_is_an_answer(text in anything(), now_s in any::<i64>(), redact in any::<bool>()) {
        let given = Given { now_s, redact, issuer: Some("https://id.example"), audience: Some("x"), ..Given::default() };
        let report = inspect(&Secret::new(text), &given);
        for failure in report.failure.iter().chain(&report.other_failures) {
            prop_assert!(!failure.cause.is_empty() && !failure.detail.is_empty());
            prop_assert!(!failure.detail.contains(['\u{1b}', '\u{202e}']), "{}", failure.detail);
        }
    }
}
