//! The examples of RFC 7515 appendix A (RFC 7519 §3.1 is its first), RFC 7638 and RFC 8037; that of RFC 9449 stands with the
//! proofs.

use tenure_jose::{
    Jwk, JwkSet, KeySet, Reason, Rules, from_b64url, thumbprint, verify, verify_signature,
};

const CLAIMS: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const EXP: i64 = 1_300_819_380;

fn jwks(json: &str) -> KeySet {
    let set: JwkSet = serde_json::from_str(json).expect("a key set");
    let keys = KeySet::from_jwks(&set);
    assert_eq!((keys.len(), keys.skipped()), (1, 0));
    keys
}

/// The token verifies, its claims are read, its expiry is exact, and no byte of it can change.
fn check(header: &str, signature: &str, keys: &KeySet) {
    let token = format!("{header}.{CLAIMS}.{signature}");
    let rules = Rules {
        issuer: Some("joe"),
        now_s: EXP - 1,
        ..Rules::default()
    };
    let read = verify(&token, keys, &rules).expect("valid one second before its end");
    assert_eq!((read.iss(), read.exp()), (Some("joe"), Some(EXP)));
    assert_eq!(
        verify(
            &token,
            keys,
            &Rules {
                now_s: EXP,
                ..rules
            }
        ),
        Err(Reason::Expired { by_s: 0 })
    );
    let altered = token.replacen("eyJpc3MiOiJqb2Ui", "eyJpc3MiOiJqb2Yi", 1);
    assert_ne!(altered, token);
    assert_eq!(verify_signature(&altered, keys), Err(Reason::BadSignature));
}

#[test]
fn a_1_hs256() {
    let secret = from_b64url(
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
    )
    .expect("base64url");
    let keys = KeySet::single_secret(None, &secret).expect("long enough");
    check(
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9",
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        &keys,
    );
}

#[test]
fn a_2_rs256() {
    // The key states no `alg`: RS256 is assumed.
    let keys = jwks(
        r#"{"keys":[{"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}]}"#,
    );
    check(
        "eyJhbGciOiJSUzI1NiJ9",
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        &keys,
    );
}

#[test]
fn a_3_es256() {
    let keys = jwks(
        r#"{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#,
    );
    check(
        "eyJhbGciOiJFUzI1NiJ9",
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        &keys,
    );
}

#[test]
fn a_5_unsecured_is_refused() {
    let token = format!("eyJhbGciOiJub25lIn0.{CLAIMS}.");
    let keys = KeySet::single_secret(None, &[1; 32]).expect("long enough");
    let refused = verify_signature(&token, &keys).expect_err("none");
    assert!(
        matches!(&refused, Reason::WrongAlgorithm { found, .. } if found == "none"),
        "{refused}"
    );
}

/// RFC 7638 §3.1, and RFC 8037 appendix A.3.
#[test]
fn thumbprints_of_rfc_7638_and_8037() {
    for (key, expected) in [
        (
            r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#,
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
        ),
        (
            r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
        ),
    ] {
        let key: Jwk = serde_json::from_str(key).expect("a key");
        assert_eq!(thumbprint(&key), expected);
    }
}
