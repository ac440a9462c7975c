package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// push measures the first push of an image: into a registry that has nothing,
// stored and fsynced.
func push(ctx context.Context, s settings) error {
	var mine, theirs []time.Duration
	for round := range s.rounds {
		srv, err := startServer(ctx, s, fmt.Sprintf("push%d", round))
		if err != nil {
			return err
		}
		d, err := timed(func() error {
			_, err := srv.cloudlets(ctx, "push", s.tar, srv.ref("golden/debian:12"))
			return err
		})
		if err != nil {
			return err
		}
		mine = append(mine, d)
		if err := srv.stop(); err != nil {
			return err
		}
		if err := os.RemoveAll(srv.data); err != nil {
			return err
		}
		d, err = timed(func() error {
			return script(ctx, s.work, fmt.Sprintf("zstd -q -3 -T2 -f %s -o peer.zst; sha256sum %s >/dev/null", s.tar, s.tar))
		})
		if err != nil {
			return err
		}
		theirs = append(theirs, d)
	}
	row("push of the tar", "`zstd -3 -T2` + `sha256sum`", median(mine), median(theirs), "≥ 1×")
	return nil
}

// secondPush measures what a version with security updates adds.
func secondPush(ctx context.Context, s settings) error {
	srv, err := startServer(ctx, s, "second")
	if err != nil {
		return err
	}
	var stored, sent [2]int64
	for i, tar := range []string{s.old, s.tar} {
		storedBefore, err := srv.stored()
		if err != nil {
			return err
		}
		sentBefore, err := loopback()
		if err != nil {
			return err
		}
		if _, err := srv.cloudlets(ctx, "push", tar, srv.ref(fmt.Sprintf("golden/debian:v%d", i))); err != nil {
			return err
		}
		if stored[i], err = srv.stored(); err != nil {
			return err
		}
		if sent[i], err = loopback(); err != nil {
			return err
		}
		stored[i] -= storedBefore
		sent[i] -= sentBefore
	}
	share("second push: bytes stored", "the first push", stored[1], stored[0], "≤ 45 %")
	share("second push: bytes sent (loopback, both ways)", "the first push", sent[1], sent[0], "≤ 45 %")
	return srv.stop()
}
