package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// inGit keeps a checked out rootfs in git too, in a repository that stands beside
// it, so that the rootfs is the same for both.
const inGit = `
export GIT_DIR=%[1]s/rootfs.git GIT_WORK_TREE=%[1]s/rootfs GIT_CONFIG_GLOBAL=/dev/null
git init -q
git add -A -f
git -c user.name=bench -c user.email=bench@example.org -c gc.auto=0 commit -q -m base
git status --porcelain`

// commit measures how long it takes to find that nothing is to be committed.
func commit(ctx context.Context, s settings) error {
	srv, err := startServer(ctx, s, "commit")
	if err != nil {
		return err
	}
	rootfs, ref := filepath.Join(s.work, "rootfs"), srv.ref("golden/debian:12")
	// Both sides are started by a shell, and find what they keep below the work.
	ours := func(args string) error {
		return script(ctx, s.work, fmt.Sprintf("export XDG_STATE_HOME=%s; exec %s -q %s >/dev/null 2>&1", s.work, s.binary, args))
	}
	if _, err := srv.cloudlets(ctx, "push", s.tar, ref); err != nil {
		return err
	}
	if err := ours("checkout " + ref + " " + rootfs); err != nil {
		return err
	}
	if err := script(ctx, s.work, fmt.Sprintf(inGit, s.work)); err != nil {
		return err
	}
	const more = 4 // times the rounds, because each is short
	took, err := alternate(more*s.rounds, nil,
		func(int) error { return ours("commit " + rootfs + " " + ref + " -m nothing") },
		func(int) error {
			return script(ctx, rootfs, fmt.Sprintf("GIT_DIR=%s/rootfs.git GIT_WORK_TREE=. exec git status >/dev/null", s.work))
		})
	if err != nil {
		return err
	}
	fmt.Printf("| commit of an unchanged directory | `git status` after `git add` and `git commit` | %.0f ms | %.0f ms | %s | ≥ 1× |\n",
		took[0].Seconds()*1000, took[1].Seconds()*1000, times(took[1].Seconds()/took[0].Seconds()))
	return srv.stop()
}

// compare measures the difference of two versions by reference, and what is
// transferred for it.
func compare(ctx context.Context, s settings) error {
	srv, err := startServer(ctx, s, "compare")
	if err != nil {
		return err
	}
	var content int64
	refs := []string{srv.ref("golden/debian:12-old"), srv.ref("golden/debian:12")}
	for i, tar := range []string{s.old, s.tar} {
		if _, err := srv.cloudlets(ctx, "push", tar, refs[i]); err != nil {
			return err
		}
		info, err := os.Stat(tar)
		if err != nil {
			return err
		}
		content += info.Size()
	}
	before, err := loopback()
	if err != nil {
		return err
	}
	took, err := alternate(s.rounds, nil, func(int) error {
		_, err := srv.cloudlets(ctx, "diff", refs[0], refs[1])
		return err
	})
	if err != nil {
		return err
	}
	after, err := loopback()
	if err != nil {
		return err
	}
	fmt.Printf("| diff of two versions by reference | | %.0f ms | | | ≤ 1 s |\n", took[0].Seconds()*1000)
	share("the same: bytes sent (loopback, both ways)", "the two tars", (after-before)/int64(s.rounds), content, "")
	return srv.stop()
}
