//! The steps, as `steps.lua` has them.

use async_trait::async_trait;
use redis::streams::StreamRangeReply;
use redis::{FromRedisValue, ScriptInvocation, Value, from_redis_value_ref};
use tenure_core::{Generation, Wall};
use tokio::sync::watch;

use super::{TAG, Valkey, named};
use crate::clock;
use crate::error::StoreError;
use crate::record::{EventRow, Lease, Once, Pace, Suspect};
use crate::shared::notes::json;
use crate::shared::rows::{Arrival, Claimant, Counts, Held, Keys, Row, Rows, Sealed, Seen, Swap};
use crate::sqlite::EVENTS_KEPT;

/// How many sessions or events are read in one round trip.
const PAGE: usize = 256;

fn key(kind: &str, name: &str) -> String {
    format!("{TAG}:{kind}:{name}")
}

/// The hash of what is the store's own: identity, key, counts.
pub(super) fn meta() -> String {
    format!("{TAG}:meta")
}

/// Where changes are told.
pub(super) fn channel() -> String {
    format!("{TAG}:changes")
}

fn names() -> String {
    format!("{TAG}:sessions")
}

fn retired() -> String {
    format!("{TAG}:retired_keys")
}

fn aside() -> String {
    format!("{TAG}:kept")
}

fn events() -> String {
    format!("{TAG}:events")
}

/// A value that may be missing, as the script reads it.
fn optional(value: Option<&[u8]>) -> Vec<u8> {
    match value {
        Some(value) => [b"1", value].concat(),
        None => b"0".to_vec(),
    }
}

fn optional_text(value: Option<&str>) -> Vec<u8> {
    optional(value.map(str::as_bytes))
}

/// A row as the script answers it.
type Raw = (
    u64,
    u64,
    Option<String>,
    Option<String>,
    u64,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<String>,
    Option<String>,
    String,
    i64,
    Option<String>,
);

