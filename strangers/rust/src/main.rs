//! `strangers SETUP.json`: the crate `openidconnect` against the issuer that SETUP.json describes. One line of JSON for each
//! flow on stdout: client, flow, problem.

mod browser;
mod flows;

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::json;

fn main() {
    let path = std::env::args().nth(1).expect("the set-up's path");
    let text = std::fs::read_to_string(&path).expect("the set-up");
    let setup: flows::Setup = serde_json::from_str(&text).expect("the set-up's shape");
    for (flow, run) in flows::ALL {
        // Whatever it is, it is this flow's result.
        let ran = catch_unwind(AssertUnwindSafe(|| run(&setup)));
        let problem = match ran {
            Ok(Ok(())) => None,
            Ok(Err(problem)) => Some(problem),
            Err(_) => Some("it panicked; stderr says where".to_owned()),
        };
        println!(
            "{}",
            json!({ "client": "openidconnect", "flow": flow, "problem": problem })
        );
    }
}
