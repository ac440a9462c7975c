package access

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// client runs a program with a home directory of its own, and returns what it
// prints.
func client(t *testing.T, home string, command ...string) (string, error) {
	t.Helper()
	if _, err := exec.LookPath(command[0]); err != nil {
		t.Fatalf("this test needs %s: run make tools (%v)", filepath.Base(command[0]), err)
	}
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "HOME="+home, "DOCKER_CONFIG="+home, "REGISTRY_AUTH_FILE="+filepath.Join(home, "config.json"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// layout writes a small image.
func layout(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	store, err := oci.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	layer, err := oras.PushBytes(t.Context(), store, ocispec.MediaTypeImageLayer, make([]byte, 1024))
	if err != nil {
		t.Fatal(err)
	}
	config, err := oras.PushBytes(t.Context(), store, ocispec.MediaTypeImageConfig,
		[]byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["`+layer.Digest.String()+`"]}}`))
	if err != nil {
		t.Fatal(err)
	}
	m, err := oras.PackManifest(t.Context(), store, oras.PackManifestVersion1_1, "",
		oras.PackManifestOptions{ConfigDescriptor: &config, Layers: []ocispec.Descriptor{layer}})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Tag(t.Context(), m, "1"); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestRealClientsLogIn runs each with passwords and with tokens. Rules let bob
// push below bobs only, and everybody pull what is public.
func TestRealClientsLogIn(t *testing.T) {
	image := layout(t)
	crane, err := filepath.Abs("../../.cache/bin/crane")
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){"tokens": nil, "passwords": func(c *Config) { c.Issuer = nil }} {
		t.Run(name, func(t *testing.T) {
			s := ruledAt(t, time.Now, change)
			must := func(home string, command ...string) {
				t.Helper()
				if out, err := client(t, home, command...); err != nil {
					t.Errorf("%s: %v\n%s", strings.Join(command, " "), err, out)
				}
			}
			mustNot := func(home string, command ...string) {
				t.Helper()
				if out, err := client(t, home, command...); err == nil {
					t.Errorf("%s: was let through\n%s", strings.Join(command, " "), out)
				}
			}
			skopeoCopy := func(from, to string) []string {
				return []string{"skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", "--dest-tls-verify=false", from, to}
			}
			docker := func(name string) string { return "docker://" + s.host + "/" + name }
			nobody, bob, craneBob := t.TempDir(), t.TempDir(), t.TempDir()
			public := append(skopeoCopy("oci:"+image+":1", docker("public:1")), "--dest-creds", "root:"+secret)
			must(nobody, public...)
			must(nobody, "skopeo", "inspect", "--tls-verify=false", docker("public:1"))
			mustNot(nobody, skopeoCopy("oci:"+image+":1", docker("bobs/x:1"))...)
			mustNot(nobody, "skopeo", "login", "--tls-verify=false", "-u", "bob", "-p", "wrong", s.host)
			must(bob, "skopeo", "login", "--tls-verify=false", "-u", "bob", "-p", secret, s.host)
			must(bob, skopeoCopy("oci:"+image+":1", docker("bobs/x:1"))...)
			must(bob, skopeoCopy(docker("bobs/x:1"), docker("bobs/y:1"))...) // mounts
			mustNot(bob, skopeoCopy("oci:"+image+":1", docker("hidden:2"))...)
			mustNot(bob, "skopeo", "inspect", "--tls-verify=false", docker("hidden:v1"))
			mustNot(bob, "skopeo", "delete", "--tls-verify=false", docker("bobs/x:1"))
			must(craneBob, crane, "auth", "login", "--insecure", s.host, "-u", "bob", "-p", secret)
			must(craneBob, crane, "copy", "--insecure", s.host+"/bobs/x:1", s.host+"/bobs/z:1")
			must(craneBob, crane, "push", "--insecure", image, s.host+"/bobs/crane:1")
			must(nobody, crane, "manifest", "--insecure", s.host+"/public:1")
			mustNot(craneBob, crane, "copy", "--insecure", s.host+"/bobs/x:1", s.host+"/hidden:2")
			mustNot(nobody, crane, "manifest", "--insecure", s.host+"/bobs/x:1")
			must(t.TempDir(), "podman", "login", "--tls-verify=false", "-u", "bob", "-p", secret, s.host)
			mustNot(t.TempDir(), "podman", "login", "--tls-verify=false", "-u", "eve", "-p", secret, s.host)
		})
	}
}

func TestOrasProgramLogsIn(t *testing.T) {
	s := ruledAt(t, time.Now, nil)
	store, err := oci.New(layout(t))
	if err != nil {
		t.Fatal(err)
	}
	target := func(name, user string) *remote.Repository {
		repository, err := remote.NewRepository(s.host + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		repository.PlainHTTP = true
		repository.Client = &auth.Client{Cache: auth.NewCache(),
			Credential: auth.StaticCredential(s.host, auth.Credential{Username: user, Password: secret})}
		return repository
	}
	if _, err := oras.Copy(t.Context(), store, "1", target("bobs/oras", "bob"), "1", oras.DefaultCopyOptions); err != nil {
		t.Error(err)
	}
	if _, err := oras.Copy(t.Context(), store, "1", target("hidden", "bob"), "1", oras.DefaultCopyOptions); err == nil {
		t.Error("bob may push to what is hidden")
	}
	both := oras.DefaultCopyOptions
	both.MountFrom = func(context.Context, ocispec.Descriptor) ([]string, error) { return []string{"bobs/oras"}, nil }
	if _, err := oras.Copy(t.Context(), store, "1", target("bobs/mounted", "bob"), "1", both); err != nil {
		t.Error(err)
	}
}
