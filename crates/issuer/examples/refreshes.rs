//! Durable refreshes per second over real sockets, beside what the database itself can commit.
//!
//! ```text
//! cargo run --release -p tenure-issuer --example refreshes -- sqlite 64 5
//! cargo run --release -p tenure-issuer --example refreshes -- postgres 64 5
//! cargo run --release -p tenure-issuer --example refreshes -- sqlite 64 5 --flush-ms 2
//! cargo run --release -p tenure-issuer --example refreshes -- sqlite 16 5 --families 1000000
//! cargo run --release -p tenure-issuer --example refreshes -- oidc-provider 16 5
//! ```
//! The server runs in this process, the clients in a second one, so that CPU time is the server's alone. PostgreSQL
//! is started for the run, with fsync; its contestant is `pgbench` with one update of one row of a million a
//! transaction at the same number of clients. SQLite's is one update of one row a commit.
//!
//! `--flush-ms` makes every flush of this process that much slower (a shim before libc's, built with `cc`). `--families`
//! puts so many other sessions into the database, and spreads the refreshes over 2,000 of them. `oidc-provider` measures
//! that npm package in the same way, with everything in memory; `cargo xtask strangers` installs it.
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
        ["load", addr, seconds, clients] => load(
            addr.parse().expect("an address"),
            number(seconds),
            number(clients),
        ),
        ["oidc-provider", clients, seconds] => oidc_provider(number(clients), number(seconds)),
        [store, clients, seconds, more @ ..] => {
            let option = |name: &str| {
                let at = more.iter().position(|word| *word == name)?;
                more.get(at + 1).map(|text| number(text))
            };
            if let Some(ms) = option("--flush-ms") {
                slow_flush(ms);
            }
            let families = option("--families").unwrap_or(0);
            measure(store, number(clients), number(seconds), families);
        }
        _ => eprintln!(
            "usage: refreshes sqlite|postgres|oidc-provider CLIENTS SECONDS [--flush-ms MS] [--families N]"
        ),
    }
}

/// Starts this program again with flushes that take longer, unless this is the second start.
fn slow_flush(ms: u64) {
    const SHIM: &str = r#"
        #define _GNU_SOURCE
        #include <dlfcn.h>
        #include <stdlib.h>
        #include <unistd.h>
        static int slowly(const char *name, int fd) {
            int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
            usleep(1000 * atoi(getenv("FLUSH_MS")));
            return real(fd);
        }
        int fsync(int fd) { return slowly("fsync", fd); }
        int fdatasync(int fd) { return slowly("fdatasync", fd); }
    "#;
    if std::env::var_os("FLUSH_MS").is_some() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (source, shim) = (dir.path().join("shim.c"), dir.path().join("shim.so"));
    std::fs::write(&source, SHIM).unwrap();
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&shim)
        .arg(&source)
        .arg("-ldl")
        .status()
        .unwrap();
    assert!(built.success(), "the shim was not built");
    let again = Command::new(std::env::current_exe().unwrap())
        .args(std::env::args().skip(1))
        .env("LD_PRELOAD", &shim)
        .env("FLUSH_MS", ms.to_string())
        .status()
        .unwrap();
    std::process::exit(again.code().unwrap_or(1));
}

/// How many sessions each client goes through, where there are many in the database.
const SPREAD: u64 = 2_000;

fn measure(store: &str, clients: u64, seconds: u64, families: u64) {
    let dir = tempfile::tempdir().unwrap();
    let postgres = (store == "postgres").then(Postgres::durable);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let addr = listener.local_addr().unwrap();
    let url = Url::parse(&format!("http://{addr}")).unwrap();
    let file = dir.path().join("issuer.db");
    let mut options = Options::new(url, file.clone(), Arc::new(Seal::new(&[7; 32])), "api");
    let database = postgres.as_ref().map(Postgres::database);
    if let Some(database) = &database {
        options.database = Database::Postgres(Secret::new(database.clone()));
    }
    let sessions = if families == 0 {
        clients
    } else {
        SPREAD.next_multiple_of(clients)
    };
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
        if families > 0 {
            match (&postgres, &database) {
                (Some(postgres), Some(database)) => fill_postgres(postgres, database, families),
                _ => fill_sqlite(&file, families),
            }
        }
        let mut tokens = Vec::new();
        for _ in 0..sessions {
            let issued = issuer.issue("ada", "app", "").await.unwrap();
            tokens.push(issued.refresh.unwrap().expose().to_owned());
        }
        let service = issuer
            .router()
            .into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        tokens
    });
    let name = format!("{store} clients={clients} families={}", families + sessions);
    run(&name, addr, &tokens, clients, seconds, std::process::id());
    match postgres {
        Some(postgres) => pgbench(&postgres, clients, seconds),
        None => commits(&dir.path().join("limit.db"), seconds),
    }
}

/// Sessions of others, spread over the whole table as real ones are.
const FILL: &str = "INSERT INTO families (id, user_id, client_id, scope, generation, born_ms, used_ms, window_from_ms, confirmed, \
     address, device, last_address)";

