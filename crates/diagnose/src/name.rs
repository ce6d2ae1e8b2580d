//! Finds the name somebody meant.

/// The candidate nearest to `wrong`, when one is near enough to be a slip: at most a third of its letters.
pub fn nearest<'a>(wrong: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| {
            let slips = if is_swapped(wrong, candidate) {
                1
            } else {
                distance(wrong, candidate)
            };
            (slips, candidate)
        })
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, candidate)| distance * 3 <= candidate.chars().count().max(3))
        .map(|(_, candidate)| candidate)
}

/// Whether two neighbouring letters changed places and nothing else: one slip, though two letters differ.
fn is_swapped(wrong: &str, candidate: &str) -> bool {
    let (mut letters, meant): (Vec<char>, Vec<char>) =
        (wrong.chars().collect(), candidate.chars().collect());
    let first = letters.iter().zip(&meant).position(|(a, b)| a != b);
    let Some(at) = first.filter(|at| at + 1 < letters.len()) else {
        return false;
    };
    letters.swap(at, at + 1);
    letters == meant
}

/// Levenshtein distance in characters.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let change = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_a_stranger_is_not() {
        let known = ["rotation", "retry_unknown", "flows"];
        assert_eq!(nearest("rotatoin", known.into_iter()), Some("rotation"));
        assert_eq!(nearest("flow", known.into_iter()), Some("flows"));
        assert_eq!(nearest("folws", known.into_iter()), Some("flows"));
        assert_eq!(nearest("lofws", known.into_iter()), None);
        assert_eq!(nearest("colour", known.into_iter()), None);
        assert_eq!(nearest("x", std::iter::empty()), None);
    }
}
