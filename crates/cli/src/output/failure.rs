//! A failure for people.

use tenure_core::Failure;

use super::Paint;

/// Code and title, the chain of causes, the evidence: one string a line. The detail is left to the caller.
pub fn block(failure: &Failure, paint: Paint) -> Vec<String> {
    let mut lines = vec![format!(
        "{} {} {}",
        paint.dim("code:"),
        failure.code,
        failure.title
    )];
    let mut next = failure.because.as_deref();
    while let Some(cause) = next {
        lines.push(format!(
            "{} {} {}: {}",
            paint.dim("because:"),
            cause.code,
            cause.title,
            cause.detail
        ));
        next = cause.because.as_deref();
    }
    for fact in &failure.evidence {
        lines.push(format!(
            "{} {} = {} ({})",
            paint.dim("evidence:"),
            fact.kind,
            fact.value,
            fact.source
        ));
    }
    lines
}

/// One line: `API02008 Refresh Token Invalid`.
pub fn short(failure: &Failure) -> String {
    format!("{} {}", failure.code, failure.title)
}
