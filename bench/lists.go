package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	manyTags         = 100_000
	tagsAtOnce       = 100 // the most that one push may set
	manyRepositories = 10_000
	pushers          = 8

	pageReads = 101
)

// lists measures the first pages of long lists.
func lists(ctx context.Context, s settings) (err error) {
	srv, err := startServer(ctx, s, "lists")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.stop()) }()
	if err := srv.fillTags(ctx); err != nil {
		return err
	}
	if err := srv.fillRepositories(ctx); err != nil {
		return err
	}
	err = srv.firstPage(ctx, fmt.Sprintf("first page of %d tags", manyTags), "/v2/"+repository+"/tags/list")
	return errors.Join(err, srv.firstPage(ctx, fmt.Sprintf("first page of the catalog with %d repositories", manyRepositories), "/v2/_catalog"))
}

func (s *server) fillTags(ctx context.Context) error {
	for i := 0; i < manyTags; i += tagsAtOnce {
		q := make(url.Values)
		for n := range tagsAtOnce {
			q.Add("tag", fmt.Sprintf("v%06d", i+n))
		}
		if err := s.putManifest(ctx, repository, digestOf([]byte(emptyIndex))+"?"+q.Encode(), mediaTypeIndex, []byte(emptyIndex)); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) fillRepositories(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(pushers)
	for i := range manyRepositories {
		group.Go(func() error {
			return s.putManifest(ctx, fmt.Sprintf("team-%d/image-%d", i%97, i), tag, mediaTypeIndex, []byte(emptyIndex))
		})
	}
	return group.Wait()
}

// firstPage prints how long the first page of a list takes: the median, and the
// longest.
func (s *server) firstPage(ctx context.Context, what, path string) error {
	var took []time.Duration
	for range pageReads {
		d, err := timed(func() error {
			_, err := request(ctx, http.MethodGet, s.url(path), "", http.NoBody, 0, http.StatusOK)
			return err
		})
		if err != nil {
			return err
		}
		took = append(took, d)
	}
	ms := func(d time.Duration) float64 { return d.Seconds() * 1000 }
	fmt.Printf("| %s | | %.1f ms, at most %.1f | | | ≤ 20 ms |\n", what, ms(median(took)), ms(slices.Max(took)))
	return nil
}
