package access

import (
	"bytes"
	"fmt"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// maxCost is the highest cost of a hash: it takes a second or more.
const maxCost = 16

// htpasswd are the bcrypt hashes of users' passwords, by user.
type htpasswd map[string][]byte

// parseHtpasswd reads lines of USER:HASH. Empty lines and those that begin with
// # are passed over. No error holds what a line does.
func parseHtpasswd(content []byte) (htpasswd, error) {
	users := make(htpasswd)
	n := 0
	for line := range bytes.Lines(content) {
		n++
		text := strings.TrimSpace(string(line))
		if text == "" || text[0] == '#' {
			continue
		}
		user, hash, ok := strings.Cut(text, ":")
		if !ok || !validUser(user) {
			return nil, fmt.Errorf("line %d: expected USER:HASH, where a user is printable ASCII, does not begin with @, and is not anonymous, authenticated or token", n)
		}
		if _, twice := users[user]; twice {
			return nil, fmt.Errorf("line %d: the user has a line above", n)
		}
		cost, err := bcrypt.Cost([]byte(hash))
		if err != nil || len(hash) != bcryptLength {
			return nil, fmt.Errorf("line %d: the hash is not of bcrypt: make it with htpasswd -B", n)
		}
		if cost > maxCost {
			return nil, fmt.Errorf("line %d: a hash of cost %d takes too long: at most %d", n, cost, maxCost)
		}
		users[user] = []byte(hash)
	}
	return users, nil
}

// bcryptLength is how long a hash is, as text.
const bcryptLength = 60

func validUser(user string) bool {
	return user != "" && user != anonymous && user != authenticated && user != tokenUser &&
		!strings.HasPrefix(user, groupMark) && !strings.ContainsAny(user, " *") && printable(user)
}
