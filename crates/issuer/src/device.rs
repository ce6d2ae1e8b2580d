//! Device codes (RFC 8628): one end polls, the other end types a short code into a page.

use tenure_core::Secret;
use tenure_core::family::Family;
use tenure_jose::{b64url, random, sha256};
use tenure_store::StoreError;

use crate::audit::{Pen, Who};
use crate::db::{Row, SqlResult, Tx, values};
use crate::families::{self, Login};
use crate::issuer::{ACR_PASSWORD, Issuer};
use crate::refresh_token::FamilyId;

/// Consonants without look-alikes (RFC 8628 §6.1): no words arise, and 20^8 codes exist.
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// What `slow_down` adds to the interval, in seconds (RFC 8628 §3.5).
const SLOW_DOWN_S: i64 = 5;

/// A device login just begun.
pub(crate) struct Begun {
    pub(crate) device_code: Secret,
    pub(crate) user_code: String,
}

/// What a person is asked about.
pub(crate) struct Waiting {
    pub(crate) client_id: String,
    pub(crate) scope: String,
}

/// How one poll ended.
pub(crate) enum Polled {
    Granted { login: Login, family: Family },
    Pending,
    SlowDown,
    Denied,
    Expired,
    WrongClient,
    Unknown,
}

fn user_code() -> String {
    let letters: String = random::<32>()
        .iter()
        // 240 is a multiple of 20: bytes beyond it would favour some letters.
        .filter(|byte| **byte < 240)
        .map(|byte| char::from(LETTERS[usize::from(byte % 20)]))
        .take(8)
        .collect();
    format!(
        "{}-{}",
        letters.get(..4).unwrap_or_default(),
        letters.get(4..).unwrap_or_default()
    )
}

/// The code as stored, however it was typed: case, spaces and hyphens do not matter.
pub(crate) fn normal_user_code(typed: &str) -> String {
    let letters: String = typed
        .chars()
        .filter(char::is_ascii_alphabetic)
        .map(|c| c.to_ascii_uppercase())
        .take(16)
        .collect();
    match letters.split_at_checked(4) {
        Some((front, back)) if letters.len() == 8 => format!("{front}-{back}"),
        _ => letters,
    }
}

impl Issuer {
    pub(crate) async fn begin_device(
        &self,
        client_id: &str,
        scope: &str,
    ) -> Result<Begun, StoreError> {
        let device_code = Secret::new(b64url(random::<32>()));
        let hash = sha256(device_code.expose().as_bytes());
        let (client_id, scope) = (client_id.to_owned(), scope.to_owned());
        let interval = i64::try_from(self.options.device_interval_s).unwrap_or(i64::MAX);
        let expires = self
            .now()
            .saturating_add_unsigned(self.options.device_ttl_s.saturating_mul(1000));
        let code = user_code();
        let shown = code.clone();
        self.db
            .write(move |tx| {
                tx.execute(
                    "INSERT INTO device_codes (hash, user_code, client_id, scope, state, interval_s, expires_ms) \
                     VALUES (?1, ?2, ?3, ?4, 'pending', ?5, ?6)",
                    values![&hash, &code, &client_id, &scope, interval, expires],
                )
            })
            .await?;
        Ok(Begun {
            device_code,
            user_code: shown,
        })
    }

    /// The login that waits under this user code.
    pub(crate) async fn waiting(&self, user_code: &str) -> Result<Option<Waiting>, StoreError> {
        let (code, now) = (user_code.to_owned(), self.now());
        self.db
            .read(move |tx| {
                tx.row(
                    "SELECT client_id, scope FROM device_codes WHERE user_code = ?1 AND state = 'pending' AND expires_ms >= ?2",
                    values![&code, now],
                )?
                .map(|row| Ok(Waiting { client_id: row.get(0)?, scope: row.get(1)? }))
                .transpose()
            })
            .await
    }

