package main

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
)

// benchmarkMetric finds the metrics of a Go benchmark: a number and its unit.
var benchmarkMetric = regexp.MustCompile(`([0-9.e+]+) (idle-p99-µs|busy-p99-µs|blobs/s)`)

// collection measures manifest GETs while dead blobs are collected. To let a day
// of leases and one of trash pass, it takes the clock of a Go benchmark.
func collection(ctx context.Context, s settings) error {
	for _, engine := range []string{"sqlite", "postgres"} {
		var ratios, idle, busy, speed []float64
		for range s.rounds {
			out, err := run1(ctx, "go", "test", "-run=^$", "-bench=^BenchmarkCollect$/^"+engine+"$", "-benchtime=1x", "-timeout=1h", "./registry/gc")
			if err != nil {
				return err
			}
			found := make(map[string]float64)
			for _, m := range benchmarkMetric.FindAllStringSubmatch(out, -1) {
				if found[m[2]], err = strconv.ParseFloat(m[1], 64); err != nil {
					return err
				}
			}
			idle, busy = append(idle, found["idle-p99-µs"]), append(busy, found["busy-p99-µs"])
			ratios = append(ratios, found["busy-p99-µs"]/found["idle-p99-µs"])
			speed = append(speed, found["blobs/s"])
		}
		fmt.Printf("| p99 of a manifest GET while 100,000 dead blobs are collected, %.0f/s, %s | idle | %.0f µs | %.0f µs | %s | ≤ 2× |\n",
			median(speed), engine, median(busy), median(idle), times(median(ratios)))
	}
	return nil
}
