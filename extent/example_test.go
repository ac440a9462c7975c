package extent_test

import (
	"bytes"
	"compress/flate"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/cloudlets/cloudlets/extent"
)

// The example of docs/extent-map.md.
func ExampleMap_Encode() {
	var b extent.Builder
	b.Source("sha256:aa", 512, 8)
	b.Inline([]byte("hi"))
	b.Zero(6)
	m, err := b.Build()
	if err != nil {
		fmt.Println(err)
		return
	}
	encoded := m.Encode()
	body, err := io.ReadAll(flate.NewReader(bytes.NewReader(encoded[36 : len(encoded)-32])))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(hex.EncodeToString(encoded[:36]))
	fmt.Println(hex.EncodeToString(body))
	// Output:
	// 636c6f75646c65747320657874656e747300010003000000010000000200000000000000
	// 097368613235363a61610208008008010200066869
}
