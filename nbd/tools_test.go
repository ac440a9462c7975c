package nbd

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/convertertest"
)

func needTools(t *testing.T) {
	t.Helper()
	convertertest.Need(t, "qemu-img", "qemu-utils")
	convertertest.Need(t, "nbdinfo", "libnbd-bin")
	convertertest.Need(t, "nbdcopy", "libnbd-bin")
}

func TestClientsReadTheDisk(t *testing.T) {
	needTools(t)
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) {
			disk, blobs := testDisk(t)
			raw := rawFile(t, disk, blobs)
			at := uri(serve(t, network, Config{Exports: disks{diskName: disk}}), diskName)

			convertertest.Run(t, "qemu-img", "compare", "-f", "raw", "-F", "raw", raw, at)
			copied := filepath.Join(t.TempDir(), "copied.raw")
			convertertest.Run(t, "nbdcopy", "--connections=4", at, copied)
			convertertest.Run(t, "cmp", raw, copied)
			// Odd offsets and lengths.
			out := convertertest.Run(t, "qemu-io", "-r", "-f", "raw", "-c", "read -v 1048570 20", at)
			if !strings.Contains(out, "2e"+strings.Repeat(" 00", 10)) {
				t.Errorf("a hole does not follow content:\n%s", out)
			}
			if out, err := convertertest.Try("qemu-io", "-f", "raw", "-c", "write 0 4096", at); err == nil {
				t.Errorf("the disk can be written to:\n%s", out)
			}
		})
	}
}

// mapped is a run in the output of qemu-img map.
type mapped struct {
	Start, Length int64
	Zero, Data    bool
}

func qemuMap(t *testing.T, source string) []mapped {
	t.Helper()
	var m, joined []mapped
	if err := json.Unmarshal([]byte(convertertest.Run(t, "qemu-img", "map", "-f", "raw", "--output=json", source)), &m); err != nil {
		t.Fatal(err)
	}
	for _, run := range m {
		last := len(joined) - 1
		if last >= 0 && joined[last].Zero == run.Zero && joined[last].Data == run.Data {
			joined[last].Length += run.Length
			continue
		}
		joined = append(joined, run)
	}
	return joined
}

func TestHolesAreThoseOfTheFile(t *testing.T) {
	needTools(t)
	disk, blobs := testDisk(t)
	want := qemuMap(t, rawFile(t, disk, blobs))
	got := qemuMap(t, uri(serve(t, "unix", Config{Exports: disks{diskName: disk}}), diskName))
	if !slices.Equal(got, want) {
		t.Errorf("over NBD:\n%v\nof the file:\n%v", got, want)
	}
	if len(got) < 7 {
		t.Errorf("%d runs: the disk has more", len(got))
	}
}

func TestNbdinfoDescribesTheExport(t *testing.T) {
	needTools(t)
	disk, _ := testDisk(t)
	addr := serve(t, "tcp", Config{Exports: disks{diskName: disk}})
	var info struct {
		Protocol   string
		TLS        bool
		Structured bool
		Exports    []map[string]any
	}
	if err := json.Unmarshal([]byte(convertertest.Run(t, "nbdinfo", "--json", "--no-content", uri(addr, diskName))), &info); err != nil {
		t.Fatal(err)
	}
	if info.Protocol != "newstyle-fixed" || !info.Structured || len(info.Exports) != 1 {
		t.Fatalf("got %+v", info)
	}
	for key, want := range map[string]any{
		"export-size": float64(diskSize), "is_read_only": true, "can_multi_conn": true, "can_cache": true, "can_df": true,
		"can_trim": false, "can_zero": false, "block_size_minimum": 1.0, "block_size_preferred": 4096.0,
		"block_size_maximum": float64(32 << 20), "description": "a test",
	} {
		if got := info.Exports[0][key]; got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
	if got := fmt.Sprint(info.Exports[0]["contexts"]); got != "[base:allocation]" {
		t.Errorf("contexts: %s", got)
	}
	if out := convertertest.Run(t, "nbdinfo", "--list", "--no-content", uri(addr, "")); !strings.Contains(out, `"`+diskName+`"`) {
		t.Errorf("the list does not have the export:\n%s", out)
	}
	if _, err := convertertest.Try("nbdinfo", uri(addr, "other")); err == nil || !strings.Contains(err.Error(), "No such file or directory for export: other") {
		t.Errorf("an unknown export: %v", err)
	}
}

func TestTLSIsRequired(t *testing.T) {
	needTools(t)
	dir, config := certificates(t)
	for name, file := range map[string]string{"ca-cert.pem": "ca-cert.pem", "client-cert.pem": "client-cert.pem", "client-key.pem": "client-key.pem"} {
		if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
			t.Fatal(name, err)
		}
	}
	disk, blobs := testDisk(t)
	raw := rawFile(t, disk, blobs)
	addr := serve(t, "tcp", Config{Exports: disks{diskName: disk}, TLS: config})
	port := addr.String()[strings.LastIndex(addr.String(), ":")+1:]
	target := "driver=raw,file.driver=nbd,file.server.type=inet,file.server.host=localhost,file.server.port=" + port +
		",file.export=" + diskName + ",file.tls-creds=tls0"
	convertertest.Run(t, "qemu-img", "compare", "--object", "tls-creds-x509,id=tls0,endpoint=client,dir="+dir,
		"--image-opts", "driver=raw,file.driver=file,file.filename="+raw, target)
	secure := strings.Replace(uri(addr, diskName), "nbd://", "nbds://", 1) + "?tls-certificates=" + dir
	if out := convertertest.Run(t, "nbdinfo", "--no-content", secure); !strings.Contains(out, "with TLS") {
		t.Errorf("nbdinfo sees no TLS:\n%s", out)
	}
	if _, err := convertertest.Try("nbdinfo", uri(addr, diskName)); err == nil {
		t.Error("the disk can be had without TLS")
	}
	// Without the client's certificate.
	if err := os.Remove(filepath.Join(dir, "client-cert.pem")); err != nil {
		t.Fatal(err)
	}
	if _, err := convertertest.Try("nbdinfo", secure); err == nil {
		t.Error("the disk can be had without a certificate")
	}
}
