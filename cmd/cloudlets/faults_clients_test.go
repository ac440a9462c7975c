package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// errUnavailable says that a request was not acknowledged: it may have been
// carried out or not.
var errUnavailable = errors.New("not acknowledged")

// caller makes requests to registries.
type caller struct {
	http   *http.Client
	hosts  []string // that are asked in turn
	turn   int
	ledger *ledger

	begun  time.Time // the last upload
	expiry time.Duration
}

func newCaller(l *ledger, expiry time.Duration, hosts ...string) *caller {
	transport := &http.Transport{MaxIdleConnsPerHost: 2, DisableCompression: true}
	return &caller{http: &http.Client{Transport: transport, Timeout: time.Minute}, hosts: hosts, ledger: l, expiry: expiry}
}

// url returns the URL of a path, which may be one already.
func (c *caller) url(path string) string {
	c.turn++
	if u, err := url.Parse(path); err == nil {
		path = u.RequestURI()
	}
	return "http://" + c.hosts[c.turn%len(c.hosts)] + path
}

// stale says whether an upload that was touched then may have expired.
func (c *caller) stale(touched time.Time) bool { return time.Since(touched) > c.expiry*9/10 }

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// call makes a request. The error is errUnavailable where the registry did not
// answer, or answered that it failed.
func (c *caller) call(method, path string, header map[string]string, body io.Reader) (answer, error) {
	req, err := http.NewRequestWithContext(context.Background(), method, c.url(path), body)
	if err != nil {
		return answer{}, err
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, fmt.Errorf("%w: %w", errUnavailable, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, fmt.Errorf("%w: %w", errUnavailable, err)
	}
	if resp.StatusCode >= http.StatusInternalServerError {
		c.ledger.failed(method+" "+path, resp.StatusCode, string(b))
		return answer{}, errUnavailable
	}
	return answer{resp.StatusCode, resp.Header, string(b)}, nil
}

// want makes a request that is answered with a status, or not at all.
func (c *caller) want(status int, method, path string, header map[string]string, body io.Reader) (answer, error) {
	a, err := c.call(method, path, header, body)
	if err == nil && a.status == http.StatusNotFound && a.status != status && strings.Contains(path, "/uploads/") && c.stale(c.begun) {
		return a, errUnavailable
	}
	if err == nil && a.status != status {
		c.ledger.breachf("%s %s: got %d %s, want %d", method, path, a.status, a.body, status)
		err = errUnavailable
	}
	return a, err
}

// pushedBlob is a blob that was acknowledged.
type pushedBlob struct {
	digest digest.Digest
	size   int
}

// pusher pushes to a repository in all ways there are. Everything it pushes is
// pushed once.
type pusher struct {
	*caller
	repo string
	rand *rand.Rand

	untagged []pushedImage // to be deleted
	last     pushedImage   // to be mounted from, and referred to
}

type pushedImage struct {
	digest digest.Digest
	blobs  []pushedBlob
}

func newPusher(c *caller, repo string) *pusher {
	return &pusher{caller: c, repo: repo, rand: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))}
}

// step does one thing.
func (p *pusher) step() error {
	steps := []struct {
		weight int
		do     func() error
	}{
		{10, p.pushImage},
		{2, p.pushReferrer},
		{2, p.mount},
		{2, p.breakOff},
		{1, p.leave},
		{1, p.cancel},
		{1, p.deleteImage},
		{1, p.deleteTag},
	}
	total := 0
	for _, s := range steps {
		total += s.weight
	}
	n := p.rand.IntN(total)
	for _, s := range steps {
		if n -= s.weight; n < 0 {
			return s.do()
		}
	}
	return nil
}

// content returns bytes that were never pushed before: mostly few, sometimes
// enough for several parts.
func (p *pusher) content() []byte {
	size := 1 + p.rand.IntN(100<<p.rand.IntN(9))
	if p.rand.IntN(200) == 0 {
		size = 1<<20 + p.rand.IntN(12<<20)
	}
	b := make([]byte, size+8) // different from all others, in a repository
	for i := 0; i < len(b); i += 8 {
		v := p.rand.Uint64()
		for j := i; j < min(i+8, len(b)); j++ {
			b[j] = byte(v >> (8 * (j - i)))
		}
	}
	return b
}

