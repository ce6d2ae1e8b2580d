//! Nothing repeated to 64 KB takes a reader longer than a second: whatever is quadratic shows itself.
#![no_main]

use std::time::{Duration, Instant};

use arbitrary::Arbitrary;
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use tenure_core::Secret;
use tenure_diagnose::inspect::{Given, inspect};
use tenure_diagnose::{Answer, Local, Place, http_text, judge, lines};
use tenure_wire::mask;

const LENGTH: usize = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    reader: u8,
    before: &'a str,
    piece: &'a str,
    after: &'a str,
}

const READERS: [fn(&str); 6] = [
    |text| drop(mask(text)),
    |text| drop(http_text::parse_body(text, 401)),
    |text| drop(lines::classify_line(text)),
    |text| drop(inspect(&Secret::new(text), &Given::default())),
    |text| judged(&HeaderMap::new(), text),
    |text| {
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert("www-authenticate", value);
        }
        judged(&headers, "");
    },
];

fuzz_target!(|input: Input| {
    if input.piece.is_empty() {
        return;
    }
    let times = LENGTH / input.piece.len();
    let text = format!(
        "{}{}{}",
        input.before,
        input.piece.repeat(times),
        input.after
    );
    let read = READERS[usize::from(input.reader) % READERS.len()];
    // Again when it was slow: other programs may have had the processor.
    let slow = || {
        let start = Instant::now();
        read(&text);
        start.elapsed() > PATIENCE
    };
    assert!(!(0..3).all(|_| slow()), "slow: {input:?}");
});

fn judged(headers: &HeaderMap, body: &str) {
    let answer = Answer {
        place: Place::Token,
        status: 400,
        headers,
        body: body.as_bytes(),
    };
    judge(&answer, &Local::default(), None);
}
