//! Finding values in JSON whose writers are careless about types.

use serde_json::Value;

/// Follows `path`: alternatives separated by `|`, each a plain name, a JSON pointer (`/data/token`) or a
/// dotted name (`data.token`). A key that contains the dot literally wins. `null` counts as absent.
pub(crate) fn find<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    candidates(value, path).next()
}

/// A non-empty string at `path`.
pub(crate) fn string<'v>(value: &'v Value, path: &str) -> Option<&'v str> {
    candidates(value, path)
        .filter_map(Value::as_str)
        .find(|text| !text.is_empty())
}

/// A whole number at `path`, also when it is written as a string or with a fraction.
pub(crate) fn integer(value: &Value, path: &str) -> Option<i64> {
    candidates(value, path).find_map(|found| match found {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().and_then(whole)),
        Value::String(text) => {
            let text = text.trim();
            text.parse()
                .ok()
                .or_else(|| text.parse::<f64>().ok().and_then(whole))
        }
        _ => None,
    })
}

fn candidates<'v>(value: &'v Value, path: &str) -> impl Iterator<Item = &'v Value> {
    path.split('|')
        .map(str::trim)
        .filter(|one| !one.is_empty())
        .filter_map(|one| at(value, one))
        .filter(|found| !found.is_null())
}

fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    if path.starts_with('/') {
        return value.pointer(path);
    }
    value.get(path).or_else(|| {
        path.split('.').try_fold(value, |node, name| match node {
            Value::Array(items) => name.parse::<usize>().ok().and_then(|at| items.get(at)),
            other => other.get(name),
        })
    })
}

fn whole(number: f64) -> Option<i64> {
    // Beyond 2^53 a float counts no seconds any more.
    (number.abs() < 9.0e15).then_some(number.trunc() as i64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_pointers_dots_and_alternatives() {
        let value = json!({"a": {"b": ["x", {"c": "deep"}]}, "d.e": "dot", "n": null, "s": ""});
        assert_eq!(string(&value, "/a/b/1/c"), Some("deep"));
        assert_eq!(string(&value, "a.b.1.c"), Some("deep"));
        assert_eq!(string(&value, "d.e"), Some("dot"));
        assert_eq!(string(&value, "n|missing|a.b.0"), Some("x"));
        assert_eq!(string(&value, "s"), None);
        assert_eq!(string(&value, "s|a|/n|d.e"), Some("dot"));
        assert_eq!(find(&value, "n"), None);
        assert_eq!(find(&value, ""), None);
    }

    #[test]
    fn numbers_in_any_clothes() {
        let value = json!({"i": 3600, "s": "3600", "f": 3599.9, "fs": " 3600.0 ", "w": "soon", "big": 1e300});
        assert_eq!(integer(&value, "i"), Some(3600));
        assert_eq!(integer(&value, "s"), Some(3600));
        assert_eq!(integer(&value, "f"), Some(3599));
        assert_eq!(integer(&value, "fs"), Some(3600));
        assert_eq!(integer(&value, "w"), None);
        assert_eq!(integer(&value, "big"), None);
    }
}