func (p *pusher) blobPath(d digest.Digest) string { return "/v2/" + p.repo + "/blobs/" + string(d) }
func (p *pusher) manifestPath(reference string) string {
	return "/v2/" + p.repo + "/manifests/" + reference
}

// pushBlob pushes a blob in one of the ways there are.
func (p *pusher) pushBlob(content []byte) (pushedBlob, error) {
	d := digest.FromBytes(content)
	ways := []func([]byte, digest.Digest) error{p.pushWhole, p.pushEnded, p.pushStreamed, p.pushChunks}
	if err := ways[p.rand.IntN(len(ways))](content, d); err != nil {
		return pushedBlob{}, err
	}
	p.ledger.settle(p.blobPath(d), d)
	return pushedBlob{d, len(content)}, nil
}

func (p *pusher) pushWhole(content []byte, d digest.Digest) error {
	_, err := p.want(http.StatusCreated, http.MethodPost, "/v2/"+p.repo+"/blobs/uploads/?digest="+string(d), nil, bytes.NewReader(content))
	return err
}

// begin begins an upload and returns where it is.
func (p *pusher) begin() (location string, err error) {
	a, err := p.want(http.StatusAccepted, http.MethodPost, "/v2/"+p.repo+"/blobs/uploads/", nil, nil)
	p.begun = time.Now()
	return a.header.Get("Location"), err
}

func withDigest(location string, d digest.Digest) string { return location + "?digest=" + string(d) }

func (p *pusher) pushEnded(content []byte, d digest.Digest) error {
	at, err := p.begin()
	if err == nil {
		_, err = p.want(http.StatusCreated, http.MethodPut, withDigest(at, d), nil, bytes.NewReader(content))
	}
	return err
}

// unsized hides the length of what is read, so that it is sent in HTTP's chunks.
type unsized struct{ io.Reader }

func (p *pusher) pushStreamed(content []byte, d digest.Digest) error {
	at, err := p.begin()
	if err == nil {
		_, err = p.want(http.StatusAccepted, http.MethodPatch, at, nil, unsized{bytes.NewReader(content)})
	}
	if err == nil {
		_, err = p.want(http.StatusCreated, http.MethodPut, withDigest(at, d), nil, nil)
	}
	return err
}

