package container

// integer is what lengths and counts are given in.
type integer interface{ ~int | ~int64 | ~uint64 }

// DivideUp returns n/by, rounded up. Neither is negative; nothing overflows.
func DivideUp[N integer](n, by N) N { return n/by + min(n%by, 1) }

// AlignUp returns the first multiple of unit that is no less than n. Neither is
// negative.
func AlignUp[N integer](n, unit N) N { return DivideUp(n, unit) * unit }
