package config

import (
	"reflect"
	"testing"
)

func FuzzFile(f *testing.F) {
	for _, s := range []string{Example(), "log: {level: loud}", "a: &a [*a]", "listen: !!binary AA==", "---\n---\n", "log: 1", "s3: {partSize: 1e3}", "\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		var c Config
		for _, err := range applyFile(reflect.ValueOf(&c).Elem(), Fields(), "file", content) {
			if err.Error() == "" {
				t.Error("an error without words")
			}
		}
	})
}
