package metadata

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
)

// TestForeignKeysGuardTheBytes deletes rows as a collector with a mistake might
// and expects the database to refuse.
func TestForeignKeysGuardTheBytes(t *testing.T) {
	s, err := OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "registry.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	source, disk := digest.FromString("source"), digest.FromString("disk")
	for _, r := range []blobstore.Record{
		{Digest: source, Kind: blobstore.Whole, Key: "1"},
		{Digest: disk, Kind: blobstore.Mapped, Key: "2", Needs: []digest.Digest{source}},
	} {
		if _, err := s.CommitBlob(t.Context(), "a", r, nil); err != nil {
			t.Fatal(err)
		}
	}
	manifest := digest.FromString("m")
	err = s.PutManifest(t.Context(), ManifestPut{
		Repository: "a",
		Manifest:   Manifest{Digest: manifest, Raw: []byte("m")},
		References: []Reference{{Digest: disk, Kind: RefLayer}},
		Tags:       []string{"v1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	exec := func(query string) error {
		_, err := s.writer.db.ExecContext(t.Context(), query)
		return err
	}
	for _, query := range []string{
		`DELETE FROM blobs WHERE object_key = '1'`,            // the map needs it
		`DELETE FROM blobs WHERE object_key = '2'`,            // the repository holds it
		`DELETE FROM repository_blobs WHERE digest LIKE '%'`,  // leases and the manifest hold them
		`DELETE FROM manifests`,                               // the tag holds it
		`UPDATE repository_blobs SET digest = 'sha256:other'`, // nor can it be renamed away
	} {
		if exec(query) == nil {
			t.Errorf("%s: was not refused", query)
		}
	}
	if err := exec(`DELETE FROM leases`); err != nil {
		t.Fatal(err)
	}
	if exec(`DELETE FROM repository_blobs`) == nil {
		t.Error("the manifest's blob went out of the repository")
	}
}

func TestLeaseIsWrittenOnlyWhenHalfIsOver(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	s, err := OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "registry.db"),
		Options{Lease: 10 * time.Hour, Clock: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	d := digest.FromString("blob")
	if _, err := s.CommitBlob(t.Context(), "a", blobstore.Record{Digest: d, Kind: blobstore.Whole, Key: "1"}, nil); err != nil {
		t.Fatal(err)
	}
	start := now
	for _, step := range []struct{ after, expires time.Duration }{
		{0, 10 * time.Hour},
		{4 * time.Hour, 10 * time.Hour},
		{5 * time.Hour, 15 * time.Hour},
		{100 * time.Hour, 110 * time.Hour},
	} {
		now = start.Add(step.after)
		if _, err := s.PromiseBlob(t.Context(), "a", d); err != nil {
			t.Fatal(err)
		}
		_, lease, err := s.blob(t.Context(), "a", d)
		if err != nil {
			t.Fatal(err)
		}
		if got := lease.Sub(start); got != step.expires {
			t.Errorf("after %v the lease lasts until %v, want %v", step.after, got, step.expires)
		}
	}
}
