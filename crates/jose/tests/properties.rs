//! Whatever the text: no panic, and no acceptance.

use std::sync::LazyLock;

use proptest::prelude::*;
use tenure_jose::{
    Alg, KeySet, Malformed, Reason, Rules, SigningKey, b64url, from_b64url, peek, verify,
};

const NOW: i64 = 1_700_000_000;

struct Fixture {
    keys: KeySet,
    token: String,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let key = SigningKey::generate(Alg::Es256, "k1").expect("a key");
    let claims = serde_json::json!({"iss": "https://id.example", "exp": NOW + 60});
    Fixture {
        keys: KeySet::from_signing_key(&key),
        token: key.sign(None, &claims).expect("signed").expose().to_owned(),
    }
});

fn rules() -> Rules<'static> {
    Rules {
        issuer: Some("https://id.example"),
        now_s: NOW,
        ..Rules::default()
    }
}

/// JSON-like junk, to get past the first checks.
fn json_text() -> impl Strategy<Value = String> {
    let member = prop_oneof![
        Just(r#""alg":"ES256""#.to_owned()),
        Just(r#""alg":"none""#.to_owned()),
        Just(r#""kid":"k1""#.to_owned()),
        Just(r#""crit":["b64"]"#.to_owned()),
        any::<f64>().prop_map(|number| format!(r#""exp":{number}"#)),
        any::<i64>().prop_map(|number| format!(r#""nbf":{number}"#)),
        any::<u64>().prop_map(|number| format!(r#""iat":{number}"#)),
        ".{0,20}".prop_map(|text| format!("{text:?}:{text:?}")),
    ];
    prop::collection::vec(member, 0..6).prop_map(|members| format!("{{{}}}", members.join(",")))
}

proptest! {
    #[test]
    fn arbitrary_text_is_refused(text in ".{0,300}") {
        prop_assert!(verify(&text, &FIXTURE.keys, &rules()).is_err());
    }

    #[test]
    fn arbitrary_parts_are_refused(header in json_text(), claims in json_text(), signature in prop::collection::vec(any::<u8>(), 0..80)) {
        let token = format!("{}.{}.{}", b64url(&header), b64url(&claims), b64url(signature));
        let _read = peek(&token);
        prop_assert!(verify(&token, &FIXTURE.keys, &rules()).is_err());
    }

    #[test]
    fn any_times_are_judged_without_overflow(exp in any::<i64>(), nbf in any::<i64>(), now in any::<i64>(), leeway in 0..i64::MAX) {
        let key = SigningKey::from_secret("k", &[1; 32]).expect("long enough");
        let token = key.sign(None, &serde_json::json!({"exp": exp, "nbf": nbf})).expect("signed");
        let rules = Rules { now_s: now, leeway_s: leeway, ..Rules::default() };
        let early = i128::from(nbf) > i128::from(now) + i128::from(leeway);
        let over = i128::from(now) - i128::from(leeway) >= i128::from(exp);
        match verify(token.expose(), &KeySet::from_signing_key(&key), &rules) {
            Ok(_) => prop_assert!(!early && (!over || exp == i64::MIN)),
            Err(Reason::NotYetValid { .. }) => prop_assert!(early),
            Err(Reason::Expired { .. }) => prop_assert!(over || exp == i64::MIN),
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn a_changed_byte_is_noticed(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = FIXTURE.token.clone().into_bytes();
        let place = place.index(bytes.len());
        prop_assume!(bytes[place] != byte);
        bytes[place] = byte;
        let text = String::from_utf8_lossy(&bytes);
        prop_assert!(verify(&text, &FIXTURE.keys, &rules()).is_err());
    }

    #[test]
    fn base64url_goes_both_ways(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        prop_assert_eq!(from_b64url(&b64url(&bytes)), Some(bytes));
    }
}

#[test]
fn the_untouched_token_passes() {
    assert!(verify(&FIXTURE.token, &FIXTURE.keys, &rules()).is_ok());
    assert_eq!(peek(""), Err(Malformed::Segments { found: 1 }));
}
