package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/cloudlets/cloudlets/blobstore/s3/s3test"
	"github.com/cloudlets/cloudlets/registry/metadata/pgtest"
)

// startSecretive starts a registry that knows secrets of all kinds, and logs all
// it can: passwords, a signing key, a bucket's, a database's.
func startSecretive(t *testing.T) *server {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	mustWrite(t, filepath.Join(dir, "key.pem"), tool(t, "openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"))
	mustWrite(t, filepath.Join(dir, "users"), "alice:"+string(hash)+"\n")
	access := mustWrite(t, filepath.Join(dir, "access.yaml"), "users: "+dir+"/users\nissuer: {key: "+dir+"/key.pem}\n")
	bucket, proxy := s3test.Bucket(t)
	return startServer(t, t.TempDir(), "env", "AWS_ACCESS_KEY_ID="+s3test.AccessKey, "AWS_SECRET_ACCESS_KEY="+s3test.SecretKey,
		"CLOUDLETS_DATABASE="+pgtest.Database(t), "CLOUDLETS_ACCESS="+access,
		"CLOUDLETS_S3_ENDPOINT="+proxy.URL, "CLOUDLETS_S3_BUCKET="+bucket, "CLOUDLETS_S3_REGION="+s3test.Region,
		"CLOUDLETS_S3_REDIRECT=true", "CLOUDLETS_S3_REDIRECT_MIN_SIZE=0",
		"CLOUDLETS_LOG_LEVEL=debug", "CLOUDLETS_LOG_ACCESS=true")
}

// as sends a request with a user name and a password.
func (s *server) as(t *testing.T, method, path, user, secret string, body string) (*http.Response, string) {
	t.Helper()
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(user, secret)
	return s.do(t, method, path, "Authorization", r.Header.Get("Authorization"), strings.NewReader(body))
}

func TestSecretsAreNeverLogged(t *testing.T) {
	s := startSecretive(t)
	const wrong = "a password with a typo"
	_, body := s.as(t, "GET", "/token?service=cloudlets&scope=repository:golden/small:pull,push", "alice", password, "")
	var issued struct{ Token string }
	if err := json.Unmarshal([]byte(body), &issued); err != nil || issued.Token == "" {
		t.Fatalf("no token: %s", body)
	}
	form := url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {password}, "service": {"cloudlets"}}
	s.do(t, "POST", "/token", "Content-Type", "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))

	config := t.TempDir()
	for _, c := range []struct{ password, stdin string }{{wrong, ""}, {password, ""}} {
		in(t, config, c.password, "login", s.host, "-u", "alice", "--password-stdin")
	}
	if r := in(t, config, "", "push", writeTar(t, smallRootfs()), s.ref("golden/small:1")); r.code != 0 {
		t.Fatal(r.stderr)
	}
	if r := in(t, config, "", "pull", s.ref("golden/small:1"), "-o", filepath.Join(config, "back.tar")); r.code != 0 {
		t.Fatal(r.stderr)
	}
	var manifest struct{ Config struct{ Digest string } }
	_, body = s.do(t, "GET", "/v2/golden/small/manifests/1", "Authorization", "Bearer "+issued.Token, nil)
	if err := json.Unmarshal([]byte(body), &manifest); err != nil {
		t.Fatal(err)
	}
	blob := "/v2/golden/small/blobs/" + manifest.Config.Digest
	resp, _ := s.do(t, "GET", blob, "Authorization", "Bearer "+issued.Token, nil)
	signature := resp.Request.URL.Query().Get("X-Amz-Signature")
	if signature == "" {
		t.Fatalf("the blob was not redirected to the bucket: %s", resp.Request.URL)
	}
	for _, user := range []string{"alice", "eve", "token"} { // the last sends a token as its password
		s.as(t, "GET", "/v2/", user, wrong, "")
		s.as(t, "PUT", "/v2/golden/small/manifests/1", user, issued.Token, "{}")
	}
	for _, authorization := range []string{"Bearer " + issued.Token + "x", "Bearer " + wrong, "Basic " + wrong, wrong} {
		s.do(t, "GET", blob, "Authorization", authorization, nil)
	}
	s.get(t, blob+"?token="+issued.Token+"&password="+url.QueryEscape(wrong), "", "")

	log := s.logged()
	claims := strings.Split(issued.Token, ".")
	for name, secret := range map[string]string{
		"a password": password, "a wrong password": wrong, "a token": issued.Token, "a token's claims": claims[1], "a token's signature": claims[2],
		"a signed URL": signature, "the kind of a signed URL": "X-Amz-Signature", "the bucket's secret": s3test.SecretKey,
		"an encoded password": "YWxpY2U6", "a hash": "$2a$", "the signing key": "PRIVATE KEY",
	} {
		if strings.Contains(log, secret) {
			t.Errorf("%s is in the log:\n%s", name, log)
		}
	}
	if !strings.Contains(log, "level=DEBUG") || !strings.Contains(log, blob) {
		t.Errorf("the log does not tell of the requests:\n%s", log)
	}
}
