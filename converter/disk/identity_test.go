package disk

import (
	"regexp"
	"testing"

	"github.com/cloudlets/cloudlets/converter/boot"
)

func TestIdentitiesFollowFromTheSeed(t *testing.T) {
	a, again, b := deriveIdentities("sha256:a"), deriveIdentities("sha256:a"), deriveIdentities("sha256:b")
	if a != again {
		t.Errorf("the same seed gives %+v and %+v", a, again)
	}
	version8 := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := make(map[[16]byte]bool)
	for _, ids := range []identities{a, b} {
		for _, id := range [][16]byte{ids.disk, ids.biosBoot, ids.esp, ids.root, ids.filesystem, ids.hashSeed} {
			if seen[id] {
				t.Errorf("%s is there twice", boot.FormatUUID(id))
			}
			seen[id] = true
			if !version8.MatchString(boot.FormatUUID(id)) {
				t.Errorf("%s is not a UUID of version 8", boot.FormatUUID(id))
			}
		}
	}
	if a.volume == b.volume {
		t.Errorf("two seeds give the volume serial number %#x", a.volume)
	}
}
