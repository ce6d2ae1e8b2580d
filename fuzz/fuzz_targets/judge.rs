//! No answer upsets the classifier, and nothing but a token endpoint's refusal is ever final.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tenure_diagnose::{Answer, Local, Place, judge};

fuzz_target!(|data: &[u8]| {
    let Some(heard) = tenure_fuzz::heard(data) else {
        return;
    };
    for place in [Place::Token, Place::Resource] {
        let answer = Answer {
            place,
            status: heard.status,
            headers: &heard.headers,
            body: &heard.body,
        };
        let finding = judge(&answer, &Local::default(), None);
        let refusing = place == Place::Token && matches!(heard.status, 200 | 400 | 401 | 403);
        assert!(!finding.proven || refusing);
        assert!(!finding.refused);
    }
});