// manifest returns an image manifest.
func manifestOf(config pushedBlob, layers []pushedBlob, extra string) []byte {
	describe := func(d pushedBlob, mediaType string) string {
		return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, mediaType, d.digest, d.size)
	}
	var described []string
	for _, l := range layers {
		described = append(described, describe(l, "application/vnd.example.layer"))
	}
	return fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s]%s}`, ociManifest,
		describe(config, "application/vnd.example.config"), strings.Join(described, ","), extra)
}

const ociManifest = "application/vnd.oci.image.manifest.v1+json"

// tags is how many tags a pusher moves around.
const tags = 5

func (p *pusher) tag() string { return fmt.Sprintf("t%d", p.rand.IntN(tags)) }

// pushImage pushes an image, with a tag or by its digest.
func (p *pusher) pushImage() error {
	img, raw, err := p.pushParts("")
	if err != nil {
		return err
	}
	if p.rand.IntN(4) == 0 {
		if err := p.putManifest(string(img.digest), raw, img.digest); err == nil {
			p.untagged = append(p.untagged, img)
		}
		return err
	}
	err = p.putManifest(p.tag(), raw, img.digest)
	if err == nil {
		p.last = img
	}
	return err
}

// pushParts pushes what an image is made of and returns its manifest, which is
// like no other.
func (p *pusher) pushParts(extra string) (pushedImage, []byte, error) {
	var img pushedImage
	for range 1 + p.rand.IntN(3) {
		b, err := p.pushBlob(p.content())
		if err != nil {
			return img, nil, err
		}
		img.blobs = append(img.blobs, b)
	}
	raw := manifestOf(img.blobs[0], img.blobs[1:], extra)
	img.digest = digest.FromBytes(raw)
	return img, raw, nil
}

func (p *pusher) putManifest(reference string, raw []byte, d digest.Digest) error {
	path := p.manifestPath(reference)
	p.ledger.attempt(path, d)
	_, err := p.want(http.StatusCreated, http.MethodPut, path, map[string]string{"Content-Type": ociManifest}, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	p.ledger.settle(path, d)
	if by := p.manifestPath(string(d)); by != path {
		p.ledger.settle(by, d)
	}
	return nil
}

// pushReferrer pushes what refers to the last image.
func (p *pusher) pushReferrer() error {
	subject := p.last.digest
	if subject == "" {
		return nil
	}
	img, raw, err := p.pushParts(fmt.Sprintf(`,"artifactType":"application/vnd.example.signature","subject":{"mediaType":%q,"digest":%q,"size":1}`, ociManifest, subject))
	if err != nil {
		return err
	}
	if err := p.putManifest(string(img.digest), raw, img.digest); err != nil {
		return err
	}
	p.ledger.refer("/v2/"+p.repo+"/referrers/"+string(subject), img.digest)
	return nil
}

// mount mounts a blob into another repository.
func (p *pusher) mount() error {
	if len(p.last.blobs) == 0 {
		return nil
	}
	d := p.last.blobs[0].digest
	to := p.repo + "/mounted"
	_, err := p.want(http.StatusCreated, http.MethodPost, fmt.Sprintf("/v2/%s/blobs/uploads/?mount=%s&from=%s", to, d, p.repo), nil, nil)
	if err == nil {
		p.ledger.settle("/v2/"+to+"/blobs/"+string(d), d)
	}
	return err
}

// broken is content that ends early.
type broken struct{ io.Reader }

func (b broken) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = errors.New("the client goes away")
	}
	return n, err
}

// breakOff goes away in the middle of a request.
func (p *pusher) breakOff() error {
	content := p.content()
	at, err := p.begin()
	if err != nil {
		return err
	}
	half := bytes.NewReader(content[:len(content)/2])
	switch p.rand.IntN(3) {
	case 0:
		_, err = p.call(http.MethodPatch, at, nil, broken{half})
	case 1:
		_, err = p.call(http.MethodPut, withDigest(at, digest.FromBytes(content)), nil, broken{half})
	default:
		_, err = p.call(http.MethodPost, "/v2/"+p.repo+"/blobs/uploads/?digest="+string(digest.FromBytes(content)), nil, broken{half})
	}
	if err == nil {
		p.ledger.breachf("a request that broke off was answered")
	}
	return nil
}

// leave begins an upload and forgets it.
func (p *pusher) leave() error {
	at, err := p.begin()
	if err != nil {
		return err
	}
	_, err = p.want(http.StatusAccepted, http.MethodPatch, at, nil, bytes.NewReader(p.content()))
	return err
}

// cancel cancels an upload.
func (p *pusher) cancel() error {
	at, err := p.begin()
	if err != nil {
		return err
	}
	if _, err := p.want(http.StatusAccepted, http.MethodPatch, at, nil, bytes.NewReader(p.content())); err != nil {
		return err
	}
	if _, err := p.want(http.StatusNoContent, http.MethodDelete, at, nil, nil); err != nil {
		return err
	}
	_, err = p.want(http.StatusNotFound, http.MethodGet, at, nil, nil)
	return err
}

// deleteImage deletes an image that has no tag, and its blobs.
func (p *pusher) deleteImage() error {
	if len(p.untagged) == 0 {
		return nil
	}
	img := p.untagged[0]
	p.untagged = p.untagged[1:]
	if err := p.remove(p.manifestPath(string(img.digest))); err != nil {
		return err
	}
	for _, b := range img.blobs {
		if err := p.remove(p.blobPath(b.digest)); err != nil {
			return err
		}
	}
	return nil
}

func (p *pusher) deleteTag() error {
	path := p.manifestPath(p.tag())
	if slices.Contains(p.ledger.know(path).may, absent) {
		return nil
	}
	return p.remove(path)
}

func (p *pusher) remove(path string) error {
	p.ledger.attempt(path, absent)
	_, err := p.want(http.StatusAccepted, http.MethodDelete, path, nil, nil)
	if err == nil {
		p.ledger.settle(path, absent)
	}
	return err
}
