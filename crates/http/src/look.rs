//! Looking at a server's TLS without trusting it: the chain it shows, and what the usual verification says of it.
//! The handshake is finished even where verification fails, so that everything can be told; nothing is sent over it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};
use rustls_platform_verifier::Verifier;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::certificate::{Certificate, read};
use crate::{Trust, trust};

/// What a server showed.
#[derive(Clone, Debug, Default)]
pub struct TlsLook {
    /// The certificates, the server's own first.
    pub chain: Vec<Certificate>,
    /// Why the chain is not trusted; `None` when it is.
    pub distrust: Option<Distrust>,
    /// The version agreed on.
    pub version: Option<String>,
    /// The protocol agreed on.
    pub alpn: Option<String>,
}

/// Why a chain is not trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distrust {
    /// Which kind of reason.
    pub kind: DistrustKind,
    /// What the verification said.
    pub detail: String,
}

/// A kind of reason not to trust a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DistrustKind {
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// It is for other names.
    WrongName,
    /// Nobody trusted has signed it: self-signed, a private authority, an intermediate missing.
    UnknownIssuer,
    /// It is an authority's own, which no server may show: a self-signed one that was made in haste.
    Authority,
    /// It was revoked.
    Revoked,
    /// Something else.
    Other,
}

/// Shakes hands over a connection and tells what was shown.
///
/// # Errors
/// What the handshake failed of, when not even a certificate was shown.
pub async fn tls(
    stream: TcpStream,
    host: &str,
    trust: Option<&Trust>,
    timeout: Duration,
) -> Result<TlsLook, String> {
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
        .map_err(|error| error.to_string())?;
    let seen = Arc::new(Mutex::new(TlsLook::default()));
    let config = config(trust, Arc::clone(&seen))?;
    let shaken = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let outcome = tokio::time::timeout(timeout, shaken).await;
    let mut look = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match outcome {
        Ok(Ok(stream)) => {
            let (_, connection) = stream.get_ref();
            look.version = connection
                .protocol_version()
                .map(|version| format!("{version:?}"));
            look.alpn = connection
                .alpn_protocol()
                .map(|name| String::from_utf8_lossy(name).into_owned());
            Ok(look)
        }
        Ok(Err(error)) if look.chain.is_empty() => Err(error.to_string()),
        Err(_) if look.chain.is_empty() => {
            Err(format!("no handshake within {} s", timeout.as_secs()))
        }
        _ => Ok(look),
    }
}

fn config(
    trust: Option<&Trust>,
    seen: Arc<Mutex<TlsLook>>,
) -> Result<rustls::ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let extra = trust.map(trust::authorities).unwrap_or_default();
    let inner = Verifier::new_with_extra_roots(extra, Arc::clone(&provider))
        .map_err(|error| error.to_string())?;
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Witness { inner, seen }))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Notes what the usual verifier says, and lets the handshake go on.
#[derive(Debug)]
struct Witness {
    inner: Verifier,
    seen: Arc<Mutex<TlsLook>>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let judged = self.inner.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.chain = std::iter::once(end_entity)
            .chain(intermediates)
            .filter_map(|der| read(der))
            .collect();
        seen.distrust = judged.err().map(|error| Distrust {
            kind: kind(&error),
            detail: error.to_string(),
        });
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

fn kind(error: &rustls::Error) -> DistrustKind {
    let rustls::Error::InvalidCertificate(why) = error else {
        return DistrustKind::Other;
    };
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            DistrustKind::Expired
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            DistrustKind::NotYetValid
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            DistrustKind::WrongName
        }
        CertificateError::UnknownIssuer => DistrustKind::UnknownIssuer,
        CertificateError::Revoked => DistrustKind::Revoked,
        // The library has no variant for it.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            DistrustKind::Authority
        }
        _ => DistrustKind::Other,
    }
}
