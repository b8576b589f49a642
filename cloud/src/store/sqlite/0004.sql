-- Who is told of an organization: mail addresses and webhooks. No part of the log: an address is a person's, and can be forgotten.
CREATE TABLE endpoints (
    id             BLOB PRIMARY KEY CHECK (length(id) = 16),
    organization   BLOB NOT NULL CHECK (length(organization) = 16),
    kind           TEXT NOT NULL CHECK (kind IN ('email', 'webhook')),
    address        TEXT NOT NULL,
    secret         BLOB,
    old_secret     BLOB,
    old_secret_until INTEGER,
    created_at     INTEGER NOT NULL,
    created_by     TEXT NOT NULL,
    UNIQUE (organization, kind, address)
) STRICT;

-- What was last told of each thing, so that nothing is told twice however long ago it was.
CREATE TABLE told (
    organization BLOB NOT NULL CHECK (length(organization) = 16),
    topic        TEXT NOT NULL,
    mark         BLOB NOT NULL,
    PRIMARY KEY (organization, topic)
) STRICT, WITHOUT ROWID;

-- Ids are UUIDv7, so that later ones sort later.
CREATE TABLE notices (
    id           BLOB PRIMARY KEY CHECK (length(id) = 16),
    organization BLOB NOT NULL CHECK (length(organization) = 16),
    kind         TEXT NOT NULL,
    made_at      INTEGER NOT NULL,
    head         BLOB NOT NULL,
    body         BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX notices_of_organization ON notices (organization, id);
CREATE INDEX notices_by_age ON notices (made_at);

-- One for each notice and endpoint; since is when it was first tried to be given, or given again.
CREATE TABLE deliveries (
    notice   BLOB NOT NULL REFERENCES notices (id) ON DELETE CASCADE,
    endpoint BLOB NOT NULL,
    kind     TEXT NOT NULL,
    address  TEXT NOT NULL,
    state    TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'dropped', 'dead')),
    attempts INTEGER NOT NULL,
    since    INTEGER NOT NULL,
    next_at  INTEGER NOT NULL,
    forced   INTEGER NOT NULL,
    error    TEXT,
    ended_at INTEGER,
    PRIMARY KEY (notice, endpoint)
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_waiting ON deliveries (endpoint, next_at) WHERE state = 'waiting';
CREATE INDEX deliveries_dead ON deliveries (notice) WHERE state = 'dead';
