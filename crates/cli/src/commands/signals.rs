//! What ends a command that stays: SIGINT, SIGTERM, and the end of the terminal.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::Outcome;

/// The signals that end the program in order. From [`Signals::listen`] on they no longer end it at once.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// The end of the terminal, unless whoever started this had it ignored, as `nohup` does.
    hangup: Option<Signal>,
}

impl Signals {
    /// Catches them.
    pub fn listen() -> Outcome<Self> {
        let hangup = if ignores_hangup() {
            None
        } else {
            Some(signal(SignalKind::hangup())?)
        };
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup,
        })
    }

    /// Until one of them comes.
    pub async fn end(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            Some(()) = recv(&mut self.hangup) => {}
        }
    }

    /// Until SIGINT comes: somebody at the keyboard does not want to wait.
    pub async fn interrupt(&mut self) {
        self.interrupt.recv().await;
    }
}

async fn recv(signal: &mut Option<Signal>) -> Option<()> {
    signal.as_mut()?.recv().await
}

/// `SigIgn` of proc(5), a mask in hexadecimal. Where there is no /proc, nothing is known to be ignored.
fn ignores_hangup() -> bool {
    let mask = 1 << (SignalKind::hangup().as_raw_value() - 1);
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|text| {
            let ignored = text.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
            u64::from_str_radix(ignored.trim(), 16).ok()
        })
        .is_some_and(|ignored| ignored & mask != 0)
}
