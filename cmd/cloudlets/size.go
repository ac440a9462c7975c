package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// byteSize is a flag value in bytes, with QEMU's suffixes: k, M, G and T are
// powers of 1024.
type byteSize int64

func (s *byteSize) String() string {
	if *s == 0 {
		return ""
	}
	return strconv.FormatInt(int64(*s), 10)
}

func (*byteSize) Type() string { return "SIZE" }

func (s *byteSize) Set(text string) error {
	number := strings.TrimRight(text, "bBiI")
	shift := 0
	if i := strings.IndexAny("kMGT", suffix(number)); suffix(number) != "" && i >= 0 {
		shift = 10 * (i + 1)
		number = number[:len(number)-1]
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64>>shift {
		return fmt.Errorf("%q: expected a number of bytes, or one with k, M, G or T for powers of 1024, such as 20G", text)
	}
	*s = byteSize(n << shift)
	return nil
}

// suffix returns the last character, as the letter that IndexAny looks for.
func suffix(text string) string {
	if text == "" {
		return ""
	}
	last := text[len(text)-1:]
	switch last {
	case "K":
		return "k"
	case "m", "g", "t":
		return strings.ToUpper(last)
	}
	return last
}

// human returns a number of bytes for people, in powers of 1024.
func human(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f := float64(n) / 1024
	i := 0
	for f >= 1024 && i < len(units)-1 {
		f /= 1024
		i++
	}
	return fmt.Sprintf("%.1f %ciB", f, units[i])
}
