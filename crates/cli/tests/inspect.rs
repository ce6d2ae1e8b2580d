//! `tenure inspect`, with the real binary.

mod common;

use common::Home;

/// `{"alg":"HS256","typ":"JWT"}` . `{"sub":"7","iat":1795629257,"exp":1795629277,"iss":"https://shop.example"}` . junk
const TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiI3IiwiaWF0IjoxNzk1NjI5MjU3LCJleHAiOjE3OTU2MjkyNzcsImlzcyI6Imh0dHBzOi8vc2hvcC5leGFtcGxlIn0.c2lnbmF0dXJlLWNhbmFyeS1zaWduYXR1cmUtY2FuYSE";
const SIGNATURE: &str = "c2lnbmF0dXJlLWNhbmFyeS1zaWduYXR1cmUtY2FuYSE";

#[test]
fn a_valid_token_is_taken_apart() {
    let home = Home::new();
    let ran = home
        .run_with(&["inspect", "-", "--at", "1795629260"], TOKEN)
        .ok();
    for said in [
        "HS256",
        "https://shop.example",
        "2026-11-25",
        "in 17 s",
        "what happens when",
    ] {
        assert!(ran.out.contains(said), "{said} is missing: {}", ran.out);
    }
    assert!(!ran.out.contains(SIGNATURE) && !ran.err.contains(SIGNATURE));
}

#[test]
fn what_is_wrong_is_named_and_makes_the_exit_code() {
    let home = Home::new();
    let late = home.run_with(
        &["inspect", "--json", "--at", "2026-11-25T19:00:00Z"],
        TOKEN,
    );
    assert_ne!(late.code, 0, "{late:?}");
    assert_eq!(late.json()["failure"]["code"], "API02002");
    let args = [
        "inspect",
        "--json",
        "--at",
        "1795629260",
        "--issuer",
        "http://shop.example/",
    ];
    let other = home.run_with(&args, TOKEN);
    assert_eq!(other.code, 4, "{other:?}");
    assert_eq!(other.json()["failure"]["code"], "API02021");
    for ran in [late, other] {
        assert!(
            !ran.out.contains(SIGNATURE) && !ran.err.contains(SIGNATURE),
            "{ran:?}"
        );
    }
}

#[test]
fn mangled_tokens_are_recognised_as_what_they_are() {
    let home = Home::new();
    let cases = [
        (format!("\"{TOKEN}\""), "quote"),
        (format!("Bearer {TOKEN}"), "Bearer"),
        (
            TOKEN.rsplit_once('.').expect("parts").0.to_owned(),
            "signature",
        ),
        ("undefined".to_owned(), "undefined"),
        ("[object Object]".to_owned(), "object made into text"),
        ("${TOKEN}".to_owned(), "TOKEN"),
        (format!("{TOKEN}, {TOKEN}"), "2 times"),
        (
            "ghp_0123456789abcdefghijklmnopqrstuvwxyzAB".to_owned(),
            "GitHub",
        ),
        (
            format!("{{\"access_token\":\"{TOKEN}\",\"expires_in\":20}}"),
            "access_token",
        ),
        (String::new(), "empty"),
    ];
    for (given, said) in cases {
        let ran = home.run_with(&["inspect", "-", "--at", "1795629260"], &given);
        assert_ne!(ran.code, 0, "{given:?}: {ran:?}");
        let text = ran.out.to_lowercase();
        assert!(text.contains(&said.to_lowercase()), "{said}: {}", ran.out);
        assert!(ran.out.contains("API02003"), "{}", ran.out);
        assert!(!ran.out.contains(SIGNATURE), "{}", ran.out);
    }
}

#[test]
fn what_nobody_can_decode_is_not_called_wrong() {
    let home = Home::new();
    let encrypted = "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.QUJD.QUJD.QUJD.QUJD";
    for given in ["ghp_0123456789abcdefghijklmnopqrstuvwxyzAB", encrypted] {
        let ran = home.run_with(&["inspect", "-"], given);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.out.contains("cannot be decoded: It is"), "{}", ran.out);
        assert!(!ran.out.contains("wrong:"), "{}", ran.out);
        assert!(!ran.out.contains("public key"), "{}", ran.out);
    }
}

