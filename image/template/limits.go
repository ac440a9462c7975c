package template

import (
	"fmt"
	"time"
)

// Limits bounds one call of [Runner.Render], which is one child process. A field
// that is zero has the default named beside it.
type Limits struct {
	// Time is how long all templates together may take, from when the child has
	// read them: 10 s. The child is killed killDelay after that at the latest.
	Time time.Duration
	// CPU is how much processor time the child may use, its start included: 2 s.
	CPU time.Duration
	// Memory is how many bytes of memory the child may use, beyond what it has
	// when it starts: 256 MiB.
	Memory int64
	// Depth is how many calls may be open at once: 1000.
	Depth int
	// Output is how many bytes one template may print: 4 MiB.
	Output int
	// TotalOutput is how many bytes all templates together may print: 16 MiB.
	TotalOutput int
	// Text is how many bytes one template may have: 1 MiB.
	Text int
	// TotalText is how many bytes all templates together may have: 16 MiB.
	TotalText int
	// Templates is how many templates there may be: 1024.
	Templates int
	// Scope is how many bytes of JSON may be in scope: 4 MiB.
	Scope int
}

// killDelay is how long the child has beyond Limits.Time to start, and to say
// itself that the time is over.
const killDelay = 2 * time.Second

func (l Limits) withDefaults() Limits {
	setDefault(&l.Time, 10*time.Second)
	setDefault(&l.CPU, 2*time.Second)
	setDefault(&l.Memory, 256<<20)
	setDefault(&l.Depth, 1000)
	setDefault(&l.Output, 4<<20)
	setDefault(&l.TotalOutput, 16<<20)
	setDefault(&l.Text, 1<<20)
	setDefault(&l.TotalText, 16<<20)
	setDefault(&l.Templates, 1024)
	setDefault(&l.Scope, 4<<20)
	return l
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// check refuses what is too large before a child is started for it.
func (l Limits) check(templates []Template, scope []byte) error {
	if len(templates) > l.Templates {
		return fmt.Errorf("%w: the image has %d templates, the limit is %d", ErrTooLarge, len(templates), l.Templates)
	}
	if len(scope) > l.Scope {
		return fmt.Errorf("%w: arguments, configuration and manifest are %d bytes of JSON, the limit is %d", ErrTooLarge, len(scope), l.Scope)
	}
	total := 0
	for _, t := range templates {
		if len(t.Text) > l.Text {
			return &Error{Path: t.Path, Reason: ErrTooLarge, Message: fmt.Sprintf("it is %d bytes long, the limit is %d", len(t.Text), l.Text)}
		}
		total += len(t.Text)
	}
	if total > l.TotalText {
		return fmt.Errorf("%w: the templates are %d bytes long together, the limit is %d", ErrTooLarge, total, l.TotalText)
	}
	return nil
}
