//! The few fields of a certificate that people ask for (RFC 5280 §4.1): names and validity. Nothing is verified here.

/// What a certificate says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// The subject's common name, else its organisation.
    pub subject: Option<String>,
    /// The issuer's common name, else its organisation.
    pub issuer: Option<String>,
    /// Valid from, seconds since the epoch.
    pub not_before: i64,
    /// Valid until, seconds since the epoch.
    pub not_after: i64,
    /// Names and addresses it is for (subjectAltName).
    pub names: Vec<String>,
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
const OCTETS: u8 = 0x04;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const CONTEXT_0: u8 = 0xa0;
const CONTEXT_3: u8 = 0xa3;
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ORGANISATION: &[u8] = &[0x55, 0x04, 0x0a];
const ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// More names than this are not read.
const MAX_NAMES: usize = 100;

/// Reads a certificate; `None` when it is none.
pub fn read(der: &[u8]) -> Option<Certificate> {
    let mut outer = Der(der).expect(SEQUENCE)?;
    let mut body = outer.expect(SEQUENCE)?;
    if body.peek() == Some(CONTEXT_0) {
        body.next()?;
    }
    body.next()?; // serial number
    body.next()?; // signature algorithm
    let issuer = body.expect(SEQUENCE)?;
    let mut validity = body.expect(SEQUENCE)?;
    let not_before = time(validity.next()?)?;
    let not_after = time(validity.next()?)?;
    let subject = body.expect(SEQUENCE)?;
    let mut names = Vec::new();
    while let Some((tag, value)) = body.next() {
        if tag == CONTEXT_3 {
            names = alt_names(Der(value)).unwrap_or_default();
        }
    }
    Some(Certificate {
        subject: name(subject),
        issuer: name(issuer),
        not_before,
        not_after,
        names,
    })
}

/// A reader of tag, length, value.
#[derive(Clone, Copy)]
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let mut length = usize::from(first);
        if first >= 0x80 {
            let bytes = usize::from(first & 0x7f);
            if bytes == 0 || bytes > 4 || bytes > rest.len() {
                return None;
            }
            let (digits, after) = rest.split_at(bytes);
            length = digits
                .iter()
                .fold(0, |length, digit| (length << 8) | usize::from(*digit));
            rest = after;
        }
        if length > rest.len() {
            return None;
        }
        let (value, after) = rest.split_at(length);
        self.0 = after;
        Some((tag, value))
    }

    fn expect(&mut self, wanted: u8) -> Option<Der<'a>> {
        let (tag, value) = self.next()?;
        (tag == wanted).then_some(Der(value))
    }
}

fn name(mut parts: Der<'_>) -> Option<String> {
    let mut organisation = None;
    while let Some(mut set) = parts.expect(SET) {
        while let Some(mut attribute) = set.expect(SEQUENCE) {
            let kind = attribute.expect(OID)?.0;
            let (_, value) = attribute.next()?;
            let text = || String::from_utf8_lossy(value).into_owned();
            if kind == COMMON_NAME {
                return Some(text());
            }
            if kind == ORGANISATION {
                organisation = Some(text());
            }
        }
    }
    organisation
}

fn alt_names(mut wrapped: Der<'_>) -> Option<Vec<String>> {
    let mut extensions = wrapped.expect(SEQUENCE)?;
    while let Some(mut extension) = extensions.expect(SEQUENCE) {
        if extension.expect(OID)?.0 != ALT_NAME {
            continue;
        }
        while let Some((tag, value)) = extension.next() {
            if tag == OCTETS {
                return Some(general_names(Der(value).expect(SEQUENCE)?));
            }
        }
    }
    None
}

fn general_names(mut list: Der<'_>) -> Vec<String> {
    let mut names = Vec::new();
    while let Some((tag, value)) = list.next() {
        match (tag, value.len()) {
            (0x82, _) => names.push(String::from_utf8_lossy(value).into_owned()),
            (0x87, 4) => {
                let octets: Vec<_> = value.iter().map(u8::to_string).collect();
                names.push(octets.join("."));
            }
            (0x87, 16) => {
                let mut octets = [0; 16];
                octets.copy_from_slice(value);
                names.push(std::net::Ipv6Addr::from(octets).to_string());
            }
            _ => {}
        }
        if names.len() == MAX_NAMES {
            break;
        }
    }
    names
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`, the only forms RFC 5280 §4.1.2.5 allows.
fn time((tag, value): (u8, &[u8])) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match (tag, text.len()) {
        (UTC_TIME, 12) => {
            let year: i64 = text.get(..2)?.parse().ok()?;
            (
                if year < 50 { 2000 + year } else { 1900 + year },
                &text[2..],
            )
        }
        (GENERALIZED_TIME, 14) => (text.get(..4)?.parse().ok()?, &text[4..]),
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<i64>().ok();
    let (month, day) = (part(0)?, part(2)?);
    let seconds = part(4)? * 3_600 + part(6)? * 60 + part(8)?;
    (1..=12)
        .contains(&month)
        .then(|| days(year, month, day) * 86_400 + seconds)
}

/// Days since 1970-01-01 of a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    const SERVER: &[u8] = include_bytes!("../../lab/certificates/server.pem");

    #[test]
    fn the_labs_certificate_is_read() {
        let der = CertificateDer::from_pem_slice(SERVER).expect("PEM");
        let found = read(&der).expect("a certificate");
        // 2020-01-01 and 2120-01-01, to the day.
        assert_eq!(found.not_before / 86_400, days(2020, 1, 1));
        assert!(found.not_after > days(2119, 12, 1) * 86_400);
        assert!(found.names.contains(&"localhost".to_owned()), "{found:?}");
        assert!(found.names.contains(&"127.0.0.1".to_owned()), "{found:?}");
        assert!(
            found.issuer.is_some() && found.subject.is_some(),
            "{found:?}"
        );
    }

    #[test]
    fn days_are_counted_as_the_calendar_does() {
        assert_eq!(days(1970, 1, 1), 0);
        assert_eq!(days(2000, 3, 1), 11_017);
        assert_eq!(days(2024, 2, 29), 19_782);
        assert_eq!(time((UTC_TIME, b"700101000001Z")), Some(1));
        assert_eq!(
            time((GENERALIZED_TIME, b"20991231235959Z")),
            Some(4_102_444_799)
        );
        assert_eq!(time((UTC_TIME, b"7001010000Z")), None);
    }

    #[test]
    fn rubbish_is_no_certificate() {
        let der = CertificateDer::from_pem_slice(SERVER).expect("PEM");
        for cut in 0..der.len().min(600) {
            // Whatever is cut off, nothing panics.
            let _read = read(&der[..cut]);
        }
        assert_eq!(read(b""), None);
        assert_eq!(read(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(read(&[0x30, 0x80]), None);
    }
}
