//! A browser without a screen: cookies, redirects and forms; and the plain requests it is made of.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use serde::Deserialize;
use url::{Url, form_urlencoded};

/// A person with an account.
#[derive(Deserialize)]
pub struct Person {
    name: String,
    password: String,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// One request over HTTP/1.0, so that the answer ends with the connection.
pub fn request(
    method: &str,
    url: &Url,
    headers: &[(&str, &str)],
    body: &str,
) -> std::io::Result<Answer> {
    let host = url.host_str().unwrap_or_default();
    let authority = format!("{host}:{}", url.port_or_known_default().unwrap_or(80));
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let mut text = format!(
        "{method} {path} HTTP/1.0\r\nhost: {authority}\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut stream = TcpStream::connect(&authority)?;
    stream.write_all(format!("{text}\r\n{body}").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok());
    Ok(Answer {
        status: status.ok_or_else(|| std::io::Error::other(format!("no status: {head}")))?,
        headers: lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect(),
        body: body.to_owned(),
    })
}

/// Follows a link and fills in every form, until a redirect leads to `until` or there is no form.
pub fn visit(link: &Url, person: &Person, until: Option<&str>) -> Result<Url, String> {
    let (mut at, mut body, mut cookies) = (link.clone(), None, BTreeMap::new());
    for _ in 0..12 {
        let answer =
            ask(&at, body.take(), &mut cookies).map_err(|error| format!("{at}: {error}"))?;
        if let Some(location) = answer.header("location") {
            at = at.join(location).map_err(|error| error.to_string())?;
            if until.is_some_and(|until| at.as_str().starts_with(until)) {
                return Ok(at);
            }
            continue;
        }
        if answer.status != 200 {
            return Err(format!("{at} answered {answer:?}"));
        }
        let Some((action, fields)) = form(&answer.body, person) else {
            return if until.is_none() {
                Ok(at)
            } else {
                Err(format!("no form at {at}: {answer:?}"))
            };
        };
        at = at.join(&action).map_err(|error| error.to_string())?;
        body = Some(fields);
    }
    Err(format!("no end at {at}"))
}

fn ask(
    at: &Url,
    body: Option<String>,
    cookies: &mut BTreeMap<String, String>,
) -> std::io::Result<Answer> {
    let jar: Vec<_> = cookies
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let jar = jar.join("; ");
    let headers = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("cookie", jar.as_str()),
    ];
    let method = if body.is_some() { "POST" } else { "GET" };
    let answer = request(method, at, &headers, &body.unwrap_or_default())?;
    for (name, value) in &answer.headers {
        let pair = value
            .split(';')
            .next()
            .and_then(|pair| pair.split_once('='));
        if let Some((key, value)) = pair.filter(|_| name.eq_ignore_ascii_case("set-cookie")) {
            cookies.insert(key.to_owned(), value.to_owned());
        }
    }
    Ok(answer)
}

/// The first form of a page: where it goes, and what its first button sends.
fn form(html: &str, person: &Person) -> Option<(String, String)> {
    let form = html.split_once("<form")?.1.split_once("</form>")?.0;
    let mut fields = form_urlencoded::Serializer::new(String::new());
    for tag in form.split('<').filter(|tag| tag.starts_with("input")) {
        let Some(name) = attribute(tag, "name") else {
            continue;
        };
        let value = match name.as_str() {
            "username" => person.name.clone(),
            "password" => person.password.clone(),
            _ => attribute(tag, "value").unwrap_or_default(),
        };
        fields.append_pair(&name, &value);
    }
    let mut buttons = form.split('<').filter(|tag| tag.starts_with("button "));
    if let Some(button) = buttons.find(|tag| attribute(tag, "name").is_some()) {
        fields.append_pair(
            &attribute(button, "name")?,
            &attribute(button, "value").unwrap_or_default(),
        );
    }
    let action = attribute(form.split('>').next()?, "action").unwrap_or_default();
    Some((action, fields.finish()))
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let value = tag.split_once(&format!(" {name}=\""))?.1;
    let value = value.split_once('"')?.0;
    Some(
        value
            .replace("&#38;", "&")
            .replace("&#61;", "=")
            .replace("&amp;", "&"),
    )
}
