package metadata_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/cloudlets/cloudlets/registry/metadata"
	"github.com/cloudlets/cloudlets/registry/metadata/metatest"
	"github.com/cloudlets/cloudlets/registry/metadata/pgtest"
)

func TestPostgresKeepsTheContract(t *testing.T) {
	metatest.Run(t, func(t *testing.T, o metadata.Options) *metadata.Store {
		return openPostgres(t, pgtest.Database(t), o)
	})
}

func openPostgres(t testing.TB, dsn string, o metadata.Options) *metadata.Store {
	t.Helper()
	s, err := metadata.OpenPostgres(t.Context(), dsn, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestPostgresIsSharedUnlessExclusive(t *testing.T) {
	dsn := pgtest.Database(t)
	var group sync.WaitGroup
	for range 4 { // all of them migrate at once
		group.Go(func() {
			s, err := metadata.OpenPostgres(t.Context(), dsn, metadata.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	first, err := metadata.OpenPostgres(t.Context(), dsn, metadata.Options{})
	if err != nil {
		t.Fatal(err)
	}
	wantLocked(t, dsn, metadata.Options{Exclusive: true})
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	openPostgres(t, dsn, metadata.Options{Exclusive: true})
	wantLocked(t, dsn, metadata.Options{})
}

func wantLocked(t *testing.T, dsn string, o metadata.Options) {
	t.Helper()
	s, err := metadata.OpenPostgres(t.Context(), dsn, o)
	if err == nil {
		s.Close()
	}
	if !errors.Is(err, metadata.ErrLocked) {
		t.Fatalf("got the error %v, want ErrLocked", err)
	}
}

func TestPostgresErrorDoesNotTellThePassword(t *testing.T) {
	for _, dsn := range []string{
		"postgres://user:secret@127.0.0.1:1/db",
		"postgres://user:secret@127.0.0.1:notaport/db",
	} {
		_, err := metadata.OpenPostgres(t.Context(), dsn, metadata.Options{})
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("got the error %v", err)
		}
	}
}

func TestPostgresTellsTheTime(t *testing.T) {
	s := openPostgres(t, pgtest.Database(t), metadata.Options{})
	now, err := s.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if now.Year() < 2024 {
		t.Errorf("the database says that it is %v", now)
	}
}