impl Valkey {
    /// A step on this session.
    pub(super) fn step<'s>(&'s self, step: &str, session: &str) -> ScriptInvocation<'s> {
        let mut run = self.script.prepare_invoke();
        run.key(key("session", session))
            .key(meta())
            .key(names())
            .key(aside())
            .key(events())
            .key(key("told", session))
            .key(key("endpoint", ""))
            .key(channel())
            .arg(step);
        run
    }

    /// A step on this token endpoint.
    fn step_at<'s>(&'s self, step: &str, endpoint: &str) -> ScriptInvocation<'s> {
        let mut run = self.script.prepare_invoke();
        run.key(key("session", ""))
            .key(meta())
            .key(names())
            .key(aside())
            .key(events())
            .key(key("told", ""))
            .key(key("endpoint", endpoint))
            .key(channel())
            .arg(step);
        run
    }

    fn corrupt(&self, detail: &str) -> StoreError {
        StoreError::Corrupt {
            path: self.place.clone().into(),
            detail: detail.to_owned(),
        }
    }

    fn value<T: FromRedisValue>(&self, value: &Value) -> Result<T, StoreError> {
        from_redis_value_ref(value).map_err(|error| named(&self.place, &error.into()))
    }

    fn row(&self, name: &str, value: &Value) -> Result<Option<Row>, StoreError> {
        let fields = match value {
            Value::Nil => return Ok(None),
            Value::Array(fields) if fields.len() == 14 => fields,
            _ => return Err(self.corrupt("a session is no row")),
        };
        let (head, tail) = fields.split_at(12);
        let raw: Raw = self.value(&Value::Array(head.to_vec()))?;
        let wait_ms: u64 = self.value(&tail[0])?;
        let key_id: Option<String> = self.value(&tail[1])?;
        let (
            generation,
            epoch,
            holder,
            host,
            for_ms,
            pair,
            login,
            intent,
            latch,
            info,
            suspect,
            trouble,
        ) = raw;
        Ok(Some(Row {
            name: name.to_owned(),
            generation: Generation(generation),
            epoch,
            lease: holder.map(|holder| Held {
                holder,
                host: host.unwrap_or_default(),
                for_ms,
            }),
            pair,
            login,
            intent,
            latch,
            info,
            suspect: Suspect::of(suspect),
            trouble: trouble.map(|json| (json, wait_ms)),
            key_id: key_id.unwrap_or_default(),
        }))
    }

    async fn swap(&self, step: &ScriptInvocation<'_>) -> Result<Swap, StoreError> {
        let (code, number): (u8, u64) = self.change(step).await?;
        Ok(match code {
            0 => Swap::Done(number),
            2 => Swap::Moved(Generation(number)),
            3 => Swap::KeyChanged,
            _ => Swap::Fenced,
        })
    }

    /// A step under a lease.
    fn under<'s>(&'s self, step: &str, lease: &Lease) -> ScriptInvocation<'s> {
        let mut run = self.step(step, &lease.name);
        run.arg(lease.epoch).arg(&lease.holder);
        run
    }

    async fn intent(
        &self,
        lease: &Lease,
        generation: Generation,
        intent: Option<&str>,
    ) -> Result<Swap, StoreError> {
        let mut run = self.under("intent", lease);
        run.arg(generation.0).arg(optional_text(intent));
        self.swap(&run).await
    }

    async fn command<T: FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, StoreError> {
        let mut connection = self.connection.clone();
        command
            .query_async(&mut connection)
            .await
            .map_err(|error| named(&self.place, &error))
    }

    async fn names(&self) -> Result<Vec<String>, StoreError> {
        let mut all: Vec<String> = self.command(redis::cmd("SMEMBERS").arg(names())).await?;
        all.sort();
        Ok(all)
    }

    fn event(
        &self,
        id: &str,
        fields: &std::collections::HashMap<String, Value>,
    ) -> Result<EventRow, StoreError> {
        let field = |name: &str| {
            fields
                .get(name)
                .ok_or_else(|| self.corrupt("an event lacks a field"))
        };
        let failure: String = self.value(field("failure")?)?;
        let failure = (!failure.is_empty())
            .then(|| serde_json::from_str(&failure))
            .transpose()
            .map_err(|error| self.corrupt(&format!("the failure of an event: {error}")))?;
        Ok(EventRow {
            id: id
                .split('-')
                .next()
                .and_then(|id| id.parse().ok())
                .ok_or_else(|| self.corrupt("an event has no number"))?,
            at: Wall(self.value(field("at")?)?),
            session: self.value(field("session")?)?,
            kind: self.value(field("kind")?)?,
            generation: Generation(self.value(field("generation")?)?),
            text: self.value(field("text")?)?,
            failure,
            holder: self.value(field("holder")?)?,
        })
    }
}

#[async_trait]
impl Rows for Valkey {
    fn place(&self) -> &str {
        &self.place
    }

    async fn store_id(&self, fresh: &str) -> Result<String, StoreError> {
        self.run(self.step("store_id", "").arg(fresh)).await
    }

    async fn keys(&self) -> Result<Keys, StoreError> {
        // One transaction, so that a rekey comes before it or after it.
        let mut both = redis::pipe();
        both.atomic()
            .cmd("HMGET")
            .arg(meta())
            .arg(&["key_id", "key_check"])
            .cmd("HGETALL")
            .arg(retired());
        let mut connection = self.connection.clone();
        let ((id, check), retired): ((Option<String>, Option<String>), Vec<(String, Vec<u8>)>) =
            both.query_async(&mut connection)
                .await
                .map_err(|error| named(&self.place, &error))?;
        Ok(Keys { id, check, retired })
    }

    async fn set_first_key(&self, id: &str, check: &str) -> Result<String, StoreError> {
        self.run(self.step("set_first_key", "").arg(id).arg(check))
            .await
    }

    async fn get(&self, name: &str) -> Result<Option<Row>, StoreError> {
        let value: Value = self.run(&self.step("get", name)).await?;
        self.row(name, &value)
    }

