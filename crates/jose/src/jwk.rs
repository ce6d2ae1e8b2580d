//! Public keys as JSON (RFC 7517, RFC 8037).

use serde::{Deserialize, Deserializer, Serialize};

use crate::primitives::{b64url, sha256};

/// A public key. Private members (`d`, `p`, `k` …) have no place here: they are neither read nor written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    /// Key type: `EC`, `OKP` or `RSA`; others are kept but not used.
    pub kty: String,
    /// Which key it is, within its set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// `sig` or `enc`.
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    pub use_: Option<String>,
    /// What the key may do; `verify` matters here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_ops: Option<Vec<String>>,
    /// The one algorithm the key is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// Curve: `P-256`, `P-384`, `Ed25519`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crv: Option<String>,
    /// X coordinate, or the Ed25519 public key; base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    /// Y coordinate; base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
    /// RSA modulus; base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<String>,
    /// RSA exponent; base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e: Option<String>,
}

/// A set of public keys, as served at a `jwks_uri`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct JwkSet {
    /// The keys, in the server's order.
    pub keys: Vec<Jwk>,
}

impl<'de> Deserialize<'de> for JwkSet {
    /// Members that are no keys as we know them are left out, as RFC 7517 §5 asks: one exotic key must not
    /// make a whole set unusable.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Raw {
            keys: Vec<serde_json::Value>,
        }
        let raw = Raw::deserialize(deserializer)?;
        let readable = |value| serde_json::from_value(value).ok();
        Ok(Self {
            keys: raw.keys.into_iter().filter_map(readable).collect(),
        })
    }
}

/// The key's thumbprint: SHA-256 over its required members in lexicographic order, base64url (RFC 7638 §3;
/// RFC 8037 §2 for `OKP`). For key types other than `EC`, `OKP` and `RSA` all public members are taken.
pub fn thumbprint(key: &Jwk) -> String {
    let members: &[(&str, &Option<String>)] = match key.kty.as_str() {
        "EC" => &[("crv", &key.crv), ("x", &key.x), ("y", &key.y)],
        "OKP" => &[("crv", &key.crv), ("x", &key.x)],
        "RSA" => &[("e", &key.e), ("n", &key.n)],
        _ => &[
            ("crv", &key.crv),
            ("e", &key.e),
            ("n", &key.n),
            ("x", &key.x),
            ("y", &key.y),
        ],
    };
    let mut sorted: std::collections::BTreeMap<&str, &str> = members
        .iter()
        .filter_map(|(name, value)| Some((*name, value.as_deref()?)))
        .collect();
    sorted.insert("kty", &key.kty);
    // A BTreeMap is written in the order of its keys, without white space: the form RFC 7638 §3.3 asks for.
    let canonical: serde_json::Map<String, serde_json::Value> = sorted
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    b64url(sha256(
        serde_json::Value::Object(canonical).to_string().as_bytes(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbprint_as_in_rfc_7638_3_1() {
        let key: Jwk = serde_json::from_str(
            r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#,
        )
        .expect("a key");
        assert_eq!(
            thumbprint(&key),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
    }

    #[test]
    fn thumbprint_as_in_rfc_8037_a_3() {
        let key = Jwk {
            kty: "OKP".to_owned(),
            crv: Some("Ed25519".to_owned()),
            x: Some("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".to_owned()),
            kid: Some("ignored".to_owned()),
            ..Jwk::default()
        };
        assert_eq!(
            thumbprint(&key),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
    }

    #[test]
    fn a_set_survives_members_it_cannot_read() {
        let set: JwkSet = serde_json::from_str(
            r#"{"keys":[{"kty":"AKP","alg":"ML-DSA-44"},7,{"kid":"no type"},{"kty":"OKP","crv":"Ed25519","x":"AA","d":"private"}],"more":1}"#,
        )
        .expect("a set");
        let kinds: Vec<_> = set.keys.iter().map(|key| key.kty.as_str()).collect();
        assert_eq!(kinds, ["AKP", "OKP"]);
        assert!(
            !serde_json::to_string(&set)
                .expect("json")
                .contains("private")
        );
        assert!(serde_json::from_str::<JwkSet>(r#"{"error":"not a set"}"#).is_err());
    }
}
