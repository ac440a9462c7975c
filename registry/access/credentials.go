package access

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
)

// maxAuthorization bounds the Authorization header, in bytes.
const maxAuthorization = 32 << 10

// errAuthorization says that the header is not one that can be understood.
var errAuthorization = errors.New("the Authorization header is neither Basic nor Bearer")

// credentials are those of the Authorization header: a user and a password, a
// token, or nothing.
type credentials struct {
	user, password string
	token          string
}

func (c credentials) none() bool { return c == credentials{} }

// parseAuthorization reads the header of a request.
func parseAuthorization(h http.Header) (credentials, error) {
	values := h.Values("Authorization")
	if len(values) == 0 {
		return credentials{}, nil
	}
	if len(values) > 1 || len(values[0]) > maxAuthorization {
		return credentials{}, errAuthorization
	}
	scheme, rest, _ := strings.Cut(values[0], " ")
	rest = strings.Trim(rest, " ")
	switch {
	case strings.EqualFold(scheme, "Bearer") && rest != "":
		return credentials{token: rest}, nil
	case strings.EqualFold(scheme, "Basic"):
		return parseBasic(rest)
	}
	return credentials{}, errAuthorization
}

// parseBasic reads base64(USER:PASSWORD) (RFC 7617, section 2). Neither at all
// is how some clients say that they have none.
func parseBasic(text string) (credentials, error) {
	decoded, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return credentials{}, errAuthorization
	}
	user, password, ok := strings.Cut(string(decoded), ":")
	if !ok || user == "" && password != "" {
		return credentials{}, errAuthorization
	}
	return credentials{user: user, password: password}, nil
}
