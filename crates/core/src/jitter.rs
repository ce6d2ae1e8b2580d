//! Jitter without randomness: the same session and generation get the same spread on every host.

/// A 64-bit hash of text and a number (FNV-1a, finished with SplitMix64 so that close inputs spread).
/// Not cryptographic.
pub fn hash(text: &str, number: u64) -> u64 {
    let mut h: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in text.bytes().chain(number.to_le_bytes()) {
        h = (h ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    h ^ (h >> 31)
}

/// A stable number in `0..span` (0 when `span` is 0).
pub fn spread(text: &str, number: u64, span: u64) -> u64 {
    if span == 0 {
        0
    } else {
        hash(text, number) % span
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_is_stable_and_covers_the_span() {
        assert_eq!(spread("shop", 7, 1000), spread("shop", 7, 1000));
        let mut tenths = [0u32; 10];
        for n in 0..1000 {
            tenths[usize::try_from(spread("shop", n, 1000) / 100).expect("below 10")] += 1;
        }
        assert!(tenths.iter().all(|&count| count > 60), "{tenths:?}");
    }
}
