package api

// ComponentQuarantine is the part of the extension that tells which blobs of a
// repository are damaged and not served:
//
//	GET …/_cloudlets/quarantine   those whose own object is damaged: []Quarantined
//
// ?last=<digest> goes on after one, for there are at most [MaxQuarantined] in an
// answer. It needs the right to administer the repository.
const ComponentQuarantine = "quarantine"

// MaxQuarantined is how many blobs are in one answer.
const MaxQuarantined = 1000

// Quarantined is a blob that was found damaged.
type Quarantined struct {
	Digest string `json:"digest"`
	Size   int64  `json:"size"`  // in bytes
	Since  string `json:"since"` // RFC 3339
	Reason string `json:"reason"`
}
