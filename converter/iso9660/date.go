package iso9660

import (
	"fmt"
	"time"

	"github.com/cloudlets/cloudlets/image"
)

// shortDateSize and longDateSize are the lengths of dates in bytes.
const (
	shortDateSize = 7
	longDateSize  = 17
)

// Years that a short date can tell.
const (
	firstYear = 1900
	lastYear  = firstYear + 255
)

// offsetUnit is what the last byte of a date counts: how far local time is ahead
// of UTC.
const offsetUnit = 15 * time.Minute

// clamp returns the nearest moment that a short date can tell.
func clamp(t image.Time) time.Time {
	first := time.Date(firstYear, 1, 1, 0, 0, 0, 0, time.UTC)
	last := time.Date(lastYear, 12, 31, 23, 59, 59, 0, time.UTC)
	return time.Unix(min(max(t.Sec, first.Unix()), last.Unix()), int64(t.Nsec)).UTC()
}

// shortDate returns the date of a directory record (ECMA-119, 9.1.5), in UTC.
func shortDate(t image.Time) []byte {
	u := clamp(t)
	return []byte{byte(u.Year() - firstYear), byte(u.Month()), byte(u.Day()), byte(u.Hour()), byte(u.Minute()), byte(u.Second()), 0}
}

// longDate returns the date of a volume descriptor (ECMA-119, 8.4.26.1), in UTC.
func longDate(t image.Time) []byte {
	u := clamp(t)
	hundredths := u.Nanosecond() / int(10*time.Millisecond)
	return append([]byte(u.Format("20060102150405")), byte('0'+hundredths/10), byte('0'+hundredths%10), 0)
}

// noDate is the date of a volume descriptor that is not given.
func noDate() []byte { return append([]byte("0000000000000000"), 0) }

// parseShortDate reads the date of a directory record. Fields out of range count
// on, as Linux takes them; all zeros are no date, which gives the zero Time.
func parseShortDate(p []byte) image.Time {
	if [shortDateSize]byte(p) == ([shortDateSize]byte{}) {
		return image.Time{}
	}
	t := time.Date(firstYear+int(p[0]), time.Month(p[1]), int(p[2]), int(p[3]), int(p[4]), int(p[5]), 0, time.UTC)
	return image.Time{Sec: t.Add(-time.Duration(int8(p[6])) * offsetUnit).Unix()}
}

// parseLongDate reads the date of a volume descriptor.
func parseLongDate(p []byte) (image.Time, error) {
	t, err := time.Parse("20060102150405", string(p[:14]))
	if err != nil || !isDigit(p[14]) || !isDigit(p[15]) {
		return image.Time{}, fmt.Errorf("date %q: expected YYYYMMDDhhmmss and hundredths of a second", p[:16])
	}
	t = t.Add(-time.Duration(int8(p[16])) * offsetUnit)
	hundredths := uint32(p[14]-'0')*10 + uint32(p[15]-'0')
	return image.Time{Sec: t.Unix(), Nsec: hundredths * uint32(10*time.Millisecond)}, nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
