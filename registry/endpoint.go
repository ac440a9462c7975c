package registry

// endpointNames are what the endpoints are called in metrics and logs.
var endpointNames = [...]string{
	endpointNone:      "none",
	endpointBase:      "base",
	endpointCatalog:   "catalog",
	endpointBlob:      "blob",
	endpointUploads:   "uploads",
	endpointUpload:    "upload",
	endpointManifest:  "manifest",
	endpointTags:      "tags",
	endpointReferrers: "referrers",
	endpointExtension: "extension",
}

// EndpointName returns what the endpoint of a path is called: one of a few
// words, whatever the path.
func EndpointName(path string) string { return endpointNames[parseRoute(path).endpoint] }
