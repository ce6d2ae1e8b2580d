//! Tables. Instants are milliseconds since the epoch; random secrets are kept as hashes only.

/// Marks the file as an issuer's database (`PRAGMA application_id`): "tISS".
pub(crate) const APPLICATION_ID: i32 = 0x7449_5353;

/// One entry per schema version, never changed once released.
pub(crate) const MIGRATIONS: &[&str] = &["
CREATE TABLE secrets (
    name   TEXT PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT;

CREATE TABLE signing_keys (
    kid        TEXT PRIMARY KEY,
    alg        TEXT NOT NULL,
    sealed     BLOB NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('next', 'active', 'retiring', 'revoked')),
    created_ms INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE users (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE COLLATE NOCASE,
    password   TEXT NOT NULL,
    disabled   INTEGER NOT NULL DEFAULT 0,
    created_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE clients (
    id           TEXT PRIMARY KEY,
    registration TEXT NOT NULL,
    secret_mac   BLOB
) STRICT;

CREATE TABLE families (
    id             BLOB PRIMARY KEY,
    user_id        TEXT NOT NULL,
    client_id      TEXT NOT NULL,
    scope          TEXT NOT NULL,
    generation     INTEGER NOT NULL,
    born_ms        INTEGER NOT NULL,
    used_ms        INTEGER NOT NULL,
    window_from_ms INTEGER NOT NULL,
    confirmed      INTEGER NOT NULL,
    late_at        INTEGER,
    revoked        TEXT,
    revoked_ms     INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX families_of_user ON families (user_id);
CREATE INDEX families_revoked ON families (revoked_ms) WHERE revoked_ms IS NOT NULL;

CREATE TABLE codes (
    hash         BLOB PRIMARY KEY,
    client_id    TEXT NOT NULL,
    user_id      TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    challenge    TEXT NOT NULL,
    scope        TEXT NOT NULL,
    nonce        TEXT,
    auth_ms      INTEGER NOT NULL,
    expires_ms   INTEGER NOT NULL,
    family       BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX codes_expiry ON codes (expires_ms);

CREATE TABLE device_codes (
    hash       BLOB PRIMARY KEY,
    user_code  TEXT NOT NULL UNIQUE,
    client_id  TEXT NOT NULL,
    scope      TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'denied', 'spent')),
    user_id    TEXT,
    auth_ms    INTEGER,
    interval_s INTEGER NOT NULL,
    polled_ms  INTEGER,
    expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX device_codes_expiry ON device_codes (expires_ms);

CREATE TABLE revoked_tokens (
    jti        TEXT PRIMARY KEY,
    expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"];
