//! `tenure docs build DIR`.

use serde_json::json;

use crate::args;
use crate::codes::site;
use crate::error::Outcome;
use crate::output::Output;

/// Writes the pages of all codes as a static site.
pub fn run(args: &args::Docs, out: Output) -> Outcome {
    let args::Docs::Build { dir, force } = args;
    let files = site::build(dir, *force)?;
    if out.json {
        return out.json(&json!({ "dir": dir, "files": files }));
    }
    out.line(format_args!(
        "{files} files in {}; open {}",
        dir.display(),
        dir.join("index.html").display()
    ))
}
