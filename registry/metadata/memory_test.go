package metadata

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/blobstore"
)

// openMemory opens an empty store with a clock that stands still.
func openMemory(t testing.TB, dir string) *Store {
	t.Helper()
	clock := func() time.Time { return time.Unix(1_700_000_000, 0) }
	s, err := OpenSQLite(context.Background(), filepath.Join(dir, "registry.db"), Options{Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func testManifest(repository, content string, tags ...string) ManifestPut {
	return ManifestPut{Repository: repository, Tags: tags, Manifest: Manifest{
		Digest: digest.FromString(content), MediaType: "m", Size: int64(len(content)), Raw: []byte(content)}}
}

func testRecord(content string) blobstore.Record {
	return blobstore.Record{Digest: digest.FromString(content), Size: int64(len(content)), Kind: blobstore.Whole, Key: "objects/" + content}
}

// sentinel returns which of the package's errors err wraps.
func sentinel(err error) error {
	for _, known := range []error{ErrManifestUnknown, ErrBlobUnknown, ErrRepositoryUnknown, ErrInUse, ErrHeld} {
		if errors.Is(err, known) {
			return known
		}
	}
	return err
}

// change is what may be written to a store, and look what may be read.
var (
	change = map[string]func(s *Store, repository, name, tag string) error{
		"put manifest": func(s *Store, repository, name, tag string) error {
			return s.PutManifest(context.Background(), testManifest(repository, name, tag))
		},
		"delete tag": func(s *Store, repository, _, tag string) error {
			return s.DeleteTag(context.Background(), repository, tag, "a")
		},
		"delete manifest": func(s *Store, repository, name, _ string) error {
			return s.DeleteManifest(context.Background(), repository, digest.FromString(name), "a")
		},
		"commit blob": func(s *Store, repository, name, _ string) error {
			_, err := s.CommitBlob(context.Background(), repository, testRecord(name), nil)
			return err
		},
		"remove blob": func(s *Store, repository, name, _ string) error {
			return s.RemoveBlob(context.Background(), repository, digest.FromString(name))
		},
		"mount blob": func(s *Store, repository, name, _ string) error {
			return s.MountBlob(context.Background(), repository, "", digest.FromString(name))
		},
		"review": func(s *Store, _, _, _ string) error {
			_, err := s.Review(context.Background(), 100, func(string) time.Duration { return 0 })
			return err
		},
	}
	look = map[string]func(s *Store, repository, name, tag string) (any, error){
		"tagged": func(s *Store, repository, _, tag string) (any, error) {
			return s.Tagged(context.Background(), repository, tag)
		},
		"tag": func(s *Store, repository, _, tag string) (any, error) {
			return s.StatTagged(context.Background(), repository, tag)
		},
		"manifest": func(s *Store, repository, name, _ string) (any, error) {
			return s.Manifest(context.Background(), repository, digest.FromString(name))
		},
		"stat": func(s *Store, repository, name, _ string) (any, error) {
			return s.StatManifest(context.Background(), repository, digest.FromString(name))
		},
		"blob": func(s *Store, repository, name, _ string) (any, error) {
			return s.Blob(context.Background(), repository, digest.FromString(name))
		},
		"promise": func(s *Store, repository, name, _ string) (any, error) {
			return s.PromiseBlob(context.Background(), repository, digest.FromString(name))
		},
	}
)

// TestMemoryAnswersAsTheDatabase does the same to a store that remembers and to
// one that does not: no answer tells them apart.
func TestMemoryAnswersAsTheDatabase(t *testing.T) {
	var round atomic.Int64
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		open := func(name string) *Store {
			s := openMemory(t, filepath.Join(dir, name+strconv.FormatInt(round.Add(1), 10)))
			rt.Cleanup(func() { s.Close() })
			return s
		}
		remembers, asks := open("remembers"), open("asks")
		asks.manifests, asks.held = nil, nil
		changes, looks := rapid.SampledFrom(slices.Sorted(maps.Keys(change))), rapid.SampledFrom(slices.Sorted(maps.Keys(look)))
		for range rapid.IntRange(5, 40).Draw(rt, "steps") {
			repository := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "repository")
			name := rapid.SampledFrom([]string{"x", "y"}).Draw(rt, "name")
			tag := rapid.SampledFrom([]string{"v1", "v2"}).Draw(rt, "tag")
			if rapid.IntRange(0, 3).Draw(rt, "kind") == 0 {
				what := changes.Draw(rt, "change")
				got, want := change[what](remembers, repository, name, tag), change[what](asks, repository, name, tag)
				if !errors.Is(sentinel(got), sentinel(want)) {
					rt.Fatalf("%s: got %v, want %v", what, got, want)
				}
				continue
			}
			what := looks.Draw(rt, "look")
			got, err := look[what](remembers, repository, name, tag)
			want, wantErr := look[what](asks, repository, name, tag)
			if !reflect.DeepEqual(got, want) || !errors.Is(sentinel(err), sentinel(wantErr)) {
				rt.Fatalf("%s of %s/%s: got %+v, %v, want %+v, %v", what, repository, name, got, err, want, wantErr)
			}
		}
	})
}

