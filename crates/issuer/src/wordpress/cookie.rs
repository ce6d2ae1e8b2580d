//! The refresh cookie of usefulteam's dialect: `<user number>.<64 hex digits>`, as the plugin has it.
//!
//! Where the plugin's 32 bytes are random, these are family ‖ generation ‖ MAC, so that the rotation rule can judge
//! them and the same successor can be made again. The MAC is cut to 96 bits to keep the form; only this server checks
//! it, so that nobody can try more than the network carries.

use subtle::ConstantTimeEq;
use tenure_core::Secret;
use tenure_jose::hmac_sha256;

use super::{from_hex, hex};
use crate::master::Master;
use crate::refresh_token::FamilyId;

const LABEL: &[u8] = b"usefulteam refresh cookie";
const MAC: usize = 12;

fn mac(master: &Master, number: u64, family: FamilyId, generation: u32) -> [u8; MAC] {
    let mut message = LABEL.to_vec();
    message.extend_from_slice(&number.to_be_bytes());
    message.extend_from_slice(&family.0);
    message.extend_from_slice(&generation.to_be_bytes());
    let whole = hmac_sha256(master.family_key(&family.0).as_slice(), &message);
    let mut cut = [0; MAC];
    cut.copy_from_slice(&whole[..MAC]);
    cut
}

/// The cookie's value for one generation of a family.
pub(crate) fn make(master: &Master, number: u64, family: FamilyId, generation: u64) -> Secret {
    // A family that was rotated four thousand million times presents a generation too old and must log in.
    let generation = u32::try_from(generation).unwrap_or(u32::MAX);
    let mut bytes = family.0.to_vec();
    bytes.extend_from_slice(&generation.to_be_bytes());
    bytes.extend_from_slice(&mac(master, number, family, generation));
    Secret::new(format!("{number}.{}", hex(&bytes)))
}

/// What a genuine cookie names; `None` for everything this issuer did not make.
pub(crate) fn open(master: &Master, value: &str) -> Option<(FamilyId, u64)> {
    let (number, text) = value.split_once('.')?;
    let number: u64 = number.parse().ok()?;
    let bytes: [u8; 32] = from_hex(text)?.try_into().ok()?;
    let (family, rest) = bytes.split_first_chunk::<16>()?;
    let (generation, found) = rest.split_first_chunk::<4>()?;
    let (family, generation) = (FamilyId(*family), u32::from_be_bytes(*generation));
    let expected = mac(master, number, family, generation);
    bool::from(expected.as_slice().ct_eq(found)).then_some((family, u64::from(generation)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_the_plugins_and_nothing_else_opens() {
        let master = Master::for_tests();
        let family = FamilyId([7; 16]);
        let value = make(&master, 42, family, 3);
        let text = value.expose();
        assert!(text.starts_with("42.") && text.len() == 3 + 64);
        assert_eq!(value, make(&master, 42, family, 3), "made again equal");
        assert!(open(&master, text) == Some((family, 3)));
        for at in 0..text.len() {
            let mut changed = text.to_owned().into_bytes();
            changed[at] = if changed[at] == b'1' { b'2' } else { b'1' };
            let changed = String::from_utf8(changed).expect("ASCII");
            assert!(open(&master, &changed).is_none(), "position {at}");
        }
        for junk in ["", ".", "42", "42.", &text[..66], &text.to_uppercase()] {
            assert!(open(&master, junk).is_none(), "{junk}");
        }
    }
}
