//! Certificates of one's own to trust beside the system's: for servers of a private CA.

use std::fmt;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::{Client, Connector, SetupError, connector_over, http1_connector_over, pool, tls};

/// Trust in the system's certificate authorities and in those of a PEM text. Cheap to clone; clones share a pool
/// of connections.
#[derive(Clone)]
pub struct Trust(Arc<Inner>);

struct Inner {
    tls: ClientConfig,
    client: Client,
    authorities: Vec<CertificateDer<'static>>,
}

/// Why certificates cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// No certificate in the text.
    #[error("there is no certificate in it")]
    Empty,
    /// Not what PEM looks like.
    #[error("it is no PEM text: {0}")]
    Pem(String),
    /// A block that is no certificate, or one of a kind that cannot be used.
    #[error("certificate {number} in it cannot be used: {why}")]
    Certificate {
        /// Which one, counted from 1.
        number: usize,
        /// What is wrong with it.
        why: String,
    },
    /// No TLS at all.
    #[error(transparent)]
    Setup(#[from] SetupError),
}

impl Trust {
    /// Trusts the certificates of `pem` (`-----BEGIN CERTIFICATE-----` blocks), too. Everything else in it is
    /// passed over.
    ///
    /// # Errors
    /// What is wrong with the text. Nothing of it is repeated.
    pub fn with_pem(pem: &[u8]) -> Result<Self, TrustError> {
        let mut authorities = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| TrustError::Pem(error.to_string()))?;
            // Tried one by one, so that the bad one can be named.
            rustls::RootCertStore::empty()
                .add(certificate.clone())
                .map_err(|error| TrustError::Certificate {
                    number: authorities.len() + 1,
                    why: error.to_string(),
                })?;
            authorities.push(certificate);
        }
        if authorities.is_empty() {
            return Err(TrustError::Empty);
        }
        let tls = tls(authorities.clone())?;
        let client = Client {
            pool: pool(connector_over(tls.clone())),
        };
        Ok(Self(Arc::new(Inner {
            tls,
            client,
            authorities,
        })))
    }

    /// A client with this trust.
    pub fn client(&self) -> &Client {
        &self.0.client
    }

    /// As [`crate::connector`], with this trust.
    pub fn connector(&self) -> Connector {
        connector_over(self.0.tls.clone())
    }

    /// As [`crate::connector_http1`], with this trust.
    pub fn connector_http1(&self) -> Connector {
        http1_connector_over(self.0.tls.clone())
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("authorities", &self.0.authorities.len())
            .finish_non_exhaustive()
    }
}

/// The certificates trusted beside the system's.
pub(crate) fn authorities(trust: &Trust) -> Vec<CertificateDer<'static>> {
    trust.0.authorities.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_named() {
        let wrong = |pem: &str| {
            Trust::with_pem(pem.as_bytes())
                .expect_err("refused")
                .to_string()
        };
        assert_eq!(wrong(""), "there is no certificate in it");
        let key = "-----BEGIN PRIVATE KEY-----\nY2FuYXJ5LTFm\n-----END PRIVATE KEY-----\n";
        assert_eq!(wrong(key), "there is no certificate in it");
        let broken = "-----BEGIN CERTIFICATE-----\nY2FuYXJ5LTFm\n-----END CERTIFICATE-----\n";
        assert!(wrong(broken).starts_with("certificate 1 in it cannot be used: "));
        let cut_off = "-----BEGIN CERTIFICATE-----\nY2FuYXJ5LTFm\n";
        assert!(
            wrong(cut_off).starts_with("it is no PEM text: "),
            "{}",
            wrong(cut_off)
        );
    }
}
