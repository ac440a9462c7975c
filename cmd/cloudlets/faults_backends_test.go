package main

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"golang.org/x/sys/unix"

	"github.com/cloudlets/cloudlets/blobstore/s3/s3test"
	"github.com/cloudlets/cloudlets/registry/metadata/pgtest"
)

// backEnd is where servers keep what they have, and what can go wrong there.
type backEnd struct {
	disk   string   // with the data directories
	flags  []string // of serve, gc and fsck
	tuning []string // of serve
	env    []string
	db     *sql.DB // to look into
	client *minio.Core
	bucket string
	faults []disturbance
	pause  time.Duration // the longest between a start and a kill
}

// disturbance is what goes wrong for a while.
type disturbance struct {
	name       string
	begin, end func() error
}

// newFiles returns a back end of files and SQLite.
func newFiles(t testing.TB, size string) *backEnd {
	b := &backEnd{disk: newDisk(t, size), pause: 700 * time.Millisecond}
	b.faults = []disturbance{b.fullDisk(size)}
	return b
}

// newBucket returns a back end of a bucket and PostgreSQL.
func newBucket(t testing.TB, size string) *backEnd {
	bucket, proxy := s3test.Bucket(t)
	database := pgtest.Start(t)
	b := &backEnd{
		disk: newDisk(t, size), bucket: bucket, pause: 1500 * time.Millisecond,
		flags:  []string{"--database", database.DSN(), "--s3-endpoint", proxy.URL, "--s3-bucket", bucket, "--s3-region", s3test.Region},
		tuning: []string{"--s3-part-size", "5242880", "--s3-cache-size", "16777216"},
		env:    []string{"AWS_ACCESS_KEY_ID=" + s3test.AccessKey, "AWS_SECRET_ACCESS_KEY=" + s3test.SecretKey},
	}
	b.db = openDB(t, "pgx", database.DSN())
	b.faults = append(b.faults, disturbance{"PostgreSQL stopped", database.Stop, database.Restart}, b.fullDisk(size))
	for name, fault := range map[string]s3test.Fault{
		"S3 answers 503": s3test.Busy, "S3 answers 500": s3test.Failing, "S3 is slow": s3test.Slow, "S3 cuts requests": s3test.CutIn,
		"S3 cuts answers": s3test.CutOut, "S3 loses answers": s3test.LostOut,
	} {
		b.faults = append(b.faults, failing(proxy, name, fault))
	}
	endpoint, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	b.client, err = minio.NewCore(endpoint.Host, &minio.Options{Region: s3test.Region, Creds: credentials.NewStaticV4(s3test.AccessKey, s3test.SecretKey, "")})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// failing lets most requests to the object store fail.
func failing(proxy *s3test.Proxy, name string, fault s3test.Fault) disturbance {
	return disturbance{
		name: name,
		begin: func() error {
			proxy.Fail(func(*http.Request) s3test.Fault {
				if rand.N(3) == 0 {
					return s3test.None
				}
				return fault
			})
			return nil
		},
		end: func() error {
			proxy.Fail(nil)
			return nil
		},
	}
}

// holder mounts a small filesystem and keeps it until its standard input ends,
// as it does even where a test does not get to its end.
const holder = `mount -t tmpfs -o size="$2" tmpfs "$1" && echo mounted && cat && umount -l "$1"`

// newDisk returns a directory on a disk of its own, of a size as mount takes it.
func newDisk(t testing.TB, size string) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("/bin/sh", "-c", holder, "sh", dir, size)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait() // it ends with its input
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "mounted\n" {
		t.Skipf("this machine allows no mounts: %q, %v", line, err)
	}
	return dir
}

// fullDisk takes the free room of the disk away, but for a little.
func (b *backEnd) fullDisk(size string) disturbance {
	resize := func(to string) error { return unix.Mount("tmpfs", b.disk, "tmpfs", unix.MS_REMOUNT, "size="+to) }
	return disturbance{
		name: "disk full",
		begin: func() error {
			var err error
			for range 10 { // servers take of it meanwhile
				var s unix.Statfs_t
				if err = unix.Statfs(b.disk, &s); err != nil {
					return err
				}
				used := int64(s.Blocks-s.Bfree) * s.Bsize
				if err = resize(strconv.FormatInt(used+rand.Int64N(200_000), 10)); err == nil {
					return nil
				}
			}
			return err
		},
		end: func() error { return resize(size) },
	}
}

