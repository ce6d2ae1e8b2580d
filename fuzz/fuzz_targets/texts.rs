//! No text upsets the readers of lines and of pasted responses.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = tenure_diagnose::lines::classify_line(text);
    let _ = tenure_diagnose::http_text::parse(text);
});