    async fn all(&self) -> Result<Vec<Row>, StoreError> {
        let mut rows = Vec::new();
        for page in self.names().await?.chunks(PAGE) {
            let steps: Vec<_> = page.iter().map(|name| self.step("get", name)).collect();
            // On one connection: their answers come together.
            let values = futures_util::future::try_join_all(
                steps.iter().map(|step| self.run::<Value>(step)),
            );
            for (name, value) in page.iter().zip(values.await?) {
                rows.extend(self.row(name, &value)?);
            }
        }
        Ok(rows)
    }

    async fn take_lease(
        &self,
        name: &str,
        epoch: u64,
        by: Claimant<'_>,
        ttl_ms: u64,
    ) -> Result<Option<Row>, StoreError> {
        let mut run = self.step("take_lease", name);
        run.arg(name)
            .arg(epoch)
            .arg(by.holder)
            .arg(by.host)
            .arg(ttl_ms);
        let value: Value = self.run(&run).await?;
        self.row(name, &value)
    }

    async fn renew(&self, lease: &Lease, ttl_ms: u64) -> Result<Swap, StoreError> {
        self.swap(self.under("renew", lease).arg(ttl_ms)).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        self.swap(&self.under("release", lease)).await.map(drop)
    }

    async fn write_intent(
        &self,
        lease: &Lease,
        generation: Generation,
        intent: &str,
    ) -> Result<Swap, StoreError> {
        self.intent(lease, generation, Some(intent)).await
    }

    async fn clear_intent(
        &self,
        lease: &Lease,
        generation: Generation,
    ) -> Result<Swap, StoreError> {
        self.intent(lease, generation, None).await
    }

    async fn commit(
        &self,
        lease: &Lease,
        sealed: Sealed<'_>,
        info: &str,
    ) -> Result<Swap, StoreError> {
        let mut run = self.under("commit", lease);
        run.arg(sealed.generation.0 - 1)
            .arg(sealed.pair)
            .arg(info)
            .arg(sealed.key_id);
        self.swap(&run).await
    }

    async fn latch(
        &self,
        lease: &Lease,
        expect: Generation,
        latch: &str,
    ) -> Result<Swap, StoreError> {
        self.swap(self.under("latch", lease).arg(expect.0).arg(latch))
            .await
    }

    async fn adopt(&self, name: &str, epoch: u64, sealed: Sealed<'_>) -> Result<Swap, StoreError> {
        let mut run = self.step("adopt", name);
        run.arg(epoch)
            .arg(sealed.generation.0)
            .arg(sealed.pair)
            .arg(sealed.key_id);
        self.swap(&run).await
    }

    async fn put(
        &self,
        name: &str,
        seen: Option<Seen>,
        arrival: Arrival<'_>,
    ) -> Result<Swap, StoreError> {
        let (epoch, generation) = seen.map_or((0, 0), |seen| (seen.epoch, seen.generation.0));
        let mut run = self.step("put", name);
        run.arg(name)
            .arg(epoch)
            .arg(generation)
            .arg(arrival.generation.0)
            .arg(optional(arrival.pair))
            .arg(optional(arrival.login))
            .arg(optional_text(arrival.latch))
            .arg(arrival.info)
            .arg(arrival.suspect.map_or(0, Suspect::stored))
            .arg(arrival.key_id)
            .arg(optional_text(arrival.aside))
            .arg(clock::wall().0);
        self.swap(&run).await
    }

    async fn logout(&self, name: &str) -> Result<(), StoreError> {
        self.swap(&self.step("logout", name)).await.map(drop)
    }

    async fn save_info(&self, name: &str, info: &str) -> Result<(), StoreError> {
        self.swap(self.step("save_info", name).arg(name).arg(info))
            .await
            .map(drop)
    }

    async fn note(
        &self,
        name: &str,
        generation: Generation,
        trouble: Option<(&str, u64)>,
    ) -> Result<Swap, StoreError> {
        let (json, wait_ms) = trouble.unzip();
        let mut run = self.step("note", name);
        run.arg(name)
            .arg(generation.0)
            .arg(optional_text(json))
            .arg(wait_ms.unwrap_or(0));
        self.swap(&run).await
    }

