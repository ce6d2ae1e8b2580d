//! Exchanges that got no answer. All of them pass; what differs is whether the request may have arrived.

use tenure_core::{Class, Heal, Who};

use super::finding::{Found, fact};
use super::{Local, Sent, Verdict};

/// What went wrong below HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportKind {
    /// No answer in time.
    Timeout,
    /// The connection was refused.
    Refused,
    /// The connection broke.
    Reset,
    /// The name could not be resolved.
    Dns,
    /// TLS failed.
    Tls,
    /// No route.
    Unreachable,
    /// This host has no network.
    Offline,
    /// Anything else.
    Other,
}

/// An exchange that got no answer.
#[derive(Clone, Debug)]
pub struct TransportFault {
    /// What went wrong.
    pub kind: TransportKind,
    /// Whether any byte of the request may have left.
    pub sent: bool,
    /// What the library said.
    pub detail: String,
}

pub(super) fn classify(fault: &TransportFault, local: &Local) -> Verdict {
    let finding = match fault.kind {
        TransportKind::Timeout => {
            Found::passing(Class::Timeout, "no_answer_in_time", "transport.timeout")
        }
        TransportKind::Refused => Found::passing(
            Class::ConnectionRefused,
            "connection_refused",
            "transport.refused",
        ),
        TransportKind::Reset => Found::passing(
            Class::ConnectionReset,
            "connection_reset",
            "transport.reset",
        ),
        TransportKind::Dns => {
            Found::passing(Class::DnsFailed, "name_not_resolved", "transport.dns")
        }
        TransportKind::Tls => Found::passing(Class::TlsError, "tls_failed", "transport.tls"),
        TransportKind::Unreachable => Found::passing(
            Class::NetworkUnreachable,
            "no_route",
            "transport.unreachable",
        ),
        // Its own code: nobody but the person at the device can plug the cable in.
        TransportKind::Offline => Found::passing(
            Class::NetworkUnreachable,
            "device_offline",
            "transport.offline",
        )
        .heal(Heal::RetryLater, Who::User),
        TransportKind::Other => Found::passing(
            Class::ConnectionReset,
            "transport_failed",
            "transport.other",
        ),
    };
    let facts = vec![
        fact("transport", &fault.detail, "network"),
        fact(
            "request_sent",
            if fault.sent { "maybe" } else { "no" },
            "network",
        ),
    ];
    let mut failure = finding.failure(facts, None, local);
    if fault.kind == TransportKind::Offline {
        failure.code = tenure_core::Code::DeviceOffline;
        failure.code.title().clone_into(&mut failure.title);
        failure.page = format!("/error-codes/{}", failure.code);
        "This device has no network.".clone_into(&mut failure.detail);
    }
    Verdict::Passing {
        failure,
        retry_after_s: None,
        sent: if fault.sent { Sent::Maybe } else { Sent::No },
    }
}
