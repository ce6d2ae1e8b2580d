//! A failure for people.

use tenure_core::Failure;

use super::Paint;
use crate::config::session::SECRET_UNREADABLE;

/// Evidence longer than this that the detail quotes is not told a second time.
const REPEATED: usize = 16;

/// Code and title, the code's page where one is served (`pages` is the running status page), the chain of causes,
/// the evidence: one string a line. The detail is left to the caller.
pub fn block(failure: &Failure, paint: Paint, pages: Option<&str>) -> Vec<String> {
    // The title of the code is about the server's answer: here it was not even asked.
    let here = if failure.cause == SECRET_UNREADABLE {
        " (not by the server: here they cannot be read)"
    } else {
        ""
    };
    let mut lines = vec![format!(
        "{} {} {}{here}",
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
        if fact.value.len() > REPEATED && failure.detail.contains(&fact.value) {
            continue;
        }
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

/// Where to read about the code, and about the one at the root of it where that is another: the page that is
/// served, else the command that shows it.
pub fn page(failure: &Failure, paint: Paint, pages: Option<&str>) -> String {
    let place = |failure: &Failure| match pages {
        Some(base) => format!("{}{}", base.trim_end_matches('/'), failure.page),
        None => format!("tenure explain {}", failure.code),
    };
    let word = pages.map_or("more:", |_| "page:");
    let root = failure.root();
    let cause = if root.code == failure.code {
        String::new()
    } else {
        format!(" (its cause: {})", place(root))
    };
    format!("{} {}{cause}", paint.dim(word), place(failure))
}

/// One line: `API02008 Refresh Token Invalid`.
pub fn short(failure: &Failure) -> String {
    format!("{} {}", failure.code, failure.title)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenure_core::{Class, Code, Heal, Who};

    #[test]
    fn the_page_is_the_shown_codes_and_the_roots_is_named_apart() {
        let named = |code| {
            Failure::new(
                code,
                Class::Unknown,
                "cause",
                Heal::RetryLater,
                Who::User,
                "no",
            )
        };
        let root = named(Code::RefreshReused);
        let shown = named(Code::RefreshFailed).because(root);
        let line = |failure: &Failure, pages| page(failure, Paint(false), pages);
        assert_eq!(
            line(&shown, None),
            "more: tenure explain API02007 (its cause: tenure explain API02015)"
        );
        assert_eq!(
            line(&shown, Some("http://a/")),
            "page: http://a/error-codes/API02007 (its cause: http://a/error-codes/API02015)"
        );
        let alone = named(Code::RefreshReused);
        assert_eq!(line(&alone, None), "more: tenure explain API02015");
    }
}
