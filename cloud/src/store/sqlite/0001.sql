-- Instants are whole seconds since 1970. Ids of organizations are their 16 bytes; the platform's stream is 16 zeros.
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE streams (
    stream  BLOB PRIMARY KEY CHECK (length(stream) = 16),
    version INTEGER NOT NULL,
    hash    BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT, WITHOUT ROWID;

-- Append-only. position orders the entries of all streams as they were committed.
CREATE TABLE events (
    position    INTEGER PRIMARY KEY,
    stream      BLOB NOT NULL REFERENCES streams (stream),
    version     INTEGER NOT NULL CHECK (version > 0),
    at          INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    actor       TEXT NOT NULL,
    request_id  TEXT NOT NULL,
    event       BLOB NOT NULL,
    hash        BLOB NOT NULL CHECK (length(hash) = 32),
    UNIQUE (stream, version)
) STRICT;

CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;

CREATE TABLE snapshots (
    stream  BLOB PRIMARY KEY REFERENCES streams (stream),
    schema  INTEGER NOT NULL,
    version INTEGER NOT NULL,
    body    BLOB NOT NULL
) STRICT;

CREATE TABLE reservations (
    kind   TEXT NOT NULL,
    value  TEXT NOT NULL,
    stream BLOB NOT NULL REFERENCES streams (stream),
    PRIMARY KEY (kind, value)
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency (
    principal   TEXT NOT NULL,
    key         TEXT NOT NULL,
    fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32),
    status      INTEGER NOT NULL,
    body        BLOB NOT NULL,
    recorded_at INTEGER NOT NULL,
    PRIMARY KEY (principal, key)
) STRICT;
CREATE INDEX idempotency_by_age ON idempotency (recorded_at);

CREATE TABLE sequences (
    organization BLOB PRIMARY KEY CHECK (length(organization) = 16),
    last_seq     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The newest token of each device. Its bytes live apart, so that a start reads none of them.
CREATE TABLE issued (
    device        TEXT PRIMARY KEY,
    organization  BLOB NOT NULL CHECK (length(organization) = 16),
    epoch         INTEGER NOT NULL,
    seq           INTEGER NOT NULL,
    wanted        BLOB NOT NULL CHECK (length(wanted) = 32),
    issued_at     INTEGER NOT NULL,
    lease_ends_at INTEGER NOT NULL,
    answers_nonce INTEGER NOT NULL CHECK (answers_nonce IN (0, 1))
) STRICT, WITHOUT ROWID;

CREATE TABLE issued_tokens (
    device TEXT PRIMARY KEY REFERENCES issued (device),
    token  BLOB NOT NULL
) STRICT;

CREATE TABLE device_status (
    device   TEXT PRIMARY KEY,
    heard_at INTEGER NOT NULL,
    body     BLOB NOT NULL
) STRICT;
