//! Who sends a request: the address, through the proxies that are trusted, and the program's name.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use http::request::Parts;
use http::{HeaderMap, header};

use crate::audit::Who;
use crate::issuer::Issuer;

/// More of a program's name is not kept, in characters.
const LONGEST_DEVICE: usize = 160;

/// A range of addresses, as `10.0.0.0/8` or `::1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// A text is no [`Network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is neither an address nor a range of addresses such as 10.0.0.0/8")]
pub struct NotANetwork;

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NotANetwork)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).map_err(|_| NotANetwork)?;
        if bits > most {
            return Err(NotANetwork);
        }
        Ok(Self { address, bits })
    }
}

impl Network {
    /// Whether the address is one of the range.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(range), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(self.bits);
                let cut = |address: u32| address.checked_shr(shift).unwrap_or(0);
                cut(range.to_bits()) == cut(address.to_bits())
            }
            (IpAddr::V6(range), IpAddr::V6(address)) => {
                let shift = 128 - u32::from(self.bits);
                let cut = |address: u128| address.checked_shr(shift).unwrap_or(0);
                cut(range.to_bits()) == cut(address.to_bits())
            }
            _ => false,
        }
    }
}

/// The sender of a request, when the server was started with connection info.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peer {
    address: Option<IpAddr>,
    device: Option<String>,
}

impl Peer {
    /// Its address.
    pub(crate) fn text(&self) -> Option<String> {
        self.address.map(|address| address.to_string())
    }

    /// For the audit log.
    pub(crate) fn who(&self, by: impl Into<String>) -> Who {
        Who {
            by: by.into(),
            address: self.text(),
            device: self.device.clone(),
        }
    }
}

impl FromRequestParts<Arc<Issuer>> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        issuer: &Arc<Issuer>,
    ) -> Result<Self, Infallible> {
        let info = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let sender = info.map(|ConnectInfo(address)| address.ip().to_canonical());
        let trusted = &issuer.options.trusted_proxies;
        Ok(Self {
            address: sender.map(|sender| behind(sender, &parts.headers, trusted)),
            device: device(&parts.headers),
        })
    }
}

/// Printable, for it is shown to people.
fn device(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::USER_AGENT)?.to_str().ok()?.trim();
    let text: String = text
        .chars()
        .filter(|c| !c.is_control())
        .take(LONGEST_DEVICE)
        .collect();
    (!text.is_empty()).then_some(text)
}

/// `X-Forwarded-For` is believed from the right for as long as who wrote it is trusted: what stands left of that anybody
/// may have made up.
fn behind(sender: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|range| range.contains(address));
    let mut address = sender;
    let lines: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
    let told = lines
        .iter()
        .rev()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.rsplit(','));
    for one in told {
        if !is_trusted(address) {
            break;
        }
        let Some(next) = parse(one.trim()) else { break };
        address = next;
    }
    address
}

/// An address with or without a port.
fn parse(text: &str) -> Option<IpAddr> {
    text.parse()
        .ok()
        .or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))
        .map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn network(text: &str) -> Network {
        text.parse().expect("a network")
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn ranges_hold_their_addresses() {
        for (range, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("0.0.0.0/0", "203.0.113.9", "::2"),
            ("fd00::/8", "fd12::1", "fe80::1"),
            ("::/0", "2001:db8::1", "10.0.0.1"),
            ("127.0.0.0/8", "::ffff:127.0.0.1", "::1"),
        ] {
            assert!(network(range).contains(ip(inside)), "{range} {inside}");
            assert!(!network(range).contains(ip(outside)), "{range} {outside}");
        }
        for wrong in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/-1",
            "example.org",
            "10.0.0.0/",
        ] {
            assert_eq!(wrong.parse::<Network>(), Err(NotANetwork), "{wrong}");
        }
    }

    #[test]
    fn only_what_trusted_proxies_wrote_is_believed() {
        let trusted = [network("127.0.0.1"), network("10.0.0.0/8")];
        let told = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("x-forwarded-for", HeaderValue::from_static(line));
            }
            headers
        };
        for (sender, lines, expected) in [
            ("127.0.0.1", &["198.51.100.7"][..], "198.51.100.7"),
            (
                "127.0.0.1",
                &["6.6.6.6, 198.51.100.7, 10.1.1.1"],
                "198.51.100.7",
            ),
            (
                "127.0.0.1",
                &["6.6.6.6", "198.51.100.7:4711"],
                "198.51.100.7",
            ),
            ("127.0.0.1", &["6.6.6.6, unknown"], "127.0.0.1"),
            ("198.51.100.7", &["6.6.6.6"], "198.51.100.7"),
            ("127.0.0.1", &["10.0.0.1, 10.0.0.2"], "10.0.0.1"),
            ("127.0.0.1", &[], "127.0.0.1"),
        ] {
            let found = behind(ip(sender), &told(lines), &trusted);
            assert_eq!(found, ip(expected), "{sender} {lines:?}");
        }
    }
}
