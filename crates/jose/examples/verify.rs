//! What checking a token costs beside the bare signature check of the library that does it.
//!
//! ```text
//! cargo run --release -p tenure-jose --example verify
//! ```
//! Both are timed in turn, a hundred short rounds each; the medians' ratio is told, and the spread of the rounds' ratios.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement that has to stop at the first surprise"
)]

use std::hint::black_box;
use std::time::Instant;

use aws_lc_rs::signature::{self, ParsedPublicKey, RsaPublicKeyComponents};
use serde_json::json;
use tenure_jose::{Alg, Jwk, KeySet, Rules, SigningKey, from_b64url, verify};

const NOW: i64 = 1_790_812_800;
const ROUNDS: usize = 100;

fn main() {
    for (alg, times) in [(Alg::Rs256, 200), (Alg::Es256, 100), (Alg::EdDsa, 100)] {
        measure(alg, times);
    }
}

fn measure(alg: Alg, times: u32) {
    let key = SigningKey::generate(alg, "k1").unwrap();
    let claims = json!({
        "iss": "https://id.example", "sub": "h2Kd93kslQwe", "aud": "https://api.example", "exp": NOW + 300, "iat": NOW,
        "jti": "AbCdEfGhIjKlMnOp", "client_id": "till-7", "scope": "orders offline_access",
        "sid": "I3kQVHn_w3K6_UIOI9j_YQ", "generation": 17, "auth_time": NOW - 4_000,
    });
    let token = key.sign(Some("at+jwt"), &claims).unwrap();
    let token = token.expose();
    let keys = KeySet::from_signing_key(&key);
    let rules = Rules {
        issuer: Some("https://id.example"),
        audience: Some("https://api.example"),
        typ: Some("at+jwt"),
        leeway_s: 60,
        now_s: NOW,
    };
    let (message, signed) = token.rsplit_once('.').unwrap();
    let signed = from_b64url(signed).unwrap();
    let raw = raw_key(alg, &key.public_jwk().unwrap());

    let whole = || drop(black_box(verify(black_box(token), &keys, &rules).unwrap()));
    let bare = || {
        raw.verify_sig(black_box(message.as_bytes()), &signed)
            .unwrap();
    };
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (one, other) = (time(times, whole), time(times, bare));
        ours.push(one);
        theirs.push(other);
        ratios.push(one / other);
    }
    let (ours, theirs) = (median(&mut ours), median(&mut theirs));
    let middle = median(&mut ratios);
    println!(
        "{alg}: {ours:.2} us, bare check {theirs:.2} us; ratio {:.3} (of medians), {middle:.3} (median of {ROUNDS} rounds, middle half {:.3} to {:.3}); {:.0} ns more",
        ours / theirs,
        ratios[ROUNDS / 4],
        ratios[3 * ROUNDS / 4],
        (ours - theirs) * 1e3,
    );
}

/// Microseconds for one call.
fn time(times: u32, call: impl Fn()) -> f64 {
    let start = Instant::now();
    for _ in 0..times {
        call();
    }
    start.elapsed().as_secs_f64() * 1e6 / f64::from(times)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The key as the library alone has it, parsed once.
fn raw_key(alg: Alg, jwk: &Jwk) -> ParsedPublicKey {
    let part = |part: &Option<String>| from_b64url(part.as_deref().unwrap()).unwrap();
    match alg {
        Alg::Rs256 => {
            let key = RsaPublicKeyComponents {
                n: part(&jwk.n),
                e: part(&jwk.e),
            };
            let algorithm = &signature::RSA_PKCS1_2048_8192_SHA256;
            key.to_parsed_public_key(algorithm).unwrap()
        }
        Alg::Es256 => {
            let point = [vec![4], part(&jwk.x), part(&jwk.y)].concat();
            ParsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).unwrap()
        }
        _ => ParsedPublicKey::new(&signature::ED25519, part(&jwk.x)).unwrap(),
    }
}
