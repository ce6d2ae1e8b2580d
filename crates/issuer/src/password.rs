//! Passwords: Argon2id on a bounded number of threads, made to be slow without taking the machine.

use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, Version};
use subtle::ConstantTimeEq;
use tenure_core::Secret;
use tenure_jose::{b64url, from_b64url, random};
use tokio::sync::Semaphore;

use crate::error::IssuerError;

/// OWASP's first recommendation for Argon2id with little memory: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Hashes computed at one time; each takes its memory and one core.
const AT_ONCE: usize = 2;
/// Logins that may wait for their turn; more are turned away.
const QUEUE: usize = 64;
/// Letters and digits that are not mistaken for one another.
const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz234567899";

/// Hashes and checks passwords.
pub(crate) struct Passwords {
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

/// Too many logins wait already.
pub(crate) struct Busy;

impl Default for Passwords {
    fn default() -> Self {
        Self {
            running: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Arc::new(Semaphore::new(QUEUE)),
        }
    }
}

impl Passwords {
    /// What is stored of a password: `argon2id$m=…,t=…,p=…$salt$hash`.
    pub(crate) async fn hash(&self, password: &Secret) -> Result<String, IssuerError> {
        let password = password.clone();
        let salt = random::<16>();
        let done = self
            .run(move || compute(&password, &salt, MEMORY_KIB, PASSES, LANES))
            .await;
        let hash =
            done.map_err(|Busy| IssuerError::Password("too many logins wait; try again".into()))??;
        Ok(format!(
            "argon2id$m={MEMORY_KIB},t={PASSES},p={LANES}${}${}",
            b64url(salt),
            b64url(hash)
        ))
    }

    /// Whether `password` is the one stored. With nothing stored the same work is done, so that the time taken
    /// does not tell whether a user exists.
    pub(crate) async fn verify(
        &self,
        password: &Secret,
        stored: Option<&str>,
    ) -> Result<bool, Busy> {
        let password = password.clone();
        let stored = stored.map(str::to_owned);
        self.run(move || match stored.as_deref().and_then(parse) {
            Some(parsed) => matches(&password, &parsed),
            None => compute(&password, &[0; 16], MEMORY_KIB, PASSES, LANES).is_err(),
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let _place = Arc::clone(&self.waiting)
            .try_acquire_owned()
            .map_err(|_| Busy)?;
        let turn = Arc::clone(&self.running)
            .acquire_owned()
            .await
            .map_err(|_| Busy)?;
        // The permit goes along, so that a caller who leaves does not free it before the work is done.
        tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        })
        .await
        .map_err(|_| Busy)
    }
}

struct Stored {
    memory: u32,
    passes: u32,
    lanes: u32,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

fn parse(stored: &str) -> Option<Stored> {
    let mut parts = stored.strip_prefix("argon2id$")?.split('$');
    let mut costs = parts
        .next()?
        .split(',')
        .map(|cost| cost.split_once('=')?.1.parse().ok());
    Some(Stored {
        memory: costs.next()??,
        passes: costs.next()??,
        lanes: costs.next()??,
        salt: from_b64url(parts.next()?)?,
        hash: from_b64url(parts.next()?)?,
    })
}

fn matches(password: &Secret, stored: &Stored) -> bool {
    compute(
        password,
        &stored.salt,
        stored.memory,
        stored.passes,
        stored.lanes,
    )
    .is_ok_and(|hash| hash.as_slice().ct_eq(&stored.hash).into())
}

fn compute(
    password: &Secret,
    salt: &[u8],
    memory: u32,
    passes: u32,
    lanes: u32,
) -> Result<[u8; 32], IssuerError> {
    let mut hash = [0; 32];
    Params::new(memory, passes, lanes, Some(hash.len()))
        .and_then(|params| {
            Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(
                password.expose().as_bytes(),
                salt,
                &mut hash,
            )
        })
        .map_err(|error| IssuerError::Password(error.to_string()))?;
    Ok(hash)
}

/// A password of 20 characters (about 98 bits) that can be typed.
pub fn generate() -> Secret {
    let bytes = random::<20>();
    let text: String = bytes
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte % 32)]))
        .collect();
    Secret::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_right_password_and_no_other() {
        let passwords = Passwords::default();
        let stored = passwords
            .hash(&Secret::new("correct horse"))
            .await
            .expect("hashes");
        assert!(stored.starts_with("argon2id$m=19456,t=2,p=1$"));
        assert!(matches!(
            passwords
                .verify(&Secret::new("correct horse"), Some(&stored))
                .await,
            Ok(true)
        ));
        assert!(matches!(
            passwords
                .verify(&Secret::new("correct hors"), Some(&stored))
                .await,
            Ok(false)
        ));
        assert!(matches!(
            passwords.verify(&Secret::new("x"), Some("nonsense")).await,
            Ok(false)
        ));
        assert!(matches!(
            passwords.verify(&Secret::new("x"), None).await,
            Ok(false)
        ));
    }

    #[test]
    fn generated_passwords_differ() {
        assert_ne!(generate(), generate());
        assert_eq!(generate().len(), 20);
    }
}
