package ext4

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/convertertest"
)

// debugfsWrite changes a filesystem without its journal.
func debugfsWrite(t *testing.T, path string, commands ...string) {
	t.Helper()
	script := filepath.Join(t.TempDir(), "commands")
	must(t, os.WriteFile(script, []byte(strings.Join(commands, "\n")+"\n"), 0o600))
	if out, err := run2fs(t, "debugfs", "-w", "-f", script, path); err != nil {
		t.Fatalf("debugfs: %v\n%s", err, out)
	}
}

// changedBlocks returns the numbers of the blocks in which two files differ, and
// what the second has there.
func changedBlocks(t *testing.T, before, after string, size int) (numbers []string, content []byte) {
	t.Helper()
	a, err := os.ReadFile(before)
	must(t, err)
	b, err := os.ReadFile(after)
	must(t, err)
	for off := 0; off < len(a); off += size {
		if !bytes.Equal(a[off:off+size], b[off:off+size]) {
			numbers = append(numbers, fmt.Sprint(off/size))
			content = append(content, b[off:off+size]...)
		}
	}
	return numbers, content
}

// The blocks that a change has touched are written to the journal alone, as by a
// machine that stopped before it could write them where they belong.
func TestOpenReadsTheJournal(t *testing.T) {
	dir := sampleDir(t)
	for name, test := range map[string]struct {
		mke2fs  string
		journal string
		size    int
	}{
		"plain":             {"-t ext3 -b 1024 -O ^metadata_csum", "jo", 1024},
		"32 bits":           {"-t ext4 -b 4096 -O ^64bit", "jo", 4096},
		"checksums":         {"-t ext4 -b 4096", "jo -c", 4096},
		"checksums, 1 KiB":  {"-t ext4 -b 1024", "jo -c -v 3", 1024},
		"checksums, old":    {"-t ext4 -b 4096", "jo -c -v 2", 4096},
		"checksums, 32 bit": {"-t ext4 -b 4096 -O ^64bit", "jo -c -v 3", 4096},
	} {
		t.Run(name, func(t *testing.T) {
			before := mke2fsDir(t, dir, strings.Fields(test.mke2fs)...)
			after := filepath.Join(t.TempDir(), "after")
			convertertest.Run(t, "cp", before, after)
			added := filepath.Join(t.TempDir(), "added")
			must(t, os.WriteFile(added, bytes.Repeat([]byte("\xc0\x3b\x39\x98 looks like a block of the journal"), 3000), 0o600))
			debugfsWrite(t, after, "mkdir new", "write "+added+" new/file", "rm /sizes/4096", "rm fifo", "symlink new/link target")
			numbers, content := changedBlocks(t, before, after, test.size)
			blocks := filepath.Join(t.TempDir(), "blocks")
			must(t, os.WriteFile(blocks, content, 0o600))
			garbage := filepath.Join(t.TempDir(), "garbage")
			must(t, os.WriteFile(garbage, bytes.Repeat([]byte("garbage!"), test.size/8), 0o600))

			debugfsWrite(t, before, test.journal,
				"jw -b 5000 "+garbage, "jw -r 5000", // taken back
				"jw -b "+numbers[0]+" "+garbage, // written again
				"jw -b "+strings.Join(numbers, ",")+" "+blocks, "jc")
			got, want := listImage(t, before), listImage(t, after)
			convertertest.SameListing(t, got, want)
			if all := strings.Join(got, "\n"); !strings.Contains(all, "/new/link") || strings.Contains(all, "/fifo") {
				t.Errorf("the journal was not read:\n%s", all)
			}
			if out, err := run2fs(t, "e2fsck", "-fy", "-E", "journal_only", before); err != nil {
				t.Fatalf("e2fsck: %v\n%s", err, out)
			}
			convertertest.SameListing(t, listImage(t, before), want)
		})
	}
}
