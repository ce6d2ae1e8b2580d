//! No text upsets the readers of lines and of pasted responses, nor what judges them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tenure_diagnose::{Answer, Local, Place, http_text, judge, lines};

fuzz_target!(|text: &str| {
    let _ = lines::classify_line(text);
    let Ok(pasted) = http_text::parse_body(text, 401) else {
        return;
    };
    let answer = Answer {
        place: Place::Resource,
        status: pasted.status,
        headers: &pasted.headers,
        body: pasted.body.as_bytes(),
    };
    judge(&answer, &Local::default(), None);
});
