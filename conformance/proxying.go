package main

import (
	"fmt"
	"net/http"
)

const (
	headerNamespace = "OCI-Namespace"
	// nowhere is a registry that does not exist, and that nobody is a proxy of.
	nowhere = "registry.invalid"
)

// proxyGroup asks with the name of another registry, as clients of proxies do.
// A registry that is no proxy of it answers as ever, or that there is nothing.
func proxyGroup() group {
	const section = "Registry Proxying"
	return group{"proxying", []test{
		{"manifest", "end-3", must, section, true, func(t *trial) {
			m := t.pushTagged("proxying")[0]
			for _, reference := range []string{m.tag, string(m.digest)} {
				t.wantOwn(manifestPath(t.repo, reference), m.raw)
			}
		}},
		{"blob", "end-2", must, section, true, func(t *trial) {
			content := random(smallChunk)
			t.wantOwn(blobPath(t.repo, t.pushBlob(t.repo, algorithms[0], content)), content)
		}},
		{"tag list", "end-8a", must, section, true, func(t *trial) {
			t.pushTagged("proxying")
			t.wantOwn(tagsPath(t.repo), nil)
		}},
	}}
}

// wantOwn fails the test unless GET with the name of another registry is
// answered from the registry's own content, which is nil for any, or 404.
func (t *trial) wantOwn(path string, content []byte) {
	a := t.do("GET", withQuery(path, "ns", nowhere), nil).want(http.StatusOK, http.StatusNotFound)
	if ns := a.header.Get(headerNamespace); ns != "" {
		a.failf(fmt.Sprintf("no %s: nobody is a proxy of %s", headerNamespace, nowhere), "%s", ns)
	}
	if a.is(http.StatusOK) && content != nil {
		a.wantBody(content)
	}
}
