//! The tables. Migrations only ever go forward; `PRAGMA user_version` counts them.

/// `TNRS` in the file's header marks a session store.
pub const APPLICATION_ID: i32 = 0x544e_5253;

pub(crate) const MIGRATIONS: &[&str] = &["
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Keys that were replaced, sealed with the current one, so that what they sealed outside `sessions` still opens.
CREATE TABLE retired_keys (
    id     TEXT PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    name         TEXT PRIMARY KEY,
    generation   INTEGER NOT NULL DEFAULT 0,
    epoch        INTEGER NOT NULL DEFAULT 0,
    lease_holder TEXT,
    lease_boot   TEXT,             -- the boot that lease_until counts in
    lease_until  INTEGER,          -- milliseconds since that boot
    pair         BLOB,             -- sealed
    login        BLOB,             -- sealed
    intent       TEXT,             -- JSON
    latch        TEXT,             -- JSON
    info         TEXT NOT NULL DEFAULT '{}',
    suspect      INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Sealed values that could not be opened when a login or an import took their place.
CREATE TABLE kept (
    id         INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,
    name       TEXT NOT NULL,
    generation INTEGER NOT NULL,
    pair       BLOB,
    login      BLOB,
    why        TEXT NOT NULL
) STRICT;

CREATE TABLE events (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    session    TEXT NOT NULL,
    kind       TEXT NOT NULL,
    generation INTEGER NOT NULL,
    text       TEXT NOT NULL,
    failure    TEXT,
    holder     TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_session ON events (session, id);
", "
-- What one process met with the stored generation, JSON.
ALTER TABLE sessions ADD COLUMN trouble TEXT;

-- Token endpoints that failed or asked for a pause.
CREATE TABLE endpoints (
    url      TEXT PRIMARY KEY,
    failures INTEGER NOT NULL,
    boot     TEXT NOT NULL,        -- the boot that until counts in
    until    INTEGER NOT NULL,     -- milliseconds since that boot
    failure  TEXT                  -- JSON
) STRICT, WITHOUT ROWID;
"];

/// How many events are kept.
pub(crate) const EVENTS_KEPT: i64 = 10_000;
