package template

import (
	"errors"
	"fmt"

	"github.com/dop251/goja"
	"github.com/dop251/goja/file"
	"github.com/dop251/goja/parser"
)

// maxThrown bounds the text of a thrown value that leaves the child, in bytes. It
// is more than an error shows, so that secrets are found before it is cut.
const maxThrown = 4096

// syntaxFailure describes a template that newScript refuses.
func syntaxFailure(template []byte, err error) *Error {
	failure := &Error{Reason: ErrSyntax, Message: err.Error()}
	var syntax *syntaxError
	if errors.As(err, &syntax) {
		failure.Line, failure.Source = lineAt(template, syntax.offset)
	}
	return failure
}

// compileFailure describes a script that goja refuses.
func (s *script) compileFailure(template []byte, err error) *Error {
	failure := &Error{Reason: ErrSyntax, Message: err.Error()}
	var list parser.ErrorList
	var compiler *goja.CompilerSyntaxError
	var at file.Position
	switch {
	case errors.As(err, &list) && len(list) > 0:
		at, failure.Message = list[0].Position, list[0].Message
	case errors.As(err, &compiler) && compiler.File != nil:
		at, failure.Message = compiler.File.Position(compiler.Offset), compiler.Message
	default:
		return failure
	}
	offset, inCode := s.offset(at)
	if !inCode {
		failure.Message = errNotFunction.Error()
	}
	failure.Line, failure.Source = lineAt(template, offset)
	return failure
}

// failure describes why a run ended.
func (r *run) failure(template []byte, err error) *Error {
	failure := &Error{Reason: ErrThrown}
	var stack []goja.StackFrame
	// errors.As would run code of a thrown object.
	switch e := err.(type) { //nolint:errorlint // See above.
	case *goja.InterruptedError:
		stack = e.Stack()
		failure = r.limits.exceeded(e.Value())
	case *goja.StackOverflowError:
		stack = e.Stack()
		failure = r.limits.exceeded(ErrDepth)
	case *goja.Exception:
		stack = e.Stack()
		failure.Message = r.describe(e.Value())
	default:
		failure.Message = err.Error()
	}
	for _, frame := range stack {
		if frame.SrcName() == scriptName {
			offset, _ := r.script.offset(frame.Position())
			failure.Line, failure.Source = lineAt(template, offset)
			break
		}
	}
	return failure
}

// describe returns the text of a thrown value, which can be code of the template.
func (r *run) describe(thrown goja.Value) (message string) {
	const noText = "it threw a value that has no text"
	message = noText
	defer func() {
		_ = recover() // Interrupted, or out of calls.
	}()
	exception := r.vm.Try(func() {
		s := thrown.String()
		message = s[:min(len(s), maxThrown)]
	})
	if exception != nil {
		message = noText
	}
	return message
}

// exceeded describes a template that met a limit: one of the errors for that.
func (l Limits) exceeded(limit any) *Error {
	switch limit {
	case ErrOutput:
		return &Error{Reason: ErrOutput, Message: fmt.Sprintf("the limit is %d bytes, and %d for all templates together", l.Output, l.TotalOutput)}
	case ErrDepth:
		return &Error{Reason: ErrDepth, Message: fmt.Sprintf("the limit is %d calls, and %d bytes of stack for code in code", l.Depth, l.stack())}
	case ErrMemory:
		return &Error{Reason: ErrMemory, Message: fmt.Sprintf("the limit is %d bytes for all templates together", l.Memory)}
	}
	return &Error{Reason: ErrTime, Message: fmt.Sprintf("the limit is %v, and %v of processor time, for all templates together", l.Time, l.CPU)}
}
