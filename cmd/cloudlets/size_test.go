package main

import (
	"strconv"
	"testing"
)

func TestByteSizes(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1000": 1000, "4k": 4096, "4K": 4096, "3M": 3 << 20, "20G": 20 << 30, "20g": 20 << 30, "2T": 2 << 40, "5GiB": 5 << 30, "7MB": 7 << 20,
	} {
		var got byteSize
		if err := got.Set(text); err != nil || int64(got) != want {
			t.Errorf("%q is %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "G", "-1", "-1G", "1.5G", "1P", "1GG", "0x10", "9999999999T", strconv.Itoa(1<<62) + "k", "big"} {
		var got byteSize
		if err := got.Set(text); err == nil {
			t.Errorf("%q was taken as %d", text, got)
		}
	}
}
