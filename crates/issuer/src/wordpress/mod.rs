//! The dialects of WordPress token plugins: what is theirs and not HTTP.
//!
//! Accounts, logins, sessions, revocation and the rotation rule are the issuer's own; a plugin's dialect is how they
//! are spoken of. Its access tokens are signed with a secret that APIs share (HS256), never with a published key, and
//! no token of the one kind is accepted as the other.

mod cookie;
mod refresh;
mod secret;
mod sessions;
mod tokens;

pub(crate) use secret::{Shared, load};
pub(crate) use sessions::{Ended, PosSession, Renew};
pub(crate) use tokens::{Known, Refused};

pub(crate) use cookie::{make as make_cookie, open as open_cookie};
pub(crate) use refresh::BadRefresh;
use tenure_core::family;
use tenure_jose::sha256;
use tenure_verify::{Style, WordpressPlugin};

/// How long a refresh token of WCPOS lives, whatever its use: 30 days.
pub(crate) const POS_REFRESH_S: u64 = 30 * 24 * 3_600;

/// Which dialect is spoken, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WordPress {
    /// Whose dialect.
    pub plugin: WordpressPlugin,
    /// Whether a refused token is answered with a code that says why, where the plugin has one code for all.
    pub distinct_codes: bool,
    /// Lifetime of its access tokens in seconds.
    pub access_ttl_s: u64,
}

impl WordPress {
    /// The dialect as the plugin speaks it, with its lifetimes.
    pub fn new(plugin: WordpressPlugin) -> Self {
        Self {
            plugin,
            distinct_codes: false,
            access_ttl_s: match plugin {
                WordpressPlugin::Tmeister => 7 * 24 * 3_600,
                WordpressPlugin::Usefulteam => 600,
                WordpressPlugin::Wcpos => 1_800,
            },
        }
    }

    /// How an API answers those whose token it refuses.
    pub fn style(&self) -> Style {
        Style::wordpress(self.plugin, self.distinct_codes)
    }

    /// What its sessions are listed under in place of a client.
    pub fn client_id(&self) -> &'static str {
        match self.plugin {
            WordpressPlugin::Tmeister => "wordpress-tmeister",
            WordpressPlugin::Usefulteam => "wordpress-usefulteam",
            WordpressPlugin::Wcpos => "wcpos",
        }
    }

    /// How long a session lives, and the rotation rule for a refresh token that stays as it is.
    pub(crate) fn kept(&self, rotation: family::Options) -> family::Options {
        let fixed = |seconds: u64| family::Options {
            rotate: false,
            idle_ms: None,
            absolute_ms: Some(seconds.saturating_mul(1000)),
            ..rotation
        };
        match self.plugin {
            // Nothing renews it.
            WordpressPlugin::Tmeister => fixed(self.access_ttl_s),
            WordpressPlugin::Wcpos => fixed(POS_REFRESH_S),
            WordpressPlugin::Usefulteam => family::Options {
                rotate: false,
                ..rotation
            },
        }
    }
}

/// WordPress counts its users; here the number is made of the account's random identifier, so that it needs no table
/// and is the same for ever. 52 bits, for every JSON reader keeps those; among a million accounts two share one with
/// a chance of one in ten thousand.
pub(crate) fn user_number(user_id: &str) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&sha256(user_id.as_bytes())[..8]);
    // WordPress has no user 0: it means "nobody".
    (u64::from_be_bytes(bytes) >> 12).max(1)
}

/// 16 bytes in the form of a UUID.
pub(crate) fn uuid(bytes: [u8; 16]) -> String {
    let hex = hex(&bytes);
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}

/// The bytes of a UUID.
pub(crate) fn from_uuid(text: &str) -> Option<[u8; 16]> {
    let dashes = |(at, byte): (usize, u8)| (byte == b'-') == matches!(at, 8 | 13 | 18 | 23);
    if text.len() != 36 || !text.bytes().enumerate().all(dashes) {
        return None;
    }
    from_hex(&text.replace('-', ""))?.try_into().ok()
}

/// Random bytes marked as a UUID of version 4 (RFC 9562 §5.4).
pub(crate) fn as_uuid4(mut bytes: [u8; 16]) -> [u8; 16] {
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    bytes
}

fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// Lower case only: one token has one text.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| Some((digit(pair[0])? << 4) | digit(pair[1])?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_and_fit_every_reader() {
        assert_eq!(user_number("ada"), user_number("ada"));
        assert_ne!(user_number("ada"), user_number("bob"));
        for name in 0..1_000 {
            let number = user_number(&name.to_string());
            assert!((1..1 << 52).contains(&number));
        }
    }

    #[test]
    fn uuids_are_read_back_and_nothing_else_is() {
        let bytes = as_uuid4([0xff; 16]);
        let text = uuid(bytes);
        assert_eq!(text, "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(from_uuid(&text), Some(bytes));
        for junk in [
            "",
            "ffffffff-ffff-4fff-bfff-fffffffffff",
            "FFFFFFFF-ffff-4fff-bfff-ffffffffffff",
            "fffffffff-fff-4fff-bfff-ffffffffffff",
            "gfffffff-ffff-4fff-bfff-ffffffffffff",
        ] {
            assert_eq!(from_uuid(junk), None, "{junk}");
        }
    }
}
