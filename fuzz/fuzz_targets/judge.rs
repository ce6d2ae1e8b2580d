//! No answer upsets the classifier, and nothing but a token endpoint's refusal is ever final.
#![no_main]

use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use tenure_diagnose::{Answer, Local, Place, judge};

fuzz_target!(|input: (bool, u16, Vec<u8>, Vec<u8>)| {
    let (token, status, field, body) = input;
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(&field) {
        headers.insert("www-authenticate", value);
    }
    let answer = Answer {
        place: if token { Place::Token } else { Place::Resource },
        status,
        headers: &headers,
        body: &body,
    };
    let finding = judge(&answer, &Local::default(), None);
    assert!(!finding.proven || token && matches!(status, 200 | 400 | 401 | 403));
    assert!(!finding.refused);
});
