//! Hearing of other processes' changes.

use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::ConnectionManager;
use redis::{Client, RedisError};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::steps::{channel, meta};
use super::{PATIENCE, named};

/// How often the count of changes is looked at, should a message be missed.
const LOOK: Duration = Duration::from_secs(5);
/// How soon the server is tried again, and how much later at most.
const AGAIN: Duration = Duration::from_millis(200);
const AGAIN_MAX: Duration = Duration::from_secs(5);

/// One connection that hears.
pub(super) struct Listener {
    pub(super) client: Client,
    pub(super) connection: ConnectionManager,
    pub(super) place: String,
    pub(super) tell: watch::Sender<u64>,
    pub(super) told_anew: watch::Sender<u64>,
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

    /// Hears until the connection is lost.
    async fn hear(&self, known: &mut Option<i64>, connected: &mut u64) -> Result<(), RedisError> {
        let mut heard = self.client.get_async_pubsub().await?;
        heard.subscribe(channel()).await?;
        // Whatever changed while nobody listened.
        self.bump();
        *connected += 1;
        if *connected > 1 {
            self.told_anew.send_replace(*connected);
        }
        let mut news = heard.into_on_message();
        let mut look = tokio::time::interval_at(Instant::now() + LOOK, LOOK);
        loop {
            tokio::select! {
                some = news.next() => match some {
                    Some(_) => self.bump(),
                    None => return Ok(()),
                },
                _ = look.tick() => {
                    let mut connection = self.connection.clone();
                    let mut count = redis::cmd("HGET");
                    count.arg(meta()).arg("changes");
                    match timeout(PATIENCE, count.query_async::<Option<i64>>(&mut connection)).await {
                        Ok(Ok(last)) => {
                            let last = last.unwrap_or(0);
                            if known.replace(last) != Some(last) {
                                self.bump();
                            }
                        }
                        _ => return Ok(()),
                    }
                }
            }
        }
    }

    fn bump(&self) {
        self.tell.send_modify(|count| *count += 1);
    }
}
