package registry

import "strings"

// endpoint is one of the specification's, whatever the method.
type endpoint int

const (
	endpointNone      endpoint = iota // not one of ours: 404
	endpointBase                      // /v2/
	endpointCatalog                   // /v2/_catalog
	endpointBlob                      // /v2/<name>/blobs/<digest>
	endpointUploads                   // /v2/<name>/blobs/uploads/
	endpointUpload                    // /v2/<name>/blobs/uploads/<id>
	endpointManifest                  // /v2/<name>/manifests/<reference>
	endpointTags                      // /v2/<name>/tags/list
	endpointReferrers                 // /v2/<name>/referrers/<digest>
	endpointExtension                 // /v2/<name>/_cloudlets/<component>/<rest>
)

// route is what a path asks for. Nothing in it is checked yet.
type route struct {
	endpoint  endpoint
	name      string // of the repository
	reference string // the digest, tag, upload, or component of an extension
	rest      string // of an extension's path
}

// extensionMark sets our extensions apart: no repository name has a part that
// begins with an underscore.
const extensionMark = "/_cloudlets/"

// parseRoute finds what a path asks for. Names of repositories have slashes and
// may have parts such as "blobs", so a path is read from its end.
func parseRoute(path string) route {
	rest, ok := strings.CutPrefix(path, "/v2/")
	switch {
	case path == "/v2" || ok && rest == "":
		return route{endpoint: endpointBase}
	case !ok:
		return route{}
	case rest == "_catalog":
		return route{endpoint: endpointCatalog}
	}
	if name, tail, ok := strings.Cut(rest, extensionMark); ok {
		component, tail, _ := strings.Cut(tail, "/")
		return route{endpoint: endpointExtension, name: name, reference: component, rest: tail}
	}
	head, last := cutLast(rest)
	name, kind := cutLast(head)
	if name == "" {
		return route{}
	}
	switch {
	case kind == "manifests":
		return route{endpoint: endpointManifest, name: name, reference: last}
	case kind == "blobs" && last == "uploads":
		return route{endpoint: endpointUploads, name: name}
	case kind == "blobs":
		return route{endpoint: endpointBlob, name: name, reference: last}
	case kind == "tags" && last == "list":
		return route{endpoint: endpointTags, name: name}
	case kind == "referrers":
		return route{endpoint: endpointReferrers, name: name, reference: last}
	case kind == "uploads":
		return parseUpload(name, last)
	}
	return route{}
}

// parseUpload finds what a path that ends in <head>/uploads/<last> asks for.
func parseUpload(head, last string) route {
	name, kind := cutLast(head)
	switch {
	case kind != "blobs" || name == "":
		return route{}
	case last == "":
		return route{endpoint: endpointUploads, name: name}
	}
	return route{endpoint: endpointUpload, name: name, reference: last}
}

// cutLast cuts a path before and after its last slash.
func cutLast(path string) (head, last string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}
