//! Addresses of PostgreSQL databases, the TLS they are reached with, and what their errors mean.

use std::time::Duration;

use rustls_platform_verifier::ConfigVerifierExt;
use tenure_core::Secret;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Config, Error};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::StoreError;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a connection may be silent before the system asks whether the other end is there.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// How long what was sent may stay without acknowledgement before the connection is given up.
const UNHEARD: Duration = Duration::from_secs(15);

/// Reads an address: `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, or libpq's `key=value` form. `sslmode=verify-full`
/// and `verify-ca` are what `require` is here: certificates are always verified, with the name.
///
/// # Errors
/// When it is none; nothing of it is repeated.
pub fn config(address: &Secret, program: &str) -> Result<Config, StoreError> {
    let text = address.expose();
    // A copy of a secret: wiped.
    let text = zeroize::Zeroizing::new(
        text.replace("sslmode=verify-full", "sslmode=require")
            .replace("sslmode=verify-ca", "sslmode=require"),
    );
    let mut config: Config = text.trim().parse().map_err(|_| StoreError::Unavailable {
        path: "postgres".into(),
        detail:
            "the address is no PostgreSQL URL; write postgres://USER:PASSWORD@HOST:PORT/DATABASE"
                .to_owned(),
    })?;
    if config.get_hosts().is_empty() {
        return Err(StoreError::Unavailable {
            path: "postgres".into(),
            detail: "the address names no host; write postgres://USER:PASSWORD@HOST:PORT/DATABASE"
                .to_owned(),
        });
    }
    config
        .connect_timeout(CONNECT)
        .keepalives_idle(KEEPALIVE)
        .tcp_user_timeout(UNHEARD)
        .application_name(program);
    Ok(config)
}

/// Where the database is, without user and password.
pub fn place(config: &Config) -> String {
    let ports = config.get_ports().iter().copied();
    let hosts: Vec<String> = config
        .get_hosts()
        .iter()
        .zip(ports.chain(std::iter::repeat(5432)))
        .map(|(host, port)| match host {
            Host::Tcp(name) => format!("{name}:{port}"),
            Host::Unix(path) => path.display().to_string(),
        })
        .collect();
    format!(
        "postgres://{}/{}",
        hosts.join(","),
        config.get_dbname().unwrap_or_default()
    )
}

/// TLS with the system's authorities. Used where the server offers it (`sslmode=prefer`, the default) or must
/// (`require`).
///
/// # Errors
/// When the system's authorities cannot be read.
pub fn tls(place: &str) -> Result<MakeRustlsConnect, StoreError> {
    let tls = rustls::ClientConfig::with_platform_verifier().map_err(|error| {
        StoreError::Unavailable {
            path: place.into(),
            detail: format!("TLS: {error}"),
        }
    })?;
    Ok(MakeRustlsConnect::new(tls))
}

/// Whether a password would go to another machine in the open: the address does not ask for TLS, and the host is not
/// this one.
pub(super) fn is_open(config: &Config) -> bool {
    let local = |host: &Host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost"
                || name
                    .parse::<std::net::IpAddr>()
                    .is_ok_and(|address| address.is_loopback())
        }
    };
    config.get_ssl_mode() != SslMode::Require && !config.get_hosts().iter().all(local)
}

/// Names what PostgreSQL, or the way to it, reported. Never a statement's values.
pub fn named(place: &str, error: &Error) -> StoreError {
    let path = place.into();
    let detail = match error.as_db_error() {
        Some(told) => format!("{} ({})", told.message(), told.code().code()),
        None => std::error::Error::source(error)
            .map_or_else(|| error.to_string(), |source| format!("{error}: {source}")),
    };
    let Some(code) = error.code() else {
        return match std::error::Error::source(error) {
            _ if error.is_closed() => StoreError::Unreachable { path, detail },
            Some(source) if source.is::<std::io::Error>() => {
                StoreError::Unreachable { path, detail }
            }
            // A missing password, TLS that the server does not offer, a value it does not take.
            _ => StoreError::Unavailable { path, detail },
        };
    };
    match code.code().get(..2) {
        _ if *code == SqlState::DISK_FULL => StoreError::Full { path, detail },
        _ if *code == SqlState::READ_ONLY_SQL_TRANSACTION => StoreError::ReadOnly { path, detail },
        // Connection exceptions, lack of resources, an operator's intervention: starting, stopping, restarting.
        Some("08" | "53" | "57") => StoreError::Unreachable { path, detail },
        // Authorisation, an unknown database, a missing right.
        Some("28" | "3D") => StoreError::Unavailable { path, detail },
        _ if *code == SqlState::INSUFFICIENT_PRIVILEGE => StoreError::Unavailable { path, detail },
        _ => StoreError::Internal { path, detail },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(address: &str) -> Result<Config, StoreError> {
        config(&Secret::new(address.to_owned()), "tenure")
    }

    #[test]
    fn an_address_is_shown_without_who_and_password() {
        let config = read("postgres://till:canary@db1:6432,db2/fleet?sslmode=verify-full")
            .expect("an address");
        assert_eq!(place(&config), "postgres://db1:6432,db2:5432/fleet");
        assert_eq!(config.get_ssl_mode(), SslMode::Require);
    }

    #[test]
    fn what_is_no_address_is_not_repeated() {
        for wrong in ["canary", "postgres://", "postgres:///canary"] {
            let error = read(wrong).expect_err(wrong).to_string();
            assert!(
                !error.contains("canary") && error.contains("postgres://USER"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_password_in_the_open_is_noticed() {
        for (address, open) in [
            ("postgres://u@db.example/x", true),
            ("postgres://u@db.example/x?sslmode=require", false),
            ("postgres://u@127.0.0.1/x", false),
            ("host=/run/postgresql user=u", false),
        ] {
            assert_eq!(is_open(&read(address).expect(address)), open, "{address}");
        }
    }
}
