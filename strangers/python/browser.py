"""A browser without a screen: cookies, redirects and forms."""

from html.parser import HTMLParser
from urllib.parse import urljoin

import requests

MOST_PAGES = 12


class Form(HTMLParser):
    """The first form of a page, with what its first button would send."""

    def __init__(self, html):
        super().__init__()
        self.action, self.fields, self._button = None, {}, False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "form" and self.action is None:
            self.action = attrs.get("action", "")
        elif tag == "input" and attrs.get("name"):
            self.fields[attrs["name"]] = attrs.get("value", "")
        elif tag == "button" and attrs.get("name") and not self._button:
            self._button = True
            self.fields[attrs["name"]] = attrs.get("value", "")


def visit(link, person, until=None):
    """Follows a link and fills in every form, until there is none, or a redirect leads to `until`."""
    session = requests.Session()
    method, url, fields = "GET", link, None
    for _ in range(MOST_PAGES):
        answer = session.request(method, url, data=fields, allow_redirects=False, timeout=30)
        if "location" in answer.headers:
            method, url, fields = "GET", urljoin(url, answer.headers["location"]), None
            if until and url.startswith(until):
                return url
            continue
        form = Form(answer.text)
        if not answer.ok or form.action is None:
            if until or not answer.ok:
                raise AssertionError(f"{url} answered {answer.status_code}: {answer.text[:400]}")
            return url
        method, url, fields = "POST", urljoin(url, form.action), form.fields
        if "username" in fields:
            fields |= {"username": person["name"], "password": person["password"]}
    raise AssertionError(f"no end after {MOST_PAGES} pages: {url}")
