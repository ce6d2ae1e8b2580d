//! Durable refreshes per second over real sockets, beside what the database itself can commit.
//!
//! ```text
//! cargo run --release -p tenure-issuer --example refreshes -- sqlite 64 5
//! cargo run --release -p tenure-issuer --example refreshes -- postgres 64 5
//! ```
//! The server runs in this process, the clients in a second one, so that CPU time is the server's alone. PostgreSQL
//! is started for the run, with fsync; its contestant is `pgbench` with one update of one row of a million a
//! transaction at the same number of clients. SQLite's is one update of one row a commit.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement that has to stop at the first surprise"
)]

use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tenure_core::Secret;
use tenure_issuer::{ClientRegistration, Database, Issuer, Options};
use tenure_lab::Postgres;
use tenure_store::Seal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u64>().expect("a number");
    match words.as_slice() {
        ["load", addr, seconds] => load(addr.parse().expect("an address"), number(seconds)),
        [store, clients, seconds] => measure(store, number(clients), number(seconds)),
        _ => eprintln!("usage: refreshes sqlite|postgres CLIENTS SECONDS"),
    }
}

fn measure(store: &str, clients: u64, seconds: u64) {
    let dir = tempfile::tempdir().unwrap();
    let postgres = (store == "postgres").then(Postgres::durable);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let addr = listener.local_addr().unwrap();
    let url = Url::parse(&format!("http://{addr}")).unwrap();
    let mut options = Options::new(
        url,
        dir.path().join("issuer.db"),
        Arc::new(Seal::new(&[7; 32])),
        "api",
    );
    if let Some(postgres) = &postgres {
        options.database = Database::Postgres(Secret::new(postgres.database()));
    }
    let tokens = runtime.block_on(async {
        let issuer = Issuer::open(options).await.unwrap();
        issuer
            .ensure_user("ada", Some(Secret::new("a password of some length")))
            .await
            .unwrap();
        issuer
            .ensure_client(ClientRegistration::public("app", "App"))
            .await
            .unwrap();
        let mut tokens = Vec::new();
        for _ in 0..clients {
            let issued = issuer.issue("ada", "app", "").await.unwrap();
            tokens.push(issued.refresh.unwrap().expose().to_owned());
        }
        let service = issuer
            .router()
            .into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        tokens
    });
    let before = cpu();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["load", &addr.to_string(), &seconds.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(tokens.join("\n").as_bytes())
        .unwrap();
    let told = child.wait_with_output().unwrap();
    let spent = cpu().saturating_sub(before);
    let told = String::from_utf8(told.stdout).unwrap();
    let done: f64 = told.split(' ').next().unwrap().parse().unwrap();
    println!(
        "{store} clients={clients}: {:.0} refreshes/s, {} | {:.0} us of server CPU each",
        done / seconds as f64,
        told.split_once(' ').unwrap().1.trim(),
        spent.as_secs_f64() * 1e6 / done
    );
    match postgres {
        Some(postgres) => pgbench(&postgres, clients, seconds),
        None => commits(&dir.path().join("limit.db"), seconds),
    }
}

/// CPU time of this process so far (proc(5), in hundredths of a second).
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// What SQLite commits one row at a time.
fn commits(path: &std::path::Path, seconds: u64) {
    let conn = rusqlite::Connection::open(path).unwrap();
    conn.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER);
         INSERT INTO t WITH RECURSIVE c(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM c WHERE i < 10000) SELECT i, 0 FROM c;",
    )
    .unwrap();
    let (start, mut done) = (Instant::now(), 0_u32);
    while start.elapsed() < Duration::from_secs(seconds) {
        conn.execute("UPDATE t SET n = n + 1 WHERE id = ?1", [1 + done % 10_000])
            .unwrap();
        done += 1;
    }
    println!(
        "sqlite alone: {:.0} commits/s of one row",
        f64::from(done) / seconds as f64
    );
}

fn pgbench(postgres: &Postgres, clients: u64, seconds: u64) {
    let url = postgres.database();
    let name = url.rsplit_once('/').unwrap().1;
    postgres
        .sql(
            name,
            "CREATE TABLE t (id BIGINT PRIMARY KEY, n BIGINT) WITH (fillfactor = 70)",
        )
        .unwrap();
    postgres
        .sql(
            name,
            "INSERT INTO t SELECT i, 0 FROM generate_series(1, 1000000) i",
        )
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("update.sql");
    std::fs::write(
        &script,
        "\\set i random(1, 1000000)\nUPDATE t SET n = n + 1 WHERE id = :i;\n",
    )
    .unwrap();
    let (clients, seconds) = (clients.to_string(), seconds.to_string());
    let ran = Command::new(tenure_lab::postgres::tool("pgbench"))
        .args([
            "-n", "-M", "prepared", "-j", "2", "-c", &clients, "-T", &seconds, "-f",
        ])
        .arg(&script)
        .arg(&url)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    let line = text
        .lines()
        .find(|line| line.starts_with("tps"))
        .unwrap_or("no tps line");
    println!("pgbench, one update, clients={clients}: {line}");
}

/// The clients: one connection and one session each.
fn load(addr: SocketAddr, seconds: u64) {
    let tokens: Vec<String> = std::io::stdin()
        .lock()
        .lines()
        .map(Result::unwrap)
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut all: Vec<Duration> = runtime.block_on(async {
        let end = Instant::now() + Duration::from_secs(seconds);
        let clients: Vec<_> = tokens
            .into_iter()
            .map(|token| tokio::spawn(client(addr, token, end)))
            .collect();
        let mut all = Vec::new();
        for client in clients {
            all.extend(client.await.unwrap());
        }
        all
    });
    all.sort();
    let at = |share: f64| all[((all.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "{} p50 {:.2} ms, p99 {:.2} ms",
        all.len(),
        at(0.5),
        at(0.99)
    );
}

async fn client(addr: SocketAddr, mut token: String, end: Instant) -> Vec<Duration> {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut took = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    while Instant::now() < end {
        let body = format!("grant_type=refresh_token&client_id=app&refresh_token={token}");
        let request = format!(
            "POST /token HTTP/1.1\r\nhost: {addr}\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let start = Instant::now();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut filled = 0;
        let text = loop {
            filled += stream.read(&mut buffer[filled..]).await.unwrap();
            let text = std::str::from_utf8(&buffer[..filled]).unwrap();
            // The answer is one JSON object and ends with it.
            if text.contains("\r\n\r\n") && text.ends_with('}') {
                break text;
            }
        };
        took.push(start.elapsed());
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        let (_, rest) = text.split_once("\"refresh_token\":\"").unwrap();
        token = rest.split_once('"').unwrap().0.to_owned();
    }
    took
}
