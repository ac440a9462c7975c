package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// fileSuffix ends the key that names the file of a secret.
const fileSuffix = "File"

// envPrefix begins the environment variables.
const envPrefix = "CLOUDLETS_"

// Field is one key.
type Field struct {
	Path       []string // from the top of the file
	Help       string
	Default    string
	Enum       []string // what is allowed; empty for anything of its type
	Reloadable bool     // a change needs no restart
	Required   bool     // it has no default
	FromFile   bool     // the value names the file of a secret

	index []int
	typ   reflect.Type
}

// Key is the field's name in messages: log.level.
func (f Field) Key() string { return strings.Join(f.Path, ".") }

// Flag is the field's name on the command line: log-level.
func (f Field) Flag() string { return f.words("-") }

// Env is the field's name in the environment: CLOUDLETS_LOG_LEVEL.
func (f Field) Env() string { return envPrefix + strings.ToUpper(f.words("_")) }

// Bool says whether the field is a switch.
func (f Field) Bool() bool { return f.typ.Kind() == reflect.Bool }

func (f Field) words(separator string) string {
	var b strings.Builder
	for _, r := range strings.Join(f.Path, separator) {
		if unicode.IsUpper(r) {
			b.WriteString(separator)
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// Fields returns all fields in the order of the file.
func Fields() []Field { return fieldsOf(reflect.TypeFor[Config](), nil, nil) }

func fieldsOf(t reflect.Type, path []string, index []int) []Field {
	var fields []Field
	for i := range t.NumField() {
		sf := t.Field(i)
		f := Field{
			Path:       append(slices.Clone(path), sf.Tag.Get("key")),
			Help:       sf.Tag.Get("help"),
			Default:    sf.Tag.Get("default"),
			Reloadable: sf.Tag.Get("reload") == "true",
			Required:   sf.Tag.Get("required") == "true",
			index:      append(slices.Clone(index), i),
			typ:        sf.Type,
		}
		if enum := sf.Tag.Get("enum"); enum != "" {
			f.Enum = strings.Split(enum, ",")
		}
		switch {
		case isSection(sf.Type):
			fields = append(fields, fieldsOf(sf.Type, f.Path, f.index)...)
		case sf.Type == secretType, sf.Type == secretsType:
			fields = append(fields, f, f.twin())
		default:
			fields = append(fields, f)
		}
	}
	return fields
}

var (
	secretType   = reflect.TypeFor[Secret]()
	secretsType  = reflect.TypeFor[Secrets]()
	durationType = reflect.TypeFor[time.Duration]()
)

func isSection(t reflect.Type) bool { return t.Kind() == reflect.Struct && t != secretType }

// twin is the key that names the file of a secret.
func (f Field) twin() Field {
	twin := f
	twin.Path = slices.Clone(f.Path)
	twin.Path[len(twin.Path)-1] += fileSuffix
	twin.Help = "file that holds " + f.Key()
	twin.Default, twin.Required = "", false
	twin.FromFile = true
	return twin
}

// set gives the field of a struct the value that a text stands for. The error
// says what was expected and found, without the key.
func (f Field) set(root reflect.Value, text string) error {
	if f.structured() {
		return f.setText(root, text)
	}
	v := root.FieldByIndex(f.index)
	if len(f.Enum) > 0 && !slices.Contains(f.Enum, text) {
		return fmt.Errorf("expected one of %s, found %q", strings.Join(f.Enum, ", "), text)
	}
	switch f.typ {
	case secretType:
		secret := NewSecret(text)
		if f.FromFile {
			var err error
			if secret, err = readSecret(text); err != nil {
				return err
			}
		}
		v.Set(reflect.ValueOf(secret))
		return nil
	case durationType:
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("expected a duration such as 30s or 2m, found %q", text)
		}
		v.SetInt(int64(d))
		return nil
	}
	return setScalar(v, text)
}

func setScalar(v reflect.Value, text string) error {
	switch v.Kind() {
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("expected true or false, found %q", text)
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || v.OverflowInt(n) {
			return fmt.Errorf("expected a whole number, found %q", text)
		}
		v.SetInt(n)
	default:
		v.SetString(text)
	}
	return nil
}
