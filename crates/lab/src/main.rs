//! `tenure-lab serve`: the lab's servers for people who try their own clients on them.
#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use clap::{Parser, Subcommand, ValueEnum};
use tenure_lab::wordpress::{SimpleJwtLogin, Tmeister, Usefulteam, Wcpos};
use tenure_lab::{FaultyIssuer, IssuerConfig, JsonRefresh, Rotation};

/// Servers that behave and misbehave, to test token clients on.
#[derive(Debug, Parser)]
#[command(name = "tenure-lab")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run all servers until Ctrl-C and print where they listen.
    Serve(Serve),
}

#[derive(Debug, clap::Args)]
struct Serve {
    /// What becomes of a used refresh token that comes back.
    #[arg(long, value_enum, default_value = "strict")]
    rotation: RotationName,
    /// Grace of `--rotation grace`, in seconds.
    #[arg(long, default_value_t = 30)]
    grace: u64,
    /// Lifetime of the issuer's access tokens, such as 500ms, 20s or 5m.
    #[arg(long, default_value = "20s", value_parser = duration_ms)]
    access_ttl: u64,
    /// JWT access tokens instead of opaque ones.
    #[arg(long)]
    jwt: bool,
    /// First port; the other servers take the ones after it. 0: any free ports.
    #[arg(long, default_value_t = 0)]
    port: u16,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RotationName {
    None,
    Strict,
    Grace,
    SameSuccessor,
    ParentUntilChildUsed,
}

fn main() {
    let Command::Serve(serve) = Args::parse().command;
    run(&serve);
}

fn run(serve: &Serve) {
    let mut config = IssuerConfig::new()
        .rotation(rotation(serve))
        .access_ttl_ms(serve.access_ttl);
    if serve.jwt {
        config = config.jwt();
    }
    config.bind = bind(serve.port, 0);
    let issuer = FaultyIssuer::start(config);
    let json = JsonRefresh::start_at(bind(serve.port, 1));
    let tmeister = Tmeister::start_at(bind(serve.port, 2));
    let usefulteam = Usefulteam::start_at(bind(serve.port, 3));
    let simple3 = SimpleJwtLogin::start_at(bind(serve.port, 4), 3);
    let simple4 = SimpleJwtLogin::start_at(bind(serve.port, 5), 4);
    let wcpos = Wcpos::start_at(bind(serve.port, 6));
    println!(
        "OAuth 2.0 issuer     {}  (rotation {:?}; API below /api/)",
        issuer.url(),
        rotation(serve)
    );
    println!("JSON refresh         {}", json.url());
    println!("WordPress Tmeister   {}", tmeister.url());
    println!("WordPress usefulteam {}", usefulteam.url());
    println!("Simple JWT Login 3   {}", simple3.url());
    println!("Simple JWT Login 4   {}", simple4.url());
    println!("WCPOS                {}", wcpos.url());
    println!("Log in as admin with the password secret. A token answer of the issuer:");
    println!("{}", issuer.issue());
    println!("Ctrl-C stops.");
    loop {
        // The servers run on threads of their own; the process ends by its signal.
        std::thread::park();
    }
}

fn rotation(serve: &Serve) -> Rotation {
    match serve.rotation {
        RotationName::None => Rotation::None,
        RotationName::Strict => Rotation::Strict,
        RotationName::Grace => Rotation::Grace {
            seconds: serve.grace,
        },
        RotationName::SameSuccessor => Rotation::SameSuccessor,
        RotationName::ParentUntilChildUsed => Rotation::ParentUntilChildUsed,
    }
}

fn bind(first: u16, n: u16) -> SocketAddr {
    let port = if first == 0 {
        0
    } else {
        first.saturating_add(n)
    };
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// `500ms`, `20s`, `5m` in milliseconds.
fn duration_ms(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        _ => {
            return Err(format!(
                "`{text}` needs a unit: ms, s or m, for instance 20s"
            ));
        }
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| format!("`{digits}` is not a whole number"))?;
    number
        .checked_mul(factor)
        .ok_or_else(|| format!("`{text}` is too long"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration_ms("20s"), Ok(20_000));
        assert_eq!(duration_ms("500ms"), Ok(500));
        assert_eq!(duration_ms("5m"), Ok(300_000));
        assert!(duration_ms("20").is_err_and(|text| text.contains("needs a unit")));
        assert!(duration_ms("s").is_err());
    }
}
