package config

import "log/slog"

// redacted stands for a secret wherever it would be shown.
const redacted = "(secret)"

// Secret is a value that shows itself nowhere: not in logs, errors or JSON.
// A key that holds one has a twin with the suffix File, which names a file to
// read it from.
type Secret struct{ value string }

// Secrets are secrets by name, such as the headers of requests. Their key has a
// twin too, which names a YAML file with the same names and values.
type Secrets map[string]Secret

// NewSecret returns the secret with a value.
func NewSecret(value string) Secret { return Secret{value} }

// Reveal returns the value.
func (s Secret) Reveal() string { return s.value }

// IsZero says whether there is no secret.
func (s Secret) IsZero() bool { return s.value == "" }

// String shows that there is a secret.
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return redacted
}

// GoString is String: %#v prints no fields.
func (s Secret) GoString() string { return s.String() }

// MarshalText is String, for JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue is String, for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