func openDB(t testing.TB, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// freeAddress returns an address that nobody listens on.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// clusterNode is a server on a back end, at an address that stays.
type clusterNode struct {
	*server
	back    *backEnd
	address string
	flags   []string
}

func newNode(t testing.TB, b *backEnd, flags ...string) *clusterNode {
	t.Helper()
	n := &clusterNode{back: b, address: freeAddress(t), flags: append(flags, b.tuning...)}
	n.start(t)
	if b.db == nil {
		b.db = openDB(t, "sqlite", "file:"+filepath.Join(b.data(n), "metadata.sqlite")+"?_pragma=busy_timeout(10000)")
	}
	t.Cleanup(func() {
		n.kill()
		if t.Failed() {
			t.Logf("the end of the registry's log:\n%s", tail(n.logged(), 20_000))
		}
	})
	return n
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// data returns the data directory of a node.
func (b *backEnd) data(n *clusterNode) string {
	return filepath.Join(b.disk, strings.ReplaceAll(n.address, ":", "-"))
}

// start starts the server, which must work.
func (n *clusterNode) start(t testing.TB) {
	t.Helper()
	if err := n.try(); err != nil {
		t.Fatal(err)
	}
}

// try starts the server.
func (n *clusterNode) try() error {
	args := append([]string{"serve", "--listen", n.address, "--data", n.back.data(n)}, n.back.flags...)
	cmd := command(context.Background(), append(args, n.flags...)...)
	cmd.Env = append(cmd.Env, n.back.env...)
	s, err := launchCommand(n.back.data(n), cmd)
	if err != nil {
		return err
	}
	n.server = s
	if s.host == "" {
		return fmt.Errorf("the registry has ended at once: %w\n%s", s.status, s.logged())
	}
	return nil
}

// run runs a command on the back end, which no server may be using.
func (n *clusterNode) run(t testing.TB, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	var flags []string
	cmd := command(ctx, append(append(args, "--data", n.back.data(n)), append(flags, n.back.flags...)...)...)
	cmd.Env = append(cmd.Env, n.back.env...)
	r := finish(t, cmd)
	if r.code != 0 {
		t.Errorf("cloudlets %v: exit code %d\n%s%s", args, r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// leftovers says what is there that no blob needs, or "".
func (n *clusterNode) leftovers(ctx context.Context) (string, error) {
	var uploads, trash, rows int
	// What is kept for a day in the trash, as journals that a newer one stands for
	// are, is no leftover.
	const query = `SELECT (SELECT count(*) FROM uploads), (SELECT count(*) FROM trash WHERE doomed = 1 OR not_before <= $1),
		(SELECT count(*) FROM blobs) + (SELECT count(*) FROM trash) + (SELECT count(*) FROM journals)`
	if err := n.back.db.QueryRowContext(ctx, query, time.Now().UnixMicro()).Scan(&uploads, &trash, &rows); err != nil {
		return "", err
	}
	objects, unfinished, err := n.objects(ctx)
	if err != nil || uploads+trash+unfinished == 0 && objects == rows {
		return "", err
	}
	return fmt.Sprintf("%d uploads, %d objects due in the trash, %d unfinished in the store; %d rows name objects, %d are there",
		uploads, trash, unfinished, rows, objects), nil
}

// objects counts the objects in the store, and what else there is.
func (n *clusterNode) objects(ctx context.Context) (objects, unfinished int, err error) {
	spooled, err := countFiles(filepath.Join(n.back.data(n), "spool"))
	if err != nil {
		return 0, 0, err
	}
	if n.back.client != nil {
		objects, unfinished, err = n.back.inBucket(ctx)
		return objects, unfinished + spooled, err
	}
	unfinished, err = countFiles(filepath.Join(n.back.data(n), "uploads"))
	if err == nil {
		objects, err = countFiles(filepath.Join(n.back.data(n), "objects"))
	}
	return objects, unfinished + spooled, err
}

// inBucket counts what is in the bucket: bytes without a label are unfinished,
// and so is a label without bytes.
func (b *backEnd) inBucket(ctx context.Context) (objects, unfinished int, err error) {
	labels := 0
	for o := range b.client.ListObjectsIter(ctx, b.bucket, minio.ListObjectsOptions{Recursive: true}) {
		switch {
		case o.Err != nil:
			return 0, 0, o.Err
		case strings.HasPrefix(o.Key, "objects/"):
			objects++
		case strings.HasPrefix(o.Key, "labels/"):
			labels++
		}
	}
	page, err := b.client.ListMultipartUploads(ctx, b.bucket, "", "", "", "", 1000)
	return objects, len(page.Uploads) + max(objects-labels, labels-objects), err
}

// countFiles counts the files below a directory, which need not be there.
func countFiles(dir string) (n int, err error) {
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if path == dir && os.IsNotExist(err) {
			return fs.SkipAll
		}
		if err == nil && !e.IsDir() {
			n++
		}
		return err
	})
	return n, err
}
