-- What a device said belongs to the organization it said it to. What is lost here comes with the next reports.
DROP TABLE device_status;
CREATE TABLE device_status (
    device       TEXT PRIMARY KEY,
    organization BLOB NOT NULL CHECK (length(organization) = 16),
    heard_at     INTEGER NOT NULL,
    body         BLOB NOT NULL
) STRICT;
