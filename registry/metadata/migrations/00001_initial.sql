-- Types in braces are the dialect's: {id} a row number the database chooses,
-- {name} text that sorts bytewise, {bytes} a byte string. Times are microseconds
-- since 1970-01-01T00:00:00Z.

CREATE TABLE repositories (
    id      {id},
    name    {name} NOT NULL UNIQUE,
    created BIGINT NOT NULL
);

-- How each blob is kept: blobstore.Record.
CREATE TABLE blobs (
    digest      {name} NOT NULL PRIMARY KEY,
    size        BIGINT NOT NULL CHECK (size >= 0),
    kind        TEXT   NOT NULL,
    object_key  TEXT   NOT NULL UNIQUE,
    created     BIGINT NOT NULL,
    verified_at BIGINT NOT NULL
);

-- The blobs that a map or a view of frames is read from.
CREATE TABLE blob_needs (
    digest   {name} NOT NULL REFERENCES blobs (digest) ON DELETE CASCADE,
    position BIGINT NOT NULL,
    needs    {name} NOT NULL REFERENCES blobs (digest) ON DELETE RESTRICT,
    PRIMARY KEY (digest, position)
);
CREATE INDEX blob_needs_needs ON blob_needs (needs);

-- The blobs that can be pulled from a repository.
CREATE TABLE repository_blobs (
    repository_id BIGINT NOT NULL REFERENCES repositories (id) ON DELETE RESTRICT,
    digest        {name} NOT NULL REFERENCES blobs (digest) ON DELETE RESTRICT,
    created       BIGINT NOT NULL,
    PRIMARY KEY (repository_id, digest)
);
CREATE INDEX repository_blobs_digest ON repository_blobs (digest);

-- Promises: a client was told that it need not upload the blob.
CREATE TABLE leases (
    repository_id BIGINT NOT NULL,
    digest        {name} NOT NULL,
    expires_at    BIGINT NOT NULL,
    PRIMARY KEY (repository_id, digest),
    FOREIGN KEY (repository_id, digest) REFERENCES repository_blobs (repository_id, digest) ON DELETE RESTRICT
);
CREATE INDEX leases_expires_at ON leases (expires_at);

-- Manifests, byte for byte as pushed. The subject may be one that does not exist.
CREATE TABLE manifests (
    id            {id},
    repository_id BIGINT NOT NULL REFERENCES repositories (id) ON DELETE RESTRICT,
    digest        {name} NOT NULL,
    media_type    TEXT   NOT NULL,
    artifact_type TEXT   NOT NULL,
    subject       {name} NOT NULL,
    size          BIGINT NOT NULL,
    created       BIGINT NOT NULL,
    raw           {bytes} NOT NULL,
    UNIQUE (repository_id, digest)
);
CREATE INDEX manifests_subject ON manifests (repository_id, subject, digest) WHERE subject <> '';

-- What a manifest refers to. blob and child_id are NULL for content that the
-- repository does not hold: layers that may not be distributed, platforms that
-- a sparse index leaves out.
CREATE TABLE manifest_refs (
    manifest_id   BIGINT NOT NULL REFERENCES manifests (id) ON DELETE CASCADE,
    position      BIGINT NOT NULL,
    repository_id BIGINT NOT NULL,
    kind          TEXT   NOT NULL,
    digest        {name} NOT NULL,
    blob          {name},
    child_id      BIGINT REFERENCES manifests (id) ON DELETE SET NULL,
    PRIMARY KEY (manifest_id, position),
    FOREIGN KEY (repository_id, blob) REFERENCES repository_blobs (repository_id, digest) ON DELETE RESTRICT
);
CREATE INDEX manifest_refs_digest ON manifest_refs (repository_id, digest);
CREATE INDEX manifest_refs_blob ON manifest_refs (repository_id, blob);
CREATE INDEX manifest_refs_child ON manifest_refs (child_id);

CREATE TABLE tags (
    repository_id BIGINT NOT NULL REFERENCES repositories (id) ON DELETE RESTRICT,
    name          {name} NOT NULL,
    manifest_id   BIGINT NOT NULL REFERENCES manifests (id) ON DELETE RESTRICT,
    updated       BIGINT NOT NULL,
    PRIMARY KEY (repository_id, name)
);
CREATE INDEX tags_manifest ON tags (manifest_id);

-- Every change of a tag. An empty digest is a deletion, an empty previous one a
-- tag that was new.
CREATE TABLE tag_events (
    id            {id},
    repository_id BIGINT NOT NULL REFERENCES repositories (id) ON DELETE RESTRICT,
    tag           {name} NOT NULL,
    digest        {name} NOT NULL,
    previous      {name} NOT NULL,
    actor         TEXT   NOT NULL,
    at            BIGINT NOT NULL
);
CREATE INDEX tag_events_tag ON tag_events (repository_id, tag, id);

