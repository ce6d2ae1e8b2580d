//! The tables in PostgreSQL, with names of their own: the database may hold others', the issuer's among them.
//! Migrations only ever go forward; `keeper_meta` counts them.

/// The advisory lock under which tables are made and changed: "tKEE".
pub(super) const MIGRATION_LOCK: i64 = 0x744b_4545;
/// The advisory lock of whoever appends an event, so that ids are seen in their order: "tKEV".
pub(super) const EVENTS_LOCK: i64 = 0x744b_4556;
/// The channel on which changes are told.
pub(super) const CHANNEL: &str = "tenure_keeper";

/// Where the count of migrations lies.
pub(super) const META: &str =
    "CREATE TABLE IF NOT EXISTS keeper_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)";

pub(super) const MIGRATIONS: &[&str] = &["
-- Numbers every change, and goes back with the database where that is restored.
CREATE SEQUENCE keeper_changes;

-- Keys that were replaced, sealed with the current one, so that what they sealed outside `keeper_sessions` still opens.
CREATE TABLE keeper_retired_keys (
    id     TEXT PRIMARY KEY,
    sealed BYTEA NOT NULL
);

-- Times are milliseconds since the epoch by this server's clock.
CREATE TABLE keeper_sessions (
    name          TEXT PRIMARY KEY,
    generation    BIGINT NOT NULL DEFAULT 0,
    epoch         BIGINT NOT NULL DEFAULT 0,
    lease_holder  TEXT,
    lease_host    TEXT,
    lease_until   BIGINT NOT NULL DEFAULT 0,
    pair          BYTEA,               -- sealed
    login         BYTEA,               -- sealed
    intent        TEXT,                -- JSON
    latch         TEXT,                -- JSON
    info          TEXT NOT NULL DEFAULT '{}',
    suspect       BIGINT NOT NULL DEFAULT 0,
    trouble       TEXT,                -- JSON
    trouble_until BIGINT NOT NULL DEFAULT 0
) WITH (fillfactor = 70);

-- Sealed values that could not be opened when a login or an import took their place.
CREATE TABLE keeper_kept (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         BIGINT NOT NULL,
    name       TEXT NOT NULL,
    generation BIGINT NOT NULL,
    pair       BYTEA,
    login      BYTEA,
    why        TEXT NOT NULL
);

CREATE TABLE keeper_events (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         BIGINT NOT NULL,
    session    TEXT NOT NULL,
    kind       TEXT NOT NULL,
    generation BIGINT NOT NULL,
    text       TEXT NOT NULL,
    failure    TEXT,
    holder     TEXT NOT NULL
);
CREATE INDEX keeper_events_by_session ON keeper_events (session, id);

-- Token endpoints that failed or asked for a pause.
CREATE TABLE keeper_endpoints (
    url      TEXT PRIMARY KEY,
    failures BIGINT NOT NULL,
    until    BIGINT NOT NULL,
    failure  TEXT                      -- JSON
);
"];
