//! HTML and XML as far as error messages need them.

/// Whether a text is a web page.
pub(crate) fn is_html(text: &str, content_type: &str) -> bool {
    if !text.starts_with('<') {
        return content_type.contains("html") && text.contains("</");
    }
    let head = text.get(..text.floor_char_boundary(400)).unwrap_or(text);
    let head = head.to_ascii_lowercase();
    let page = [
        "<!doctype html",
        "<html",
        "<head",
        "<body",
        "<title",
        "<h1",
        "<center",
        "<p>",
        "<script",
    ];
    page.iter().any(|tag| head.contains(tag))
        && !head.starts_with("<error")
        && !head.contains("<response")
        && !head.contains("envelope")
}

/// Whether a page holds a form to log in, or one that leads to an identity provider.
pub(crate) fn is_login_form(html: &str) -> bool {
    html.contains("SAMLRequest") && html.contains("<form")
        || html.contains("password")
            && ["type=\"password\"", "type='password'", "type=password"]
                .iter()
                .any(|part| html.contains(part))
}

/// Text and titles of a page, up to `max` bytes, without scripts and styles.
pub(crate) fn page_text(html: &str, max: usize) -> String {
    let mut out = String::with_capacity(max.min(html.len()));
    let mut rest = html;
    while out.len() < max
        && let Some(open) = rest.find('<')
    {
        push_words(&mut out, &rest[..open], max);
        rest = &rest[open..];
        let lower = rest
            .get(..rest.floor_char_boundary(10))
            .unwrap_or_default()
            .to_ascii_lowercase();
        let skipped = ["script", "style"]
            .into_iter()
            .find(|name| lower[1..].starts_with(name));
        if let Some(name) = skipped {
            let close = format!("</{name}");
            rest = find_ignoring_case(rest, &close).map_or("", |at| &rest[at..]);
        }
        rest = rest.find('>').map_or("", |close| &rest[close + 1..]);
        out.push(' ');
    }
    push_words(&mut out, rest, max);
    out
}

fn push_words(out: &mut String, text: &str, max: usize) {
    let room = max.saturating_sub(out.len()).min(text.len());
    out.push_str(text[..text.floor_char_boundary(room)].trim());
}

fn find_ignoring_case(text: &str, wanted: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    bytes
        .windows(wanted.len())
        .position(|window| window.eq_ignore_ascii_case(wanted.as_bytes()))
}

/// Gives `(element, text)` of every XML element that holds text only.
pub(crate) fn elements<'a>(xml: &'a str, visit: &mut dyn FnMut(&'a str, &'a str)) {
    let mut rest = xml;
    for _ in 0..400 {
        let Some(open) = rest.find('<') else { return };
        rest = &rest[open + 1..];
        let Some(close) = rest.find('>') else { return };
        let name = rest[..close]
            .split([' ', '/', '\n', '\t'])
            .next()
            .unwrap_or_default();
        let name = name.rsplit(':').next().unwrap_or_default();
        rest = &rest[close + 1..];
        let end = rest.find('<').unwrap_or(rest.len());
        let text = rest[..end].trim();
        if !name.is_empty() && !name.starts_with(['?', '!']) && !text.is_empty() {
            visit(name, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_and_documents() {
        assert!(is_html("<!DOCTYPE html><title>x</title>", ""));
        assert!(!is_html(
            "<?xml version=\"1.0\"?><Error><Code>A</Code></Error>",
            "text/xml"
        ));
        assert!(!is_html("{\"a\":1}", "text/html"));
        let text = page_text(
            "<html><script>var a='<b>'</script><title>Log in</title><p>Now</p>",
            100,
        );
        assert_eq!(
            text.split_whitespace().collect::<Vec<_>>(),
            ["Log", "in", "Now"]
        );
        let mut found = Vec::new();
        elements("<a:E><Code>Expired</Code><M>x y</M></a:E>", &mut |k, v| {
            found.push((k, v));
        });
        assert_eq!(found, [("Code", "Expired"), ("M", "x y")]);
    }

    #[test]
    fn broken_markup_ends() {
        for text in ["<", "<<<<", "<script", "</", "<é>", "<a", "<!--"] {
            let _ = page_text(text, 50);
            elements(text, &mut |_, _| {});
        }
    }
}
