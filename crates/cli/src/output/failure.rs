//! A failure for people.

use tenure_core::Failure;

use super::Paint;

/// Code and title, the code's page where one is served (`pages` is the running status page), the chain of causes,
/// the evidence: one string a line. The detail is left to the caller.
pub fn block(failure: &Failure, paint: Paint, pages: Option<&str>) -> Vec<String> {
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
    lines.push(page(failure, paint, pages));
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

/// Where to read about the code (of the cause, which says more): the page that is served, else the command that
/// shows it.
pub fn page(failure: &Failure, paint: Paint, pages: Option<&str>) -> String {
    let root = failure.root();
    match pages {
        Some(base) => format!(
            "{} {}{}",
            paint.dim("page:"),
            base.trim_end_matches('/'),
            root.page
        ),
        None => format!("{} tenure explain {}", paint.dim("more:"), root.code),
    }
}

/// One line: `API02008 Refresh Token Invalid`.
pub fn short(failure: &Failure) -> String {
    format!("{} {}", failure.code, failure.title)
}
