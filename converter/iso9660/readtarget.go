package iso9660

import (
	"bytes"
	"fmt"

	"github.com/cloudlets/cloudlets/converter/container"
)

// target is that of a symbolic link, as far as it was read (RRIP 4.1.3).
type target struct {
	text  []byte
	begun bool // a component has been read
	open  bool // the last component goes on in the next
	root  bool // the last component is the root
}

// add adds the components of a field.
func (t *target) add(p []byte) error {
	for len(p) >= 2 {
		flags, length := p[0], int(p[1])
		if length > len(p)-2 {
			return errShort()
		}
		if err := t.component(flags, p[2:2+length]); err != nil {
			return err
		}
		p = p[2+length:]
	}
	return nil
}

func (t *target) component(flags byte, text []byte) error {
	if t.begun && !t.open && !t.root {
		t.text = append(t.text, '/')
	}
	switch flags &^ flagContinue {
	case 0:
		t.text = append(t.text, text...)
	case flagCurrent:
		t.text = append(t.text, '.')
	case flagParent:
		t.text = append(t.text, ".."...)
	case flagRoot:
		t.text = append(t.text, '/')
	default:
		return fmt.Errorf("%w: a component with the flags %#x", container.ErrFormat, flags)
	}
	if len(t.text) > maxTarget {
		return fmt.Errorf("%w: a target of more than %d bytes", container.ErrFormat, maxTarget)
	}
	t.begun, t.open, t.root = true, flags&flagContinue != 0, flags&flagRoot != 0
	return nil
}

// path returns the target, which must be one that a symbolic link can have.
func (t *target) path() (string, error) {
	if len(t.text) == 0 || bytes.IndexByte(t.text, 0) >= 0 {
		return "", fmt.Errorf("%w: a symbolic link with a target of %d bytes, expected at least one, none of them zero", container.ErrFormat, len(t.text))
	}
	return string(t.text), nil
}
