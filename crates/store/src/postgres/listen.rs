//! Telling other processes of changes, and hearing of theirs.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_postgres::{AsyncMessage, Client, Config, Error};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::schema::CHANNEL;
use super::{PATIENCE, named};

/// How often the count of changes is looked at, should a notification be missed.
const LOOK: Duration = Duration::from_secs(5);
/// How soon the server is tried again, and how much later at most.
const AGAIN: Duration = Duration::from_millis(200);
const AGAIN_MAX: Duration = Duration::from_secs(5);

/// One connection that tells and hears.
pub(super) struct Listener {
    pub(super) config: Config,
    pub(super) tls: MakeRustlsConnect,
    pub(super) place: String,
    pub(super) tell: watch::Sender<u64>,
    pub(super) told_anew: watch::Sender<u64>,
    pub(super) changed: Arc<Notify>,
}

impl Listener {
    /// Runs until the store is dropped.
    pub(super) async fn run(self, mut ended: watch::Receiver<()>) {
        let mut wait = AGAIN;
        let mut known = None;
        let mut connected = 0_u64;
        loop {
            let started = Instant::now();
            let lost = tokio::select! {
                // The sender sends nothing: it is dropped.
                _ = ended.changed() => return,
                lost = self.hear(&mut known, &mut connected) => lost,
            };
            if let Err(error) = lost {
                tracing::warn!(error = %named(&self.place, &error), "changes of other hosts are not heard for now");
            }
            if started.elapsed() > AGAIN_MAX {
                wait = AGAIN;
            }
            tokio::select! {
                _ = ended.changed() => return,
                () = tokio::time::sleep(wait) => {}
            }
            wait = (wait * 2).min(AGAIN_MAX);
        }
    }

    /// Tells and hears until the connection is lost.
    async fn hear(&self, known: &mut Option<i64>, connected: &mut u64) -> Result<(), Error> {
        let (client, mut connection) = self.config.connect(self.tls.clone()).await?;
        let (heard, mut news) = mpsc::channel(1);
        let carry = tokio::spawn(async move {
            loop {
                match poll_fn(|cx| connection.poll_message(cx)).await {
                    // One that waits to be heard says as much as many.
                    Some(Ok(AsyncMessage::Notification(_))) => drop(heard.try_send(())),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Some(error),
                    None => return None,
                }
            }
        });
        client.batch_execute(&format!("LISTEN {CHANNEL}")).await?;
        // Whatever changed while nobody listened.
        self.bump();
        *connected += 1;
        if *connected > 1 {
            self.told_anew.send_replace(*connected);
        }
        let mut look = tokio::time::interval_at(Instant::now() + LOOK, LOOK);
        loop {
            tokio::select! {
                some = news.recv() => match some {
                    Some(()) => self.bump(),
                    None => break,
                },
                () = self.changed.notified() => {
                    let tell = client.execute("SELECT pg_notify($1, '')", &[&CHANNEL]);
                    if !matches!(timeout(PATIENCE, tell).await, Ok(Ok(_))) {
                        // Another turn tells it on the next connection.
                        self.changed.notify_one();
                        break;
                    }
                }
                _ = look.tick() => match timeout(PATIENCE, last_change(&client)).await {
                    Ok(Ok(last)) => {
                        if known.replace(last) != Some(last) {
                            self.bump();
                        }
                    }
                    _ => break,
                }
            }
        }
        drop(client);
        carry.abort();
        match carry.await {
            Ok(Some(error)) => Err(error),
            _ => Ok(()),
        }
    }

    fn bump(&self) {
        self.tell.send_modify(|count| *count += 1);
    }
}

async fn last_change(client: &Client) -> Result<i64, Error> {
    let row = client
        .query_one("SELECT last_value FROM keeper_changes", &[])
        .await?;
    row.try_get(0)
}