fn fill_sqlite(file: &std::path::Path, families: u64) {
    let conn = rusqlite::Connection::open(file).unwrap();
    conn.busy_timeout(Duration::from_mins(1)).unwrap();
    let before = pages(&conn);
    conn.execute_batch(&format!(
        "{FILL} WITH RECURSIVE c(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM c WHERE i < {families})
         SELECT randomblob(16), 'user' || (i / 3), 'app', 'orders offline_access', 7, NOW, NOW, NOW, 0,
                '192.0.2.1', 'till/7.1 (linux)', '192.0.2.1' FROM c;
         PRAGMA wal_checkpoint(TRUNCATE);"
    ).replace("NOW", &now_ms().to_string()))
    .unwrap();
    println!(
        "sqlite: {} bytes for each family, its index included",
        (pages(&conn) - before) / i64::try_from(families).unwrap()
    );
}

/// Bytes of the file.
fn pages(conn: &rusqlite::Connection) -> i64 {
    let of = |pragma: &str| {
        conn.query_row(pragma, [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    of("PRAGMA page_count") * of("PRAGMA page_size")
}

fn fill_postgres(postgres: &Postgres, database: &str, families: u64) {
    let (_, name) = database.rsplit_once('/').unwrap();
    let fill = format!(
        "{FILL} SELECT uuid_send(gen_random_uuid()), 'user' || (i / 3), 'app', 'orders offline_access', 7, NOW, NOW, NOW, 0,
                '192.0.2.1', 'till/7.1 (linux)', '192.0.2.1' FROM generate_series(1, {families}) i;"
    );
    postgres
        .sql(name, &fill.replace("NOW", &now_ms().to_string()))
        .unwrap();
    postgres.sql(name, "VACUUM ANALYZE families").unwrap();
    let bytes = postgres
        .sql(name, "SELECT pg_total_relation_size('families')")
        .unwrap();
    let bytes: u64 = bytes.trim().parse().unwrap();
    println!(
        "postgres: {} bytes for each family, its indexes included",
        bytes / families
    );
}

fn now_ms() -> u128 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_millis()
}

/// npm `oidc-provider`, with everything in memory.
fn oidc_provider(clients: u64, seconds: u64) {
    let script = "target/strangers/node/bench.mjs";
    assert!(
        std::path::Path::new(script).exists(),
        "{script} is missing: run `cargo xtask strangers` first, and this in the project's directory"
    );
    let mut node = Command::new("node")
        .args(["--no-warnings", script, &clients.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut told = std::io::BufReader::new(node.stdout.take().unwrap());
    told.read_line(&mut line).unwrap();
    let told: serde_json::Value = serde_json::from_str(&line).unwrap();
    let port = u16::try_from(told["port"].as_u64().unwrap()).unwrap();
    let tokens: Vec<String> = serde_json::from_value(told["tokens"].clone()).unwrap();
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    let name = format!("oidc-provider clients={clients}");
    run(&name, addr, &tokens, clients, seconds, node.id());
    drop(node.stdin.take());
    node.wait().unwrap();
}

/// Lets the clients loose on a server that is process `pid`.
fn run(name: &str, addr: SocketAddr, tokens: &[String], clients: u64, seconds: u64, pid: u32) {
    let before = cpu(pid);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "load",
            &addr.to_string(),
            &seconds.to_string(),
            &clients.to_string(),
        ])
        .env_remove("LD_PRELOAD")
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
    let spent = cpu(pid).saturating_sub(before);
    let told = String::from_utf8(told.stdout).unwrap();
    let done: f64 = told.split(' ').next().unwrap().parse().unwrap();
    println!(
        "{name}: {:.0} refreshes/s, {} | {:.0} us of server CPU each",
        done / seconds as f64,
        told.split_once(' ').unwrap().1.trim(),
        spent.as_secs_f64() * 1e6 / done
    );
}

/// CPU time of a process so far (proc(5), in hundredths of a second).
fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
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

/// The clients: one connection each, and as many sessions as there are for each.
fn load(addr: SocketAddr, seconds: u64, clients: u64) {
    let tokens: Vec<String> = std::io::stdin()
        .lock()
        .lines()
        .map(Result::unwrap)
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let each = tokens.len() / usize::try_from(clients).unwrap();
    let mut all: Vec<Duration> = runtime.block_on(async {
        let end = Instant::now() + Duration::from_secs(seconds);
        let clients: Vec<_> = tokens
            .chunks(each)
            .map(|tokens| tokio::spawn(client(addr, tokens.to_vec(), end)))
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

async fn client(addr: SocketAddr, mut tokens: Vec<String>, end: Instant) -> Vec<Duration> {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut took = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    for turn in 0.. {
        if Instant::now() >= end {
            break;
        }
        let count = tokens.len();
        let token = &mut tokens[turn % count];
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
        rest.split_once('"').unwrap().0.clone_into(token);
    }
    took
}
