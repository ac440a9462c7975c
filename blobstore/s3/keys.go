package s3

import (
	"fmt"
	"strings"

	"github.com/oklog/ulid/v2"
	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
)

// The first element of keys: of the bucket's, and of those a driver gives out.
const (
	objectsDir = "objects"
	labelsDir  = "labels"
	uploadsDir = "uploads" // the driver's only: an unsealed object
)

// name is where the bytes of an object are: <day>/<object id>-<upload id>.
type name string

// newName returns a name never used before for an object.
func newName(id ulid.ULID) name {
	return name(dayOf(id) + "/" + id.String() + "-" + ulid.Make().String())
}

// dayOf returns the day an object was begun on: it bounds how much a search for
// orphans has to look at.
func dayOf(id ulid.ULID) string { return ulid.Time(id.Time()).UTC().Format("20060102") }

// parseName is strict: names come back from an index, and nothing that is not
// ours may be reached by one that is corrupt.
func parseName(s string) (name, ulid.ULID, error) {
	day, rest, _ := strings.Cut(s, "/")
	first, second, _ := strings.Cut(rest, "-")
	id, err := ulid.ParseStrict(first)
	if err == nil {
		_, err = ulid.ParseStrict(second)
	}
	if err != nil || dayOf(id) != day {
		return "", id, fmt.Errorf("object name %q: %w: expected <yyyymmdd>/<id>-<id>", s, blobstore.ErrNotFound)
	}
	return name(s), id, nil
}

// sealedKey is the driver's key of a sealed object.
func sealedKey(n name, l blobstore.Label) string { return objectsDir + "/" + labelName(n, l) }

// unsealedKey is the driver's key of an object while it is written.
func unsealedKey(id ulid.ULID) string { return uploadsDir + "/" + id.String() }

func labelName(n name, l blobstore.Label) string {
	return fmt.Sprintf("%s.%s.%s-%s", n, l.Kind, l.Digest.Algorithm(), l.Digest.Encoded())
}

// parseLabelName is the inverse of labelName.
func parseLabelName(s string) (name, blobstore.Label, error) {
	fail := func(err error) (name, blobstore.Label, error) {
		return "", blobstore.Label{}, fmt.Errorf("object key %q: %w: %w", s, blobstore.ErrNotFound, err)
	}
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return fail(fmt.Errorf("expected <name>.<kind>.<digest>"))
	}
	n, _, err := parseName(parts[0])
	if err != nil {
		return fail(err)
	}
	algorithm, encoded, _ := strings.Cut(parts[2], "-")
	d := digest.NewDigestFromEncoded(digest.Algorithm(algorithm), encoded)
	if err := d.Validate(); err != nil {
		return fail(err)
	}
	return n, blobstore.Label{Digest: d, Kind: blobstore.Kind(parts[1])}, nil
}

// parseSealedKey is the inverse of sealedKey.
func parseSealedKey(key string) (name, blobstore.Label, error) {
	rest, ok := strings.CutPrefix(key, objectsDir+"/")
	if !ok {
		return "", blobstore.Label{}, fmt.Errorf("object key %q: %w among sealed objects", key, blobstore.ErrNotFound)
	}
	return parseLabelName(rest)
}

// parseUnsealedKey is the inverse of unsealedKey.
func parseUnsealedKey(key string) (ulid.ULID, error) {
	rest, ok := strings.CutPrefix(key, uploadsDir+"/")
	id, err := ulid.ParseStrict(rest)
	if !ok || err != nil {
		return id, fmt.Errorf("object key %q: %w among unsealed objects", key, blobstore.ErrNotFound)
	}
	return id, nil
}

// objectKey is where the bytes of an object are in the bucket.
func (d *Driver) objectKey(n name) string { return d.prefix + objectsDir + "/" + string(n) }

// labelKey is where the label of a sealed object is in the bucket.
func (d *Driver) labelKey(n name, l blobstore.Label) string {
	return d.prefix + labelsDir + "/" + labelName(n, l)
}

// idPrefix is what the keys below dir begin with that belong to one object.
func (d *Driver) idPrefix(dir string, id ulid.ULID) string {
	return d.prefix + dir + "/" + dayOf(id) + "/" + id.String() + "-"
}
