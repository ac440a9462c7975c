-- What the scrub knows of a blob. quarantined_at is when its object was found
-- damaged, 0 while it is not; quarantine_reason says how. Nobody looks at it
-- before scrub_after: somebody is at it, or has tried scrub_attempts times in vain.
ALTER TABLE blobs ADD COLUMN quarantined_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE blobs ADD COLUMN quarantine_reason TEXT NOT NULL DEFAULT '';
ALTER TABLE blobs ADD COLUMN scrub_after BIGINT NOT NULL DEFAULT 0;
ALTER TABLE blobs ADD COLUMN scrub_attempts BIGINT NOT NULL DEFAULT 0;

CREATE INDEX blobs_verified_at ON blobs (verified_at);
CREATE INDEX blobs_quarantined ON blobs (digest) WHERE quarantined_at > 0;
