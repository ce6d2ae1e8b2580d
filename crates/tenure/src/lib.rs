//! Tenure for Rust programs: open a keeper, ask for tokens, reqwest and tower layers.
