-- What the daemon must not forget over a restart and is no part of the log: one note of each kind and subject.
CREATE TABLE notes (
    kind    TEXT NOT NULL,
    subject TEXT NOT NULL,
    at      INTEGER NOT NULL,
    body    BLOB NOT NULL,
    PRIMARY KEY (kind, subject)
) STRICT, WITHOUT ROWID;
