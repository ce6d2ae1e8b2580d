//! Whose clock is wrong: servers by their `Date`, and with leave a third clock by SNTP (RFC 4330).

use std::time::{Duration, Instant};

use tenure_diagnose::doctor::{Check, CheckId, clock};
use tokio::net::UdpSocket;
use url::Url;

use super::Exam;
use crate::clock as here;

/// How long the third clock is waited for.
const WAIT: Duration = Duration::from_secs(5);
const NTP_PORT: u16 = 123;
/// Seconds between 1900 and 1970.
const NTP_EPOCH: i64 = 2_208_988_800;

/// Asks the third clock, if one is named. Its offset to ours, in seconds.
pub(super) async fn third(exam: &mut Exam<'_>) -> Option<i64> {
    let Some(host) = exam.options.sntp.clone() else {
        exam.skip(&[CheckId::ThirdClock], "not asked for (--sntp)");
        return None;
    };
    let began = Instant::now();
    match tokio::time::timeout(WAIT, sntp(&host)).await {
        Ok(Ok(offset_ms)) => {
            let offset_s = offset_ms / 1_000;
            exam.done(began, clock::ours(&host, offset_s));
            Some(offset_s)
        }
        Ok(Err(why)) => {
            let check = Check::warn(CheckId::ThirdClock, format!("could not be asked: {why}"));
            exam.done(began, check.at(host));
            None
        }
        Err(_) => {
            let says = format!("no answer within {} s", WAIT.as_secs());
            exam.done(began, Check::warn(CheckId::ThirdClock, says).at(host));
            None
        }
    }
}

/// The clocks of the servers that have answered, each once.
pub(super) fn servers(exam: &mut Exam<'_>, urls: [Option<&Url>; 2], third: Option<i64>) {
    let mut seen = Vec::new();
    for url in urls.into_iter().flatten() {
        let origin = url.origin().ascii_serialization();
        if seen.contains(&origin) {
            continue;
        }
        let host = url.host_str().unwrap_or_default().to_owned();
        let check = match exam.net.clocks.of(url) {
            Some(clock) => {
                let server = clock.proven_offset_ms(here::now()) / 1_000;
                clock::judge(&host, clock::Offsets { server, third })
            }
            None => Check::skipped(CheckId::Clock, "no answer told the time").at(host),
        };
        exam.done(Instant::now(), check);
        seen.push(origin);
    }
}

/// The clock of `host` minus ours, in milliseconds.
async fn sntp(host: &str) -> Result<i64, String> {
    let fault = |error: std::io::Error| error.to_string();
    let address = if host.parse::<std::net::SocketAddr>().is_ok() || has_port(host) {
        host.to_owned()
    } else {
        format!("{host}:{NTP_PORT}")
    };
    let target = tokio::net::lookup_host(&address)
        .await
        .map_err(fault)?
        .next()
        .ok_or("the name has no address")?;
    let here = if target.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let socket = UdpSocket::bind(here).await.map_err(fault)?;
    socket.connect(target).await.map_err(fault)?;
    // Version 4, mode client; a random transmit time that the answer must repeat, so that nobody else can answer.
    let mut packet = [0_u8; 48];
    packet[0] = 0x23;
    let mark = tenure_jose::random::<8>();
    packet[40..48].copy_from_slice(&mark);
    let sent = here::wall().0;
    socket.send(&packet).await.map_err(fault)?;
    let mut answer = [0_u8; 128];
    loop {
        let length = socket.recv(&mut answer).await.map_err(fault)?;
        let received = here::wall().0;
        if length >= 48 && answer[24..32] == mark && answer[0] & 7 == 4 {
            return offset(&answer[..48], sent, received);
        }
    }
}

fn has_port(host: &str) -> bool {
    host.rsplit_once(':')
        .is_some_and(|(name, port)| !name.contains(':') && port.parse::<u16>().is_ok())
}

/// RFC 4330 §5: ((T2 − T1) + (T3 − T4)) / 2.
fn offset(answer: &[u8], sent: i64, received: i64) -> Result<i64, String> {
    if answer[1] == 0 || answer[0] >> 6 == 3 {
        return Err("it says itself that it does not know the time".to_owned());
    }
    let (arrived, left) = (stamp(&answer[32..40]), stamp(&answer[40..48]));
    Ok(i64::midpoint(arrived - sent, left - received))
}

/// An NTP time stamp in milliseconds since 1970.
fn stamp(bytes: &[u8]) -> i64 {
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0_i64, |sum, byte| (sum << 8) | i64::from(*byte))
    };
    let (seconds, fraction) = (number(&bytes[..4]), number(&bytes[4..8]));
    // The count begins anew in 2036 (RFC 4330 §3).
    let era = if seconds & 0x8000_0000 == 0 {
        1_i64 << 32
    } else {
        0
    };
    (seconds + era - NTP_EPOCH) * 1_000 + ((fraction * 1_000) >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers one packet as a clock that is `ahead_ms` ahead.
    async fn clock(ahead_ms: i64) -> String {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let address = socket.local_addr().expect("an address").to_string();
        tokio::spawn(async move {
            let mut packet = [0; 48];
            let (_, from) = socket.recv_from(&mut packet).await.expect("asked");
            let mut answer = [0; 48];
            (answer[0], answer[1]) = (0x24, 2);
            answer[24..32].copy_from_slice(&packet[40..48]);
            let now = here::wall().0 + ahead_ms;
            let seconds = u32::try_from(now / 1_000 + NTP_EPOCH).expect("before 2036");
            for at in [32, 40] {
                answer[at..at + 4].copy_from_slice(&seconds.to_be_bytes());
            }
            socket.send_to(&answer, from).await.expect("answered");
        });
        address
    }

    #[tokio::test]
    async fn a_third_clock_tells_sign_and_size() {
        for ahead in [3_600_000, -3_600_000] {
            let offset = sntp(&clock(ahead).await).await.expect("an answer");
            assert!((offset - ahead).abs() < 5_000, "{offset}");
        }
    }

    #[test]
    fn stamps_are_read_on_both_sides_of_2036() {
        assert_eq!(stamp(&[0x83, 0xaa, 0x7e, 0x80, 0x80, 0, 0, 0]), 500);
        assert_eq!(stamp(&[0, 0, 0, 0, 0, 0, 0, 0]), 2_085_978_496_000);
    }

    #[test]
    fn ports_are_told_from_addresses() {
        assert!(has_port("time.example:123"));
        assert!(!has_port("time.example"));
        assert!(!has_port("fe80::1"));
    }
}
