package nbd

import (
	"context"
	"slices"
)

// Single is one export. It is the default one, and has other names too.
type Single struct {
	Export *Export
	// Names are those that it goes by besides its own and the empty one.
	Names []string
}

// Open returns the export.
func (s Single) Open(_ context.Context, _ Peer, name string) (*Export, error) {
	if name == "" || name == s.Export.Name || slices.Contains(s.Names, name) {
		return s.Export, nil
	}
	return nil, ErrUnknownExport
}

// List lists the export.
func (s Single) List(context.Context, Peer) ([]Listed, error) {
	return []Listed{{s.Export.Name, s.Export.Description}}, nil
}
