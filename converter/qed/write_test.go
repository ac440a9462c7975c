package qed

import (
	"testing"
)

func TestWriteRefusesALargerDisk(t *testing.T) { format.CheckLargest(t, maxDisk, ErrTooLarge) }

// A guest must be able to write to the disk: that adds tables and clusters.
func TestGuestsWriteToTheDisk(t *testing.T) { format.CheckGuestWrites(t, 10<<30) }
