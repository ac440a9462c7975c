package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
)

const (
	// wrkSeconds is how long one measurement of requests lasts.
	wrkSeconds = 3
	// smallBlob is the size of a small blob: a config, say, in bytes.
	smallBlob = 1500

	mediaTypeManifest = "application/vnd.oci.image.manifest.v1+json"
)

// rates measures how many small requests a second are answered.
func rates(ctx context.Context, s settings) (err error) {
	ours, err := startServer(ctx, s, "rates")
	if err != nil {
		return err
	}
	running := []*process{ours.process}
	defer func() { err = errors.Join(err, stopAll(running)) }()
	for _, start := range []func(context.Context, settings) (*process, error){startDistribution, startDebian} {
		p, err := start(ctx, s)
		if err != nil {
			return err
		}
		running = append(running, p)
	}
	img, err := makeImage()
	if err != nil {
		return err
	}
	for _, registry := range running {
		if err := img.push(ctx, registry); err != nil {
			return fmt.Errorf("push to %s: %w", registry.name, err)
		}
	}
	nginx, files, err := startNginx(ctx, s)
	if err != nil {
		return err
	}
	running = append(running, nginx)
	if err := os.WriteFile(filepath.Join(files, "manifest"), img.manifest, 0o644); err != nil {
		return err
	}
	for _, w := range img.workloads() {
		if err := w.measure(ctx, s, running); err != nil {
			return err
		}
	}
	return nil
}

// image is a small image: its config is the small blob.
type image struct {
	config, manifest []byte
}

func makeImage() (image, error) {
	config := make([]byte, smallBlob)
	if _, err := rand.Read(config); err != nil {
		return image{}, err
	}
	return image{config, fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},"layers":[]}`,
		mediaTypeManifest, digestOf(config), len(config))}, nil
}

// repository and tag are where the image is.
const (
	repository = "golden/debian"
	tag        = "12"
)

func (i image) push(ctx context.Context, p *process) error {
	if err := p.uploadBlob(ctx, repository, digestOf(i.config), bytes.NewReader(i.config), int64(len(i.config))); err != nil {
		return err
	}
	return p.putManifest(ctx, repository, tag, mediaTypeManifest, i.manifest)
}

// workload is one kind of request.
type workload struct {
	what, method, path string
	file               string // the same for nginx, or ""
	bars               map[string]string
}

func (i image) workloads() []workload {
	manifests, blobs := "/v2/"+repository+"/manifests/", "/v2/"+repository+"/blobs/"
	var all []workload
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		for _, reference := range []string{tag, digestOf(i.manifest)} {
			what := "digest"
			if reference == tag {
				what = "tag"
			}
			all = append(all, workload{
				what: "manifest " + method + " by " + what, method: method, path: manifests + reference, file: "/manifest",
				bars: map[string]string{distributionAddress: "≥ 5×", nginxAddress: "≥ 0.65×"},
			})
		}
	}

	return append(all, workload{
		what: fmt.Sprintf("blob GET, %d bytes", smallBlob), method: http.MethodGet, path: blobs + digestOf(i.config),
		bars: map[string]string{distributionAddress: "≥ 15×"},
	})
}

// measure measures the servers in turn; the first is ours.
func (w workload) measure(ctx context.Context, s settings, servers []*process) error {
	rates := make(map[string][]float64)
	for range s.rounds {
		for _, p := range servers {
			path := w.path
			if p.address == nginxAddress {
				path = w.file
			}
			if path == "" {
				continue
			}
			rate, err := w.rate(ctx, p, path)
			if err != nil {
				return err
			}
			rates[p.address] = append(rates[p.address], rate)
		}
	}
	ours := median(rates[servers[0].address])
	for _, p := range servers[1:] {
		if measured := rates[p.address]; measured != nil {
			theirs := median(measured)
			fmt.Printf("| %s | %s | %.0f/s | %.0f/s | %s | %s |\n", w.what, p.name, ours, theirs, times(ours/theirs), w.bars[p.address])
		}
	}
	return nil
}

var (
	wrkRate   = regexp.MustCompile(`Requests/sec: +([0-9.]+)`)
	wrkFailed = regexp.MustCompile(`Non-2xx|Socket errors`)
)

// rate returns how many requests a second a server answers.
func (w workload) rate(ctx context.Context, p *process, path string) (float64, error) {
	if w.method == http.MethodHead {
		return headRate(ctx, p.address, path)
	}
	return getRate(ctx, p.url(path))
}

// getRate returns how many GET requests a second are answered over 16
// connections.
func getRate(ctx context.Context, url string) (float64, error) {
	out, err := run1(ctx, "wrk", "-t1", "-c16", fmt.Sprintf("-d%ds", wrkSeconds), "-H", "Accept: "+mediaTypeManifest, url)
	if err != nil {
		return 0, err
	}
	found := wrkRate.FindStringSubmatch(out)
	if found == nil || wrkFailed.MatchString(out) {
		return 0, fmt.Errorf("GET %s is not answered as it should be: %s", url, out)
	}
	return strconv.ParseFloat(found[1], 64)
}
