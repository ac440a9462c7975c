-- What was changed and is in no journal yet: written in the transaction of the
-- change. It says which thing, not how: the journal takes the state that the
-- thing has when it is written. journal is the number of the journal that is
-- being written with it, or 0.
CREATE TABLE changes (
    id            {id},
    kind          TEXT   NOT NULL,
    repository_id BIGINT NOT NULL,
    reference     {name} NOT NULL,
    journal       BIGINT NOT NULL
);
CREATE INDEX changes_journal ON changes (journal) WHERE journal > 0;

-- The journals that the store keeps beside the blobs. complete is 1 for one that
-- holds everything, and stands for all before it.
CREATE TABLE journals (
    number     BIGINT NOT NULL PRIMARY KEY,
    object_key TEXT   NOT NULL UNIQUE,
    size       BIGINT NOT NULL,
    complete   BIGINT NOT NULL
);

-- Numbers of journals: the last one given; the last one begun and the last one
-- saved that is not complete.
CREATE TABLE counters (
    name  TEXT   NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('journal', 0), ('journal begun', 0), ('journal saved', 0);
