//! Tables. Instants are milliseconds since the epoch; random secrets are kept as hashes only.

/// Marks the file as an issuer's database (`PRAGMA application_id`): "tISS".
pub(crate) const APPLICATION_ID: i32 = 0x7449_5353;

/// One entry per schema version, never changed once released.
pub(crate) const SQLITE: &[&str] = &[
    "
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
",
    "
CREATE UNIQUE INDEX users_folded ON users (lower(name));
",
    "
CREATE TABLE changes (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    kind     TEXT NOT NULL,
    id       TEXT NOT NULL,
    before_s INTEGER NOT NULL,
    until_ms INTEGER NOT NULL
) STRICT;
INSERT INTO changes (kind, id, before_s, until_ms)
    SELECT 'token', jti, 9223372036854775807, expires_ms FROM revoked_tokens;
DROP TABLE revoked_tokens;

CREATE TABLE seen (
    hash       BLOB PRIMARY KEY,
    expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX seen_expiry ON seen (expires_ms);

ALTER TABLE families ADD COLUMN jkt TEXT;
ALTER TABLE codes ADD COLUMN jkt TEXT;

CREATE TABLE pushed (
    hash       BLOB PRIMARY KEY,
    client_id  TEXT NOT NULL,
    query      TEXT NOT NULL,
    expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX pushed_expiry ON pushed (expires_ms);
",
    "
CREATE TABLE audit (
    seq       INTEGER PRIMARY KEY,
    at_ms     INTEGER NOT NULL,
    actor     TEXT NOT NULL,
    address   TEXT,
    device    TEXT,
    action    TEXT NOT NULL,
    user_id   TEXT,
    sid       TEXT,
    client_id TEXT,
    detail    TEXT NOT NULL,
    mac       BLOB NOT NULL
) STRICT;
CREATE INDEX audit_of_session ON audit (sid) WHERE sid IS NOT NULL;
CREATE INDEX audit_of_user ON audit (user_id) WHERE user_id IS NOT NULL;

ALTER TABLE families ADD COLUMN address TEXT;
ALTER TABLE families ADD COLUMN device TEXT;
ALTER TABLE families ADD COLUMN last_address TEXT;
ALTER TABLE families ADD COLUMN acr TEXT;
",
    "
CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE administrators (
    name        TEXT PRIMARY KEY COLLATE NOCASE,
    password    TEXT NOT NULL,
    one_time_ms INTEGER,
    created_ms  INTEGER NOT NULL
) STRICT;

CREATE TABLE admin_tokens (
    hash          BLOB PRIMARY KEY,
    administrator TEXT NOT NULL,
    label         TEXT,
    created_ms    INTEGER NOT NULL,
    expires_ms    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX admin_tokens_expiry ON admin_tokens (expires_ms);
",
    "
CREATE TABLE logouts (
    id        BLOB PRIMARY KEY,
    uri       TEXT NOT NULL,
    client_id TEXT NOT NULL,
    user_id   TEXT NOT NULL,
    sid       TEXT NOT NULL,
    ended_ms  INTEGER NOT NULL,
    due_ms    INTEGER NOT NULL,
    tries     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX logouts_due ON logouts (uri, due_ms);
",
    "
CREATE TABLE registration_tokens (
    hash       BLOB PRIMARY KEY,
    label      TEXT NOT NULL UNIQUE,
    uses_left  INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
",
];

/// The same for PostgreSQL; statements end with a semicolon. A family's row leaves room in its page, so that a
/// refresh rewrites it there and touches no index.
pub(crate) const POSTGRES: &[&str] = &[
    "
CREATE TABLE secrets (
    name   TEXT PRIMARY KEY,
    sealed BYTEA NOT NULL
);

CREATE TABLE signing_keys (
    kid        TEXT PRIMARY KEY,
    alg        TEXT NOT NULL,
    sealed     BYTEA NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('next', 'active', 'retiring', 'revoked')),
    created_ms BIGINT NOT NULL,
    changed_ms BIGINT NOT NULL
);

CREATE TABLE users (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    password   TEXT NOT NULL,
    disabled   BIGINT NOT NULL DEFAULT 0,
    created_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX users_folded ON users (lower(name));

CREATE TABLE clients (
    id           TEXT PRIMARY KEY,
    registration TEXT NOT NULL,
    secret_mac   BYTEA
);

CREATE TABLE families (
    id             BYTEA PRIMARY KEY,
    user_id        TEXT NOT NULL,
    client_id      TEXT NOT NULL,
    scope          TEXT NOT NULL,
    generation     BIGINT NOT NULL,
    born_ms        BIGINT NOT NULL,
    used_ms        BIGINT NOT NULL,
    window_from_ms BIGINT NOT NULL,
    confirmed      BIGINT NOT NULL,
    late_at        BIGINT,
    revoked        TEXT,
    revoked_ms     BIGINT,
    jkt            TEXT
) WITH (fillfactor = 70);
CREATE INDEX families_of_user ON families (user_id);
CREATE INDEX families_revoked ON families (revoked_ms) WHERE revoked_ms IS NOT NULL;

CREATE TABLE codes (
    hash         BYTEA PRIMARY KEY,
    client_id    TEXT NOT NULL,
    user_id      TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    challenge    TEXT NOT NULL,
    scope        TEXT NOT NULL,
    nonce        TEXT,
    auth_ms      BIGINT NOT NULL,
    expires_ms   BIGINT NOT NULL,
    family       BYTEA,
    jkt          TEXT
);
CREATE INDEX codes_expiry ON codes (expires_ms);

CREATE TABLE device_codes (
    hash       BYTEA PRIMARY KEY,
    user_code  TEXT NOT NULL UNIQUE,
    client_id  TEXT NOT NULL,
    scope      TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'denied', 'spent')),
    user_id    TEXT,
    auth_ms    BIGINT,
    interval_s BIGINT NOT NULL,
    polled_ms  BIGINT,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX device_codes_expiry ON device_codes (expires_ms);

CREATE TABLE changes (
    seq      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind     TEXT NOT NULL,
    id       TEXT NOT NULL,
    before_s BIGINT NOT NULL,
    until_ms BIGINT NOT NULL
);

CREATE TABLE seen (
    hash       BYTEA PRIMARY KEY,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX seen_expiry ON seen (expires_ms);

CREATE TABLE pushed (
    hash       BYTEA PRIMARY KEY,
    client_id  TEXT NOT NULL,
    query      TEXT NOT NULL,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX pushed_expiry ON pushed (expires_ms);
",
    "
CREATE TABLE audit (
    seq       BIGINT PRIMARY KEY,
    at_ms     BIGINT NOT NULL,
    actor     TEXT NOT NULL,
    address   TEXT,
    device    TEXT,
    action    TEXT NOT NULL,
    user_id   TEXT,
    sid       TEXT,
    client_id TEXT,
    detail    TEXT NOT NULL,
    mac       BYTEA NOT NULL
);
CREATE INDEX audit_of_session ON audit (sid) WHERE sid IS NOT NULL;
CREATE INDEX audit_of_user ON audit (user_id) WHERE user_id IS NOT NULL;

ALTER TABLE families ADD COLUMN address TEXT;
ALTER TABLE families ADD COLUMN device TEXT;
ALTER TABLE families ADD COLUMN last_address TEXT;
ALTER TABLE families ADD COLUMN acr TEXT;
",
    "
CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE administrators (
    name        TEXT PRIMARY KEY,
    password    TEXT NOT NULL,
    one_time_ms BIGINT,
    created_ms  BIGINT NOT NULL
);
CREATE UNIQUE INDEX administrators_folded ON administrators (lower(name));

CREATE TABLE admin_tokens (
    hash          BYTEA PRIMARY KEY,
    administrator TEXT NOT NULL,
    label         TEXT,
    created_ms    BIGINT NOT NULL,
    expires_ms    BIGINT NOT NULL
);
CREATE INDEX admin_tokens_expiry ON admin_tokens (expires_ms);
",
    "
CREATE TABLE logouts (
    id        BYTEA PRIMARY KEY,
    uri       TEXT NOT NULL,
    client_id TEXT NOT NULL,
    user_id   TEXT NOT NULL,
    sid       TEXT NOT NULL,
    ended_ms  BIGINT NOT NULL,
    due_ms    BIGINT NOT NULL,
    tries     BIGINT NOT NULL
);
CREATE INDEX logouts_due ON logouts (uri, due_ms);
",
    "
CREATE TABLE registration_tokens (
    hash       BYTEA PRIMARY KEY,
    label      TEXT NOT NULL UNIQUE,
    uses_left  BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);
",
];
