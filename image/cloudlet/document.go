package cloudlet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of every document.
const (
	maxNesting      = 64     // objects and arrays in each other
	maxValues       = 50_000 // values and keys
	maxNumberLength = 40     // bytes of a number
	maxExponent     = 400    // a bit more than a float64 has
)

// object is a JSON object as it stands.
type object = map[string]any

// readAtMost reads a document of at most limit bytes.
func readAtMost(r io.Reader, limit int64, what string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read the %s: %w", what, err)
	}
	return data, nil
}

// decode reads a document into values of map[string]any, []any, string,
// [json.Number], bool and nil. Keys that are given twice are refused, and so is
// what goes beyond the bounds.
func decode(data []byte, limit int, what string) (any, error) {
	if len(data) > limit {
		return nil, fmt.Errorf("the %s is longer than %d bytes, which is the limit", what, limit)
	}
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("the %s is not UTF-8", what)
	}
	d := &documentReader{tokens: json.NewDecoder(bytes.NewReader(data))}
	d.tokens.UseNumber()
	value, err := d.value(nil)
	if err == nil {
		if _, more := d.tokens.Token(); more != io.EOF {
			err = fmt.Errorf("something follows its end at byte %d", d.tokens.InputOffset())
		}
	}
	var problems Problems
	switch {
	case errors.As(err, &problems):
		return nil, fmt.Errorf("the %s is not valid: %w", what, err)
	case err != nil:
		return nil, fmt.Errorf("the %s is not valid JSON: %w", what, readable(err))
	}
	return value, nil
}

func readable(err error) error {
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("it ends too early")
	case errors.As(err, &syntax):
		return fmt.Errorf("at byte %d: %w", syntax.Offset, err)
	}
	return err
}

type documentReader struct {
	tokens *json.Decoder
	values int
}

// value reads the value at a path of keys.
func (d *documentReader) value(keys []string) (any, error) {
	token, err := d.tokens.Token()
	if err != nil {
		return nil, err
	}
	if d.values++; d.values > maxValues {
		return nil, Problems{{Pointer: pointer(keys), Rule: fmt.Sprintf("at most %d values are read", maxValues)}}
	}
	switch token := token.(type) {
	case json.Number:
		return token, checkNumber(token, keys)
	case json.Delim:
		if len(keys) >= maxNesting {
			return nil, Problems{{Pointer: pointer(keys), Rule: fmt.Sprintf("at most %d objects and lists may be in each other", maxNesting)}}
		}
		if token == '{' {
			return d.object(keys)
		}
		return d.list(keys)
	}
	return token, nil
}

func (d *documentReader) object(keys []string) (any, error) {
	o := object{}
	for d.tokens.More() {
		token, err := d.tokens.Token()
		if err != nil {
			return nil, err
		}
		key, ok := token.(string)
		if !ok {
			return nil, fmt.Errorf("expected a key at byte %d", d.tokens.InputOffset())
		}
		at := slices.Concat(keys, []string{key})
		if _, twice := o[key]; twice {
			return nil, Problems{{Pointer: pointer(at), Rule: "a key stands once in an object", Advice: "remove one of the two"}}
		}
		if o[key], err = d.value(at); err != nil {
			return nil, err
		}
	}
	_, err := d.tokens.Token()
	return o, err
}

func (d *documentReader) list(keys []string) (any, error) {
	list := []any{}
	for d.tokens.More() {
		value, err := d.value(append(keys[:len(keys):len(keys)], strconv.Itoa(len(list))))
		if err != nil {
			return nil, err
		}
		list = append(list, value)
	}
	_, err := d.tokens.Token()
	return list, err
}

// checkNumber bounds a number, because exact arithmetic on 1e999999999 takes a
// gigabyte.
func checkNumber(n json.Number, keys []string) error {
	text := strings.ToLower(n.String())
	_, exponent, _ := strings.Cut(text, "e")
	e := 0
	if exponent != "" {
		var err error
		if e, err = strconv.Atoi(exponent); err != nil {
			e = maxExponent + 1
		}
	}
	if len(text) > maxNumberLength || e > maxExponent || e < -maxExponent {
		return Problems{{Pointer: pointer(keys), Value: show(n), Rule: fmt.Sprintf("a number has at most %d digits and an exponent of at most %d", maxNumberLength, maxExponent)}}
	}
	return nil
}

// marshal returns the canonical JSON of a value: keys sorted, numbers as they
// were written, nothing escaped that need not be, no white space.
func marshal(value any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// clone returns a copy of a decoded value.
func clone(value any) any {
	switch value := value.(type) {
	case object:
		c := make(object, len(value))
		for key, v := range value {
			c[key] = clone(v)
		}
		return c
	case []any:
		c := make([]any, len(value))
		for i, v := range value {
			c[i] = clone(v)
		}
		return c
	}
	return value
}