    /// A person's answer; `user` is `None` for a refusal. Returns whether the code was still waiting.
    pub(crate) async fn answer_device(
        &self,
        user_code: &str,
        user: Option<String>,
    ) -> Result<bool, StoreError> {
        let (code, now) = (user_code.to_owned(), self.now());
        self.db
            .write(move |tx| {
                let state = if user.is_some() { "approved" } else { "denied" };
                let changed = tx.execute(
                    "UPDATE device_codes SET state = ?3, user_id = ?4, auth_ms = ?2 \
                     WHERE user_code = ?1 AND state = 'pending' AND expires_ms >= ?2",
                    values![&code, now, state, user.as_ref()],
                )?;
                Ok(changed == 1)
            })
            .await
    }

    pub(crate) async fn poll_device(
        &self,
        device_code: &Secret,
        client_id: &str,
        jkt: Option<String>,
        who: Who,
    ) -> Result<Polled, StoreError> {
        let hash = sha256(device_code.expose().as_bytes());
        let (client_id, pen) = (client_id.to_owned(), self.pen(who));
        self.db
            .write(move |tx| poll_in(tx, &hash, &client_id, jkt.as_deref(), &pen))
            .await
    }
}

struct Device {
    client_id: String,
    scope: String,
    state: String,
    user_id: Option<String>,
    interval_s: i64,
    polled_ms: Option<i64>,
    expires_ms: i64,
}

fn device(row: &Row) -> SqlResult<Device> {
    Ok(Device {
        client_id: row.get(0)?,
        scope: row.get(1)?,
        state: row.get(2)?,
        user_id: row.get(3)?,
        interval_s: row.get(4)?,
        polled_ms: row.get(5)?,
        expires_ms: row.get(6)?,
    })
}

fn poll_in(
    tx: &mut dyn Tx,
    hash: &[u8; 32],
    client_id: &str,
    jkt: Option<&str>,
    pen: &Pen,
) -> SqlResult<Polled> {
    let now = pen.now_ms;
    let found = tx.row(
        "SELECT client_id, scope, state, user_id, interval_s, polled_ms, expires_ms FROM device_codes \
         WHERE hash = ?1 FOR UPDATE",
        values![hash],
    )?;
    let Some(row) = found else {
        return Ok(Polled::Unknown);
    };
    let device = device(&row)?;
    if device.client_id != client_id {
        return Ok(Polled::WrongClient);
    }
    if now > device.expires_ms {
        return Ok(Polled::Expired);
    }
    match (device.state.as_str(), device.user_id) {
        ("approved", Some(user_id)) => {
            let login = Login {
                family: FamilyId::random(),
                user_id,
                client_id: device.client_id,
                scope: device.scope,
                jkt: jkt.map(str::to_owned),
                acr: Some(ACR_PASSWORD.to_owned()),
            };
            let family = families::begin(tx, &login, pen, "device_code")?;
            tx.execute(
                "UPDATE device_codes SET state = 'spent' WHERE hash = ?1",
                values![hash],
            )?;
            Ok(Polled::Granted { login, family })
        }
        ("denied", _) => Ok(Polled::Denied),
        ("pending", _) => {
            let too_fast = device
                .polled_ms
                .is_some_and(|last| now - last < device.interval_s * 1000);
            let interval = device.interval_s + if too_fast { SLOW_DOWN_S } else { 0 };
            tx.execute(
                "UPDATE device_codes SET polled_ms = ?2, interval_s = ?3 WHERE hash = ?1",
                values![hash, now, interval],
            )?;
            Ok(if too_fast {
                Polled::SlowDown
            } else {
                Polled::Pending
            })
        }
        _ => Ok(Polled::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_codes_are_typed_in_any_way() {
        let code = user_code();
        assert_eq!(code.len(), 9, "{code}");
        assert_eq!(
            normal_user_code(&code.to_lowercase().replace('-', " ")),
            code
        );
        assert_eq!(normal_user_code(" bcdf ghjk "), "BCDF-GHJK");
        assert_eq!(normal_user_code("x"), "X");
    }
}
