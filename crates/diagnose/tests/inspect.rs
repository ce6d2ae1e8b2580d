//! Whatever is given for a token, it is judged without a panic, and nothing of a signature is told.

use proptest::prelude::*;
use tenure_core::Secret;
use tenure_diagnose::inspect::{Given, MAX_INPUT_BYTES, inspect};

const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";
const CLAIMS: &str = "eyJzdWIiOiI3IiwiaWF0IjoxNzk1NjI5MjU3LCJleHAiOjE3OTU2MjkyNzd9";

fn judged(text: &str, now_s: i64) -> String {
    let given = Given {
        now_s,
        issuer: Some("https://shop.example"),
        audience: Some("orders"),
        ..Given::default()
    };
    serde_json::to_string(&inspect(&Secret::new(text), &given)).expect("plain data")
}

#[test]
fn a_huge_text_is_not_looked_at() {
    let report = judged(&"a".repeat(MAX_INPUT_BYTES + 1), 0);
    assert!(report.contains("too_large"), "{report}");
}

proptest! {
    #[test]
    fn any_text_is_judged(text in any::<String>(), now_s in any::<i64>()) {
        judged(&text, now_s);
    }

    #[test]
    fn anything_like_a_token_is_judged(header in "[A-Za-z0-9_=-]{0,80}", claims in "[A-Za-z0-9_=-]{0,200}", dots in 0usize..7, now_s in any::<i64>()) {
        judged(&format!("{header}{}{claims}", ".".repeat(dots)), now_s);
    }

    #[test]
    fn any_claims_are_judged(claims in "\\{(\"(exp|iat|nbf|iss|aud|typ)\":(-?[0-9]{1,25}|\"[^\"\\\\]{0,20}\"|null|\\[\\]|true),?){0,8}\\}", now_s in any::<i64>()) {
        let payload = tenure_jose::b64url(claims.as_bytes());
        judged(&format!("{HEADER}.{payload}.c2ln"), now_s);
    }

    #[test]
    fn the_signature_is_never_told(signature in "[A-Za-z0-9_-]{43}") {
        for damage in ["", "\"", "Bearer ", "token="] {
            let report = judged(&format!("{damage}{HEADER}.{CLAIMS}.{signature}"), 1_795_629_260);
            prop_assert!(!report.contains(&signature), "{report}");
        }
    }
}
