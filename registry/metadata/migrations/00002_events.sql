-- What changed, written by the transaction that changed it, for those who want to
-- be told: body is a metadata.Event as JSON. Ids follow the order of the commits.
CREATE TABLE events (
    id   {id},
    at   BIGINT NOT NULL,
    body {bytes} NOT NULL
);
CREATE INDEX events_at ON events (at);

-- Who wants to be told. position is the last event that they have. owner is the
-- process that tells them until owned_until. renewed is when a server last said
-- that they are still in its configuration.
CREATE TABLE event_endpoints (
    name        {name} NOT NULL PRIMARY KEY,
    position    BIGINT NOT NULL,
    owner       TEXT   NOT NULL,
    owned_until BIGINT NOT NULL,
    renewed     BIGINT NOT NULL
);
