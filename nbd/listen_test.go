package nbd

import "testing"

func TestAddressesThatNobodyCouldReachAreRefused(t *testing.T) {
	for _, address := range []string{"unix:", "", "localhost", "unix:" + t.TempDir() + "/none/socket"} {
		if l, err := Listen(t.Context(), address); err == nil {
			t.Errorf("%q: it listens on %q", address, l.Addr())
			l.Close()
		}
	}
}
