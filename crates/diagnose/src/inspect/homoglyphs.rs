//! Letters of other alphabets and typographic marks that stand where ASCII was.

use super::kind::Kind;
use super::repair::{Found, is_jwt_like};

/// Pairs of a look-alike and what it was.
const LOOK_ALIKES: &str = "АAВBЕEЅSІIЈJКKМMНHОOРPСCТTХXУYаaеeіiјjоoрpсcѕsуyхxһhԁdѵvΑAΒBΕEΖZΗHΙIΚKΜMΝNΟOΡPΤTΥYΧXοoνv‐-‑-‒-–-—-−-＿_．.。.․.ı1";
/// Full-width forms are this far above ASCII.
const FULL_WIDTH: u32 = 0xFEE0;

pub(super) fn step(text: &str) -> Option<Found> {
    if text.is_ascii() {
        if text.contains(|c: char| c.is_ascii_control()) {
            return Found::last(
                "binary",
                "There are control characters in it: it is binary data, not a token.",
                Kind::NoToken,
            );
        }
        return None;
    }
    let strange = text.chars().filter(|c| !c.is_ascii()).count();
    let first = text.chars().position(|c| !c.is_ascii()).unwrap_or_default() + 1;
    let what = format!(
        "{} no ASCII, the first at position {first}, as autocorrection and copying from a document bring along.",
        match strange {
            1 => "One character in it is".to_owned(),
            _ => format!("{strange} characters in it are"),
        }
    );
    let mapped: Option<String> = text.chars().map(ascii).collect();
    match mapped.filter(|mapped| is_jwt_like(mapped)) {
        Some(mapped) => Found::repaired(
            "non_ascii",
            what,
            "putting the letters there that they look like",
            mapped,
        ),
        None => Found::last("non_ascii", what, Kind::NoToken),
    }
}

fn ascii(c: char) -> Option<char> {
    if c.is_ascii() {
        return Some(c);
    }
    let narrow = (c as u32)
        .checked_sub(FULL_WIDTH)
        .and_then(char::from_u32)
        .filter(char::is_ascii_graphic);
    narrow.or_else(|| {
        let mut pairs = LOOK_ALIKES.chars();
        while let (Some(strange), Some(plain)) = (pairs.next(), pairs.next()) {
            if strange == c {
                return Some(plain);
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_pairs_of_a_strange_and_a_plain_character() {
        let all: Vec<char> = LOOK_ALIKES.chars().collect();
        assert_eq!(all.len() % 2, 0);
        for pair in all.chunks(2) {
            assert!(!pair[0].is_ascii() && pair[1].is_ascii(), "{pair:?}");
        }
        assert_eq!(ascii('Ａ'), Some('A'));
        assert_eq!(ascii('–'), Some('-'));
        assert_eq!(ascii('語'), None);
    }
}