    async fn pace(&self, endpoint: &str) -> Result<Option<Pace>, StoreError> {
        let found: Option<(u32, u64, Option<String>)> =
            self.run(&self.step_at("pace", endpoint)).await?;
        Ok(found.map(|(failures, wait_ms, failure)| Pace {
            failures,
            wait_ms,
            failure: failure.and_then(|json| serde_json::from_str(&json).ok()),
        }))
    }

    async fn set_pace(&self, endpoint: &str, pace: Option<&Pace>) -> Result<(), StoreError> {
        let Some(pace) = pace else {
            let run = self.step_at("clear_pace", endpoint);
            return self.swap(&run).await.map(drop);
        };
        let failure = pace
            .failure
            .as_ref()
            .map(|failure| json(failure, &self.place))
            .transpose()?;
        let mut run = self.step_at("set_pace", endpoint);
        run.arg(pace.failures)
            .arg(pace.wait_ms)
            .arg(optional_text(failure.as_deref()));
        self.swap(&run).await.map(drop)
    }

    async fn append(
        &self,
        event: &EventRow,
        once: Option<Once>,
    ) -> Result<Option<u64>, StoreError> {
        let failure = event
            .failure
            .as_ref()
            .map(|failure| json(failure, &self.place))
            .transpose()?;
        let mut run = self.step("append", &event.session);
        run.arg(match once {
            None => "",
            Some(Once::AGeneration) => "generation",
            Some(Once::ALogin) => "login",
        })
        .arg(EVENTS_KEPT)
        .arg(event.at.0)
        .arg(&event.session)
        .arg(&event.kind)
        .arg(event.generation.0)
        .arg(&event.text)
        .arg(failure.unwrap_or_default())
        .arg(&event.holder);
        self.change(&run).await
    }

    async fn events(
        &self,
        after: u64,
        session: Option<&str>,
        limit: usize,
    ) -> Result<Vec<EventRow>, StoreError> {
        let mut found = Vec::new();
        let mut after = after;
        while found.len() < limit {
            let mut range = redis::cmd("XRANGE");
            range
                .arg(events())
                .arg(format!("{}-0", after.saturating_add(1)))
                .arg("+")
                .arg("COUNT")
                .arg(PAGE);
            let page: StreamRangeReply = self.command(&range).await?;
            let full = page.ids.len() == PAGE;
            for entry in &page.ids {
                let event = self.event(&entry.id, &entry.map)?;
                after = event.id;
                if session.is_none_or(|session| session == event.session) && found.len() < limit {
                    found.push(event);
                }
            }
            if !full {
                break;
            }
        }
        Ok(found)
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.run(self.step("probe", "").arg(clock::wall().0)).await
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        let mut both = redis::pipe();
        both.cmd("HGET")
            .arg(meta())
            .arg("schema_version")
            .cmd("LLEN")
            .arg(aside())
            .cmd("XLEN")
            .arg(events());
        let mut connection = self.connection.clone();
        let (schema, kept, events) = both
            .query_async(&mut connection)
            .await
            .map_err(|error| named(&self.place, &error))?;
        Ok(Counts {
            schema,
            kept,
            events,
        })
    }

    async fn last_change(&self) -> Result<u64, StoreError> {
        let mut get = redis::cmd("HGET");
        get.arg(meta()).arg("changes");
        Ok(self.command::<Option<u64>>(&get).await?.unwrap_or(0))
    }

    async fn mark_restored(&self, floor: u64) -> Result<u64, StoreError> {
        // The pairs first: if this ends in between, the next look finds the count still too low.
        for name in self.names().await? {
            let _: bool = self
                .run(
                    self.step("mark_suspect", &name)
                        .arg(Suspect::Restored.stored()),
                )
                .await?;
        }
        self.change(self.step("raise", "").arg(floor)).await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn reconnects(&self) -> watch::Receiver<u64> {
        self.reconnects.clone()
    }
}