// TestWhatWasAcknowledgedIsSeen has readers beside writers, each of which moves a
// tag on and on. No reader finds a tag before where it was when the read began,
// nor before where it has found it.
func TestWhatWasAcknowledgedIsSeen(t *testing.T) {
	const writers, readers, moves = 3, 4, 60
	s := openMemory(t, t.TempDir())
	defer s.Close()
	var acknowledged [writers]atomic.Int64
	tag := func(i int) string { return fmt.Sprintf("v%d", i) }
	move := func(i, n int) {
		if err := s.PutManifest(t.Context(), testManifest("a", strconv.Itoa(n), tag(i))); err != nil {
			t.Error(err)
		}
		acknowledged[i].Store(int64(n))
	}
	for i := range writers {
		move(i, 0)
	}
	var busy, watching sync.WaitGroup
	done := make(chan struct{})
	for i := range writers {
		busy.Go(func() {
			for n := range moves {
				move(i, n)
			}
		})
	}
	for range readers {
		watching.Go(func() {
			var found [writers]int64
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				i := n % writers
				found[i] = atLeast(t, s, tag(i), max(found[i], acknowledged[i].Load()))
			}
		})
	}
	busy.Wait()
	close(done)
	watching.Wait()
	for i := range writers {
		atLeast(t, s, tag(i), moves-1)
	}
}

// atLeast reads where a tag is, one way or the other, and returns it.
func atLeast(t *testing.T, s *Store, tag string, least int64) int64 {
	t.Helper()
	m, err := s.Tagged(t.Context(), "a", tag)
	if err != nil {
		t.Error(err)
		return least
	}
	stat, err := s.StatTagged(t.Context(), "a", tag)
	if err != nil {
		t.Error(err)
		return least
	}
	at, err := strconv.ParseInt(string(m.Raw), 10, 64)
	if err != nil {
		t.Error(err)
	}
	if at < least {
		t.Errorf("tag %s is at %d after it was at %d", tag, at, least)
	}
	if stat.Digest != m.Digest { // it has moved on meanwhile, not back
		again, err := s.Tagged(t.Context(), "a", tag)
		if err != nil {
			t.Error(err)
		} else if now, err := strconv.ParseInt(string(again.Raw), 10, 64); err != nil || now <= at {
			t.Errorf("tag %s is at %d again after another answer, %v", tag, now, err)
		}
	}
	return at
}

func TestStatementConcernsWhatItWritesTo(t *testing.T) {
	for query, want := range map[string]concern{
		"SELECT 1 FROM manifests":                              concernsNone,
		"INSERT INTO tags (name) VALUES ($1)":                  concernsManifests,
		"UPDATE manifests SET media_type = $1 RETURNING id":    concernsManifests,
		"DELETE FROM manifests\n\t\tWHERE id = $1":             concernsManifests,
		"DELETE FROM leases WHERE digest = $1":                 concernsBlobs,
		"INSERT INTO blobs (digest) VALUES ($1)":               concernsBlobs,
		"INSERT INTO gc_queue SELECT * FROM manifests":         concernsNone,
		"INSERT INTO repositories (name) VALUES ($1)":          concernsAll,
		"WITH x AS (SELECT 1) DELETE FROM trash":               concernsAll,
		"INSERT OR IGNORE INTO manifests (digest) VALUES ($1)": concernsAll,
		"UPDATE": concernsAll,
	} {
		if got := concernOf(query); got != want {
			t.Errorf("%q concerns %b, want %b", query, got, want)
		}
	}
}
