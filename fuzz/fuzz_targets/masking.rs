//! Masking never fails, and a secret with a label is never let through, whatever stands around it.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use tenure_wire::mask;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    label: u8,
    secret: &'a [u8],
    breaks: bool,
    before: &'a str,
    after: &'a str,
}

/// `@` is the secret, `#` the same as a JSON string.
const LABELS: [&str; 17] = [
    "Authorization: Bearer @",
    "Authorization: @",
    "Bearer @",
    "X-Api-Key: @",
    "Cookie: a=1; sid=@",
    "Set-Cookie: sid=@; Path=/",
    "password: @",
    "client_secret: @",
    "refresh_token: @",
    "password=@",
    "access_token=@&scope=a",
    "{\"password\": #}",
    "{\"a\":1,\"refresh_token\":#,\"b\":2}",
    "{\"client_secret\" : #}",
    "Set-Cookie: s={\"refresh_token\":#}; Path=/",
    "cookie: {\"sid\":#}",
    "Bearer @[masked]@",
];
/// What every secret begins and ends with here, so that none is a word and the smallest rest of one is seen.
const MARK: &str = "Zq9";

fuzz_target!(|input: Input| {
    let text = text(&input);
    let masked = mask(&text);
    let alien = input.before.contains(MARK) || input.after.contains(MARK);
    assert!(
        alien || !masked.contains(MARK),
        "{text:?} became {masked:?}"
    );
    mask(input.after);
});

fn text(input: &Input) -> String {
    let label = LABELS[usize::from(input.label) % LABELS.len()];
    let plain: String = input.secret.iter().take(60).map(letter).collect();
    let anything = String::from_utf8_lossy(input.secret);
    let quoted = serde_json::Value::from(format!("{MARK}{anything}{MARK}")).to_string();
    let labelled = label
        .replace('@', &format!("{MARK}{plain}{MARK}"))
        .replace('#', &quoted);
    let gap = if input.breaks { '\n' } else { ' ' };
    format!("{}{gap}{labelled}{gap}{}", input.before, input.after)
}

/// The characters of RFC 6750 tokens, without `=`, which only ends them.
fn letter(byte: &u8) -> char {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/";
    char::from(LETTERS[usize::from(*byte) % LETTERS.len()])
}