#[test]
fn a_token_on_the_command_line_is_warned_of() {
    let home = Home::new();
    let ran = home.run(&["inspect", TOKEN, "--at", "1795629260"]).ok();
    assert!(ran.err.contains("process list"), "{}", ran.err);
    let ran = home.run(&["inspect", "-", "--at", "soon"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("2026-11-25T18:00:00Z"), "{}", ran.err);
}

#[test]
fn a_session_s_token_is_inspected_without_being_spent() {
    let home = Home::new();
    let up = home.up_example();
    let ran = home.run(&["inspect", "--session", "shop", "--json"]).ok();
    let report = ran.json();
    assert_eq!(report["kind"], "access_token", "{report}");
    let jwks = common::get(&format!("{}/jwks.json", up.url("issuer")));
    let keys = home.write("keys.json", &jwks.body);
    let ran = home
        .run(&[
            "inspect",
            "--session",
            "shop",
            "--json",
            "--jwks",
            keys.to_str().expect("UTF-8"),
        ])
        .ok();
    assert_eq!(ran.json()["signature"]["state"], "fits", "{}", ran.out);
    let ran = home.run(&["inspect", "--session", "nosuch"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    up.stop("TERM");
}

/// Every command that prints a token ends the line: `tenure token shop | tenure inspect -` must not call it damaged.
#[test]
fn the_line_end_of_a_pipe_is_no_damage() {
    let home = Home::new();
    for end in ["\n", "\r\n"] {
        let ran = home.run_with(
            &["inspect", "-", "--at", "1795629260"],
            &format!("{TOKEN}{end}"),
        );
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    let ran = home.run_with(
        &["inspect", "-", "--json", "--at", "1795629260"],
        &format!("{TOKEN}\n\n"),
    );
    assert_eq!(ran.json()["failure"]["cause"], "line_break_at_end");
}

#[test]
fn a_wrong_command_line_is_said_before_the_token_is_read() {
    let home = Home::new();
    let keys = home.write("none.json", r#"{"keys":[]}"#);
    let none = keys.to_str().expect("UTF-8");
    for (args, said) in [
        (
            &["inspect", "--jwks", "https://id.example/jwks"][..],
            "curl",
        ),
        (&["inspect", "-", "--jwks", "-"], "stdin"),
        (&["inspect", "-", "--jwks", none], "no key"),
        (&["inspect", "-", "--jwks", "nowhere.json"], "nowhere.json"),
        (&["inspect", "x", "--session", "shop"], "--session"),
    ] {
        let ran = home.run_with(args, TOKEN);
        assert_eq!(ran.code, 2, "{args:?}: {ran:?}");
        assert!(ran.err.contains(said), "{said}: {ran:?}");
        assert!(!home.data().exists(), "{args:?} made a data directory");
    }
}

/// The signature is in nothing that is shown, whatever is wrong with the token and however it is asked.
#[test]
fn the_signature_is_never_shown() {
    let home = Home::new();
    let (unsigned, _) = TOKEN.rsplit_once('.').expect("parts");
    for given in [
        TOKEN.to_owned(),
        format!("Bearer {TOKEN}"),
        format!("{SIGNATURE}: x"),
        format!("{{\"token\":\"{TOKEN}\",\"refresh_token\":\"{SIGNATURE}\"}}"),
        format!("{TOKEN},{unsigned}.{SIGNATURE}x"),
        format!("{TOKEN}{TOKEN}"),
        format!("x{TOKEN}"),
        format!("${{{SIGNATURE}}}"),
        SIGNATURE.to_owned(),
    ] {
        for more in [&[][..], &["--json"], &["--redact"], &["--json", "--redact"]] {
            let args = [&["inspect", "-", "--issuer", "https://id.example"], more].concat();
            let ran = home.run_with(&args, &given);
            let shown = ran.out + &ran.err;
            assert!(!shown.contains(&SIGNATURE[..20]), "{given}: {shown}");
        }
    }
}

#[test]
fn a_redacted_report_names_no_person() {
    let home = Home::new();
    let ran = home
        .run_with(&["inspect", "-", "--redact", "--at", "1795629260"], TOKEN)
        .ok();
    assert!(ran.out.contains("[hidden: 1 character]"), "{}", ran.out);
    assert!(ran.out.contains("https://shop.example"), "{}", ran.out);
}
