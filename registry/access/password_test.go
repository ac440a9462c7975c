package access

import (
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/cloudlets/cloudlets/registry/clocktest"
)

// madeByHtpasswd is what Apache's htpasswd -B has written.
const madeByHtpasswd = `alice:$2y$05$9j4wyLJwTVwAq/lvrk0/W.0opG9U0qGTvAyMV6vV8KXjAH0KU9aIO

carol:$2y$05$CxSHgSl0RhKPoWR0vC2wB.ORlm6JDGMLP/NPn/rRqqI81z.PrqF0S
`

func TestPasswordsOfHtpasswdAreVerified(t *testing.T) {
	h, err := newHashes([]byte(madeByHtpasswd))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		user, password string
		want           bool
	}{
		{"alice", secret, true},
		{"carol", "Grüße:mit:Doppelpunkten", true},
		{"alice", "correct hors", false},
		{"alice", "", false},
		{"carol", secret, false},
		{"nobody", secret, false},
		{"", "", false},
	} {
		if got := h.verify(c.user, c.password); got != c.want {
			t.Errorf("%s with %q: got %v", c.user, c.password, got)
		}
	}
}

func TestHtpasswdErrorsTellNoSecrets(t *testing.T) {
	const hash = "$2y$05$abcdefghijklmnopqrstuuAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	for content, want := range map[string]string{
		"# users\n\nhunter2\n":      "line 3: expected USER:HASH",
		"a:$apr1$x$hunter2":         "line 1: the hash is not of bcrypt",
		"a:hunter2":                 "line 1: the hash is not of bcrypt",
		"anonymous:" + hash:         "line 1: expected",
		"@a:" + hash:                "line 1: expected",
		":" + hash:                  "line 1: expected",
		"a:" + hash + "\na:" + hash: "line 2: the user has a line above",
		"a:" + strings.Replace(hash, "05", "31", 1): "line 1: a hash of cost 31",
	} {
		_, err := parseHtpasswd([]byte(content))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got the error %v, want %q", content, err, want)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error tells the secret: %v", err)
		}
	}
}

// TestWrongPasswordsTakeTheSameWork counts hashing rounds instead of time.
func TestWrongPasswordsTakeTheSameWork(t *testing.T) {
	var content strings.Builder
	for user, cost := range map[string]int{"low": 4, "middle": 5, "high": 7} {
		hash, err := bcrypt.GenerateFromPassword([]byte(secret), cost)
		if err != nil {
			t.Fatal(err)
		}
		content.WriteString(user + ":" + string(hash) + "\n")
	}
	h, err := newHashes([]byte(content.String()))
	if err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"low", "middle", "high", "nobody"} {
		rounds := 0
		h.compare = func(hash, password []byte) error {
			cost, err := bcrypt.Cost(hash)
			if err != nil {
				t.Fatal(err)
			}
			rounds += 1 << cost
			return bcrypt.CompareHashAndPassword(hash, password)
		}
		if h.verify(user, "wrong") {
			t.Errorf("a wrong password of %s was right", user)
		}
		if rounds != 1<<7 {
			t.Errorf("a wrong password of %s takes %d rounds", user, rounds)
		}
	}
}

func TestPasswordIsKnownUntilItChanges(t *testing.T) {
	now := clocktest.New()
	path := htpasswdFile(t, "alice")
	s := start(t, Config{Users: path}, now.Now)
	u := s.control.users
	if u.remembered("alice", secret) {
		t.Error("the password is known before it was given")
	}
	s.do(t, "GET", "/v2/", basic("alice", secret), "").want(t, 200)
	s.do(t, "GET", "/v2/", basic("alice", "wrong"), "").want(t, 401)
	if !u.remembered("alice", secret) || u.remembered("alice", "wrong") || u.remembered("bob", secret) {
		t.Error("the password is not known, or others are")
	}
	now.Pass(rememberFor)
	if u.remembered("alice", secret) {
		t.Error("the password is known for too long")
	}
	s.do(t, "GET", "/v2/", basic("alice", secret), "").want(t, 200)
	hash, err := bcrypt.GenerateFromPassword([]byte("another"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("alice:"+string(hash)+"\n# changed\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	age(u.files)
	s.do(t, "GET", "/v2/", basic("alice", secret), "").want(t, 401)
	s.do(t, "GET", "/v2/", basic("alice", "another"), "").want(t, 200)
	if err := os.WriteFile(path, []byte("broken hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	age(u.files)
	s.do(t, "GET", "/v2/", basic("alice", "another"), "").want(t, 200)
	if log := s.logged(); !strings.Contains(log, "going on with what they held") || strings.Contains(log, "hunter2") || strings.Contains(log, "another") {
		t.Errorf("the log is\n%s", log)
	}
}

// age makes files be looked at.
func age[T any](f *files[T]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.checked = time.Time{}
}
