//! Against `jsonwebtoken`, an independent implementation: what one signs the other accepts, and the other way.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde_json::{Value, json};
use tenure_jose::{Alg, KeySet, Rules, SigningKey, b64url, verify};

const NOW: i64 = 1_700_000_000;

struct Pair {
    ours: SigningKey,
    theirs: EncodingKey,
    reader: DecodingKey,
    alg: Algorithm,
}

fn pair(alg: Alg) -> Pair {
    let ours = SigningKey::generate(alg, "k1").expect("a key");
    let der = ours.to_pkcs8();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        base64(&der)
    );
    let jwk = || {
        let json = serde_json::to_value(ours.public_jwk().expect("public")).expect("json");
        DecodingKey::from_jwk(&serde_json::from_value(json).expect("their JWK")).expect("their key")
    };
    let (theirs, reader, alg) = match alg {
        Alg::Es256 => (
            EncodingKey::from_ec_pem(pem.as_bytes()),
            jwk(),
            Algorithm::ES256,
        ),
        Alg::Es384 => (
            EncodingKey::from_ec_pem(pem.as_bytes()),
            jwk(),
            Algorithm::ES384,
        ),
        Alg::EdDsa => (
            EncodingKey::from_ed_pem(pem.as_bytes()),
            jwk(),
            Algorithm::EdDSA,
        ),
        Alg::Rs256 => (
            EncodingKey::from_rsa_pem(pem.as_bytes()),
            jwk(),
            Algorithm::RS256,
        ),
        Alg::Rs384 => (
            EncodingKey::from_rsa_pem(pem.as_bytes()),
            jwk(),
            Algorithm::RS384,
        ),
        Alg::Rs512 => (
            EncodingKey::from_rsa_pem(pem.as_bytes()),
            jwk(),
            Algorithm::RS512,
        ),
        Alg::Ps256 => (
            EncodingKey::from_rsa_pem(pem.as_bytes()),
            jwk(),
            Algorithm::PS256,
        ),
        Alg::Hs256 => (
            Ok(EncodingKey::from_secret(&der)),
            DecodingKey::from_secret(&der),
            Algorithm::HS256,
        ),
    };
    Pair {
        theirs: theirs.expect("their key"),
        ours,
        reader,
        alg,
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn their_rules(alg: Algorithm) -> Validation {
    let mut rules = Validation::new(alg);
    rules.validate_exp = false;
    rules.validate_aud = false;
    rules
}

fn claims() -> Value {
    json!({"iss": "https://id.example", "sub": "é ü 中", "exp": NOW + 60, "nested": {"a": [1, null, true]}})
}

fn forged(token: &str) -> String {
    let (text, signature) = token.rsplit_once('.').expect("three parts");
    let mut bytes = tenure_jose::from_b64url(signature).expect("base64url");
    bytes[10] ^= 1;
    format!("{text}.{}", b64url(bytes))
}

#[test]
fn both_directions_for_every_algorithm() {
    let rules = Rules {
        now_s: NOW,
        ..Rules::default()
    };
    for alg in Alg::ALL {
        let pair = pair(alg);
        let keys = KeySet::from_signing_key(&pair.ours);

        let ours = pair.ours.sign(Some("JWT"), &claims()).expect("signed");
        let read = decode::<Value>(ours.expose(), &pair.reader, &their_rules(pair.alg))
            .expect("they accept ours");
        assert_eq!(read.claims, claims(), "{alg}");
        assert_eq!(read.header.kid.as_deref(), Some("k1"));
        assert!(
            decode::<Value>(forged(ours.expose()), &pair.reader, &their_rules(pair.alg)).is_err()
        );

        let header = Header {
            kid: Some("k1".to_owned()),
            ..Header::new(pair.alg)
        };
        let theirs = encode(&header, &claims(), &pair.theirs).expect("they sign");
        let read = verify(&theirs, &keys, &rules).expect("we accept theirs");
        assert_eq!(Value::Object(read.claims), claims(), "{alg}");
        assert!(verify(&forged(&theirs), &keys, &rules).is_err(), "{alg}");
    }
}
