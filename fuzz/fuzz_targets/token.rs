//! Whatever is given to `tenure inspect` is named, and redacted it shows no claim it should not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tenure_core::Secret;
use tenure_diagnose::inspect::{Given, inspect};

fuzz_target!(|text: &str| {
    for redact in [false, true] {
        let given = Given {
            now_s: 1_767_225_600,
            issuer: Some("https://id.example"),
            audience: Some("orders"),
            keys: None,
            profile: None,
            redact,
        };
        let report = inspect(&Secret::new(text), &given);
        let shown = serde_json::to_string(&report).expect("a report is JSON");
        let signature = text.trim().rsplit('.').next().unwrap_or_default();
        assert!(
            signature.len() < 24 || report.claims.is_none() || !shown.contains(signature),
            "the signature is shown"
        );
    }
});