-- Unfinished uploads: blobstore.Upload. version counts the changes. object_state
-- is the blob driver's own, NULL where it needs none.
CREATE TABLE uploads (
    id            {name} NOT NULL PRIMARY KEY,
    repository_id BIGINT NOT NULL REFERENCES repositories (id) ON DELETE RESTRICT,
    object_key    TEXT   NOT NULL UNIQUE,
    written       BIGINT NOT NULL,
    algorithm     TEXT   NOT NULL,
    hash_state    {bytes} NOT NULL,
    object_state  {bytes},
    version       BIGINT NOT NULL,
    created       BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL
);
CREATE INDEX uploads_expires_at ON uploads (expires_at);

-- Objects that nothing refers to any more, to be removed once not_before has
-- passed. Those of blobs that were collected say what they were, to be restored
-- by: needs is a list of digests separated by spaces. doomed is 1 from when the
-- removal begins: from then on there is no way back.
CREATE TABLE trash (
    object_key TEXT   NOT NULL PRIMARY KEY,
    not_before BIGINT NOT NULL,
    doomed     BIGINT NOT NULL,
    digest     {name} NOT NULL,
    size       BIGINT NOT NULL,
    kind       TEXT   NOT NULL,
    needs      TEXT   NOT NULL
);
CREATE INDEX trash_not_before ON trash (not_before);
CREATE INDEX trash_digest ON trash (digest) WHERE digest <> '';

-- What was let go of, since a time, and may be garbage, to be looked at once
-- review_after has passed: a manifest of a repository, a blob in a repository, or
-- a blob as such, whose repository_id is 0.
CREATE TABLE gc_queue (
    kind          TEXT   NOT NULL,
    repository_id BIGINT NOT NULL,
    digest        {name} NOT NULL,
    since         BIGINT NOT NULL,
    review_after  BIGINT NOT NULL,
    attempts      BIGINT NOT NULL,
    PRIMARY KEY (kind, repository_id, digest)
);
CREATE INDEX gc_queue_review_after ON gc_queue (review_after);

-- Manifests that were removed, to be restored by until expires_at.
CREATE TABLE graves (
    repository_id BIGINT NOT NULL REFERENCES repositories (id) ON DELETE RESTRICT,
    digest        {name} NOT NULL,
    media_type    TEXT   NOT NULL,
    raw           {bytes} NOT NULL,
    removed       BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL,
    PRIMARY KEY (repository_id, digest)
);
CREATE INDEX graves_expires_at ON graves (expires_at);

-- What must not be removed: a tag or a digest of a repository.
CREATE TABLE holds (
    repository_id BIGINT NOT NULL REFERENCES repositories (id) ON DELETE RESTRICT,
    reference     {name} NOT NULL,
    reason        TEXT   NOT NULL,
    actor         TEXT   NOT NULL,
    created       BIGINT NOT NULL,
    PRIMARY KEY (repository_id, reference)
);

-- Objects that the store has and nothing refers to: orphans if that stays so.
-- given_up is 1 once they were put in the trash. That row stays for good: who was
-- writing the object may yet wake up, and must not make a blob of it.
CREATE TABLE suspects (
    object_key TEXT   NOT NULL PRIMARY KEY,
    first_seen BIGINT NOT NULL,
    last_seen  BIGINT NOT NULL,
    given_up   BIGINT NOT NULL
);
CREATE INDEX suspects_last_seen ON suspects (last_seen);

-- What the database is used with: under the name store, the id of its objects.
CREATE TABLE properties (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

-- Work that one process at a time does for all, and when it is due again.
CREATE TABLE duties (
    name   TEXT   NOT NULL PRIMARY KEY,
    due_at BIGINT NOT NULL
);

-- What was rendered: the derivation key tells the image, the format, the
-- parameters and the converter's version apart.
CREATE TABLE renders (
    repository_id BIGINT NOT NULL REFERENCES repositories (id) ON DELETE RESTRICT,
    derivation    {name} NOT NULL,
    manifest_id   BIGINT NOT NULL REFERENCES manifests (id) ON DELETE CASCADE,
    blob          {name} NOT NULL,
    parameters    TEXT   NOT NULL,
    created       BIGINT NOT NULL,
    PRIMARY KEY (repository_id, derivation),
    FOREIGN KEY (repository_id, blob) REFERENCES repository_blobs (repository_id, digest) ON DELETE RESTRICT
);
CREATE INDEX renders_manifest ON renders (manifest_id);
CREATE INDEX renders_blob ON renders (repository_id, blob);
