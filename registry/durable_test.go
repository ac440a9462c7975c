package registry_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/blobstore/file"
	"github.com/cloudlets/cloudlets/registry"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

// serveVariable names the directory that a child process of the tests serves.
const serveVariable = "CLOUDLETS_TEST_SERVE"

// TestMain lets the test binary be the server that tests kill.
func TestMain(m *testing.M) {
	if dir := os.Getenv(serveVariable); dir != "" {
		if err := serve(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// serve serves the registry in dir, after printing its address.
func serve(dir string) error {
	go func() { // end with the test, even if it crashes
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	ctx := context.Background()
	meta, err := metadata.OpenSQLite(ctx, filepath.Join(dir, "registry.db"), metadata.Options{})
	if err != nil {
		return err
	}
	driver, err := file.New(filepath.Join(dir, "blobs"))
	if err != nil {
		return err
	}
	blobs, err := blobstore.New(driver, meta)
	if err != nil {
		return err
	}
	server, err := registry.New(registry.Config{Blobs: blobs, Metadata: meta})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	return http.Serve(listener, server)
}

// child is a server in a process of its own.
type child struct {
	url string
	cmd *exec.Cmd
}

func startChild(t *testing.T, dir string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serveVariable+"="+dir)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe() // its end tells the child that we are gone
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: cmd}
	t.Cleanup(func() {
		stdin.Close()
		c.kill()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the server did not start: %v", err)
	}
	c.url = "http://" + strings.TrimSpace(line)
	return c
}

// kill ends the process as kill -9 does.
func (c *child) kill() {
	_ = c.cmd.Process.Kill() // it may be dead already
	_ = c.cmd.Wait()
}

// pushed remembers what was acknowledged.
type pushed struct {
	mu    sync.Mutex
	blobs map[string][]byte // path → content
	tags  map[string][]byte // path → manifest
	more  chan struct{}     // a message for every tag
}

func (p *pushed) blob(path string, content []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.blobs[path] = content
}

func (p *pushed) tag(path string, raw []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tags[path] = raw
	select {
	case p.more <- struct{}{}:
	default: // nobody waits any more
	}
}

// wait waits until n more tags were acknowledged, and says whether they were
// before the pushers stopped.
func (p *pushed) wait(n int, stopped <-chan struct{}) bool {
	for range n {
		select {
		case <-p.more:
		case <-stopped:
			return false
		}
	}
	return true
}

// TestAcknowledgedWritesSurviveKill kills the server again and again while
// images are pushed to it, and pulls whatever it had acknowledged.
func TestAcknowledgedWritesSurviveKill(t *testing.T) {
	rounds := 10
	if testing.Short() {
		rounds = 3
	}
	const pushers = 4
	dir := t.TempDir()
	all := &pushed{blobs: map[string][]byte{}, tags: map[string][]byte{}, more: make(chan struct{})}
	for round := range rounds {
		server := startChild(t, dir)
		var group sync.WaitGroup
		for p := range pushers {
			group.Go(func() { pushUntilKilled(server.url, fmt.Sprintf("%d-%d", round, p), all) })
		}
		stopped := make(chan struct{})
		go func() {
			group.Wait()
			close(stopped)
		}()
		if !all.wait(1+rand.IntN(20), stopped) {
			t.Fatal("a push failed before the server was killed")
		}
		time.Sleep(rand.N(20 * time.Millisecond)) // into the middle of something
		server.kill()
		<-stopped
	}
	server := startChild(t, dir)
	t.Logf("%d blobs and %d manifests were acknowledged", len(all.blobs), len(all.tags))
	for path, content := range all.blobs {
		if r := do(t, server.url, "GET", path, nil); r.status != 200 || string(r.body) != string(content) {
			t.Errorf("%s: got status %d and %d bytes, want %d", path, r.status, len(r.body), len(content))
		}
	}
	for path, raw := range all.tags {
		if r := do(t, server.url, "GET", path, nil); r.status != 200 || string(r.body) != string(raw) {
			t.Errorf("%s: got status %d: %s", path, r.status, r.body)
		}
	}
}

// pushUntilKilled pushes images of one blob until the server does not answer.
func pushUntilKilled(base, id string, all *pushed) {
	client := &http.Client{}
	defer client.CloseIdleConnections()
	for i := 0; ; i++ {
		name := fmt.Sprintf("pushed/%s", id)
		content := fmt.Appendf(nil, "%s %d ", id, i)
		content = append(content, make([]byte, rand.IntN(200_000))...)
		d := digest.FromBytes(content)
		location, err := send(client, "POST", base+"/v2/"+name+"/blobs/uploads/", nil, 202)
		if err == nil {
			location, err = send(client, "PATCH", base+location, content, 202)
		}
		if err == nil {
			_, err = send(client, "PUT", base+withDigest(location, d), nil, 201)
		}
		if err != nil {
			return
		}
		all.blob("/v2/"+name+"/blobs/"+string(d), content)
		raw := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[]}`, ociManifest, desc("x", d, ""))
		path := fmt.Sprintf("/v2/%s/manifests/v%d", name, i)
		if _, err := send(client, "PUT", base+path, raw, 201); err != nil {
			return
		}
		all.tag(path, raw)
	}
}

// send sends a request and returns the Location of the answer.
func send(client *http.Client, method, target string, body []byte, want int) (string, error) {
	r, err := http.NewRequest(method, target, strings.NewReader(string(body)))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", ociManifest)
	resp, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return "", err
	}
	if resp.StatusCode != want {
		return "", fmt.Errorf("status %d", resp.StatusCode)
	}
	return resp.Header.Get("Location"), nil
}

func TestUploadGoesOnAfterKill(t *testing.T) {
	dir := t.TempDir()
	content := []byte(strings.Repeat("0123456789", 10_000))
	chunks := split(content, 4)
	server := startChild(t, dir)
	at := begin(t, server.url, "a", "?digest-algorithm=sha512")
	for _, chunk := range chunks {
		server.kill()
		server = startChild(t, dir)
		do(t, server.url, "PATCH", at, chunk.bytes, chunk.header).want(t, 202)
	}
	server.kill()
	server = startChild(t, dir)
	do(t, server.url, "GET", at, nil).want(t, 204).wantHeader(t, "Range", fmt.Sprintf("0-%d", len(content)-1))
	d := digest.SHA512.FromBytes(content)
	r := do(t, server.url, "PUT", withDigest(at, d), nil).want(t, 201)
	wantBlob(t, server.url, r.location(), content, d)
}

// TestBrokenPatchIsKept breaks a streamed upload off and goes on from where the
// registry says it is.
func TestBrokenPatchIsKept(t *testing.T) {
	f := start(t, nil)
	content := []byte(strings.Repeat("0123456789", 100_000))
	at := begin(t, f.url, "a", "")
	body, w := io.Pipe()
	go func() {
		w.Write(content[:len(content)/2])
		w.CloseWithError(errors.New("the line is cut"))
	}()
	r, err := http.NewRequestWithContext(t.Context(), "PATCH", f.url+at, body)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := http.DefaultTransport.RoundTrip(r); err == nil {
		t.Fatalf("got status %d for half a request", resp.StatusCode)
	}
	last := waitForUpload(t, f.url, at)
	rest := content[last+1:]
	do(t, f.url, "PATCH", at, rest, header("Content-Range", fmt.Sprintf("%d-%d", last+1, len(content)-1))).want(t, 202)
	do(t, f.url, "PUT", withDigest(at, digest.FromBytes(content)), nil).want(t, 201)
}

// waitForUpload waits until something of an upload was saved and returns the
// offset of its last byte.
func waitForUpload(t *testing.T, base, at string) (last int) {
	t.Helper()
	for range 500 {
		status := do(t, base, "GET", at, nil).want(t, 204)
		if _, err := fmt.Sscanf(status.header.Get("Range"), "0-%d", &last); err != nil {
			t.Fatal(err)
		}
		if last > 0 {
			return last
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("nothing was kept")
	return 0
}

func TestRacingChunksHaveOneWinner(t *testing.T) {
	f := start(t, nil)
	at := begin(t, f.url, "a", "")
	contents := make([][]byte, 8)
	statuses := make([]int, len(contents))
	var group sync.WaitGroup
	for i := range contents {
		contents[i] = bytes.Repeat([]byte{byte(i)}, 4<<20)
		chunk := split(contents[i], 1)[0]
		group.Go(func() { statuses[i] = do(t, f.url, "PATCH", at, chunk.bytes, chunk.header).status })
	}
	group.Wait()
	winner := slices.Index(statuses, 202)
	count := map[int]int{}
	for _, status := range statuses {
		count[status]++
	}
	if count[202] != 1 || count[416] != len(statuses)-1 {
		t.Fatalf("got the statuses %v, want one 202 and 416 otherwise", statuses)
	}
	d := digest.FromBytes(contents[winner])
	r := do(t, f.url, "PUT", withDigest(at, d), nil).want(t, 201)
	wantBlob(t, f.url, r.location(), contents[winner], d)
}
