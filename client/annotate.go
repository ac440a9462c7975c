package client

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ParseAnnotations reads annotations that are written KEY=VALUE. An empty value
// is one.
func ParseAnnotations(list []string) (map[string]string, error) {
	annotations := make(map[string]string, len(list))
	for _, a := range list {
		key, value, ok := strings.Cut(a, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("annotation %q: expected KEY=VALUE", a)
		}
		if _, twice := annotations[key]; twice {
			return nil, fmt.Errorf("annotation %s is given twice", key)
		}
		annotations[key] = value
	}
	return annotations, nil
}

// SourceDate reads the value of SOURCE_DATE_EPOCH, in seconds since 1970. It
// returns nil where it is empty.
//
// Source: https://reproducible-builds.org/specs/source-date-epoch/
func SourceDate(value string) (*time.Time, error) {
	if value == "" {
		return nil, nil
	}
	const latest = 253402300799 // the last second that RFC 3339 can write
	seconds, err := strconv.ParseInt(value, 10, 64)
	if err != nil || seconds < 0 || seconds > latest {
		return nil, fmt.Errorf("SOURCE_DATE_EPOCH %q: expected seconds since 1970", value)
	}
	t := time.Unix(seconds, 0).UTC()
	return &t, nil
}

// AnnotateBase adds the name and the digest of what the repository's reference
// names, as the image that another is made from.
func (r *Repository) AnnotateBase(ctx context.Context, annotations map[string]string) error {
	m, err := r.Manifest(ctx)
	if err != nil {
		return fmt.Errorf("base image: %w", err)
	}
	annotations[ocispec.AnnotationBaseImageName] = r.Reference.String()
	annotations[ocispec.AnnotationBaseImageDigest] = m.Descriptor.Digest.String()
	return nil
}
