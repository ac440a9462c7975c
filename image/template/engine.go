package template

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/dop251/goja"
	"github.com/dop251/goja/parser"
)

// prelude makes the function that runs a template. It keeps its own references:
// what a template does to the built-in objects does not change how values are
// printed.
//
// Strings are at most as long as in Node (2^29-24 characters): asking for more at
// once is an exception that has a line, and needs no killing.
const prelude = `(function (write, print, end, scope) {
	"use strict";
	const text = String, apply = Reflect.apply, longest = 0x1fffffe8;
	function guard(name, length) {
		const original = String.prototype[name];
		const guarded = {[name](n, filler) {
			const self = ` + "`${this}`" + `, count = +n;
			if (length(self, count) > longest) throw new RangeError("Invalid string length");
			return apply(original, self, [count, filler]);
		}};
		Object.defineProperty(String.prototype, name, {value: guarded[name]});
	}
	guard("repeat", (s, n) => s.length * n);
	guard("padStart", (s, n) => n);
	guard("padEnd", (s, n) => n);
	function include() { throw new Error("include is not available: a template reads no other files"); }
	function append(s) { if (s !== undefined && s !== null) write("" + s); }
	function escaped(s) { if (s !== undefined && s !== null) write(text(s)); }
	const locals = JSON.parse(scope), {args, dns, ip, manifest, env} = locals;
	return function (main) {
		try {
			apply(main, undefined, [locals, args, dns, ip, manifest, env, include, append, escaped, print]);
		} finally {
			end();
		}
	};
})`

// engine renders templates in this process. What bounds it from outside, the
// worker does.
type engine struct {
	limits  Limits
	scope   string
	prelude *goja.Program
	printed int
	// running is told the runtime of each template before it runs.
	running func(*goja.Runtime)
}

func newEngine(limits Limits, scope string, running func(*goja.Runtime)) (*engine, error) {
	program, err := compile("prelude", prelude)
	if err != nil {
		return nil, err
	}
	return &engine{limits: limits, scope: scope, prelude: program, running: running}, nil
}

// compile reads a script, and no source map: goja would open the file that a
// sourceMappingURL comment names.
func compile(name, source string) (*goja.Program, error) {
	tree, err := parser.ParseFile(nil, name, source, 0, parser.WithDisableSourceMaps)
	if err != nil {
		return nil, err
	}
	return goja.CompileAST(tree, false)
}

// render runs a template. Its failures have no path.
func (e *engine) render(template []byte) ([]byte, *Error) {
	s, err := newScript(template)
	if err != nil {
		return nil, syntaxFailure(template, err)
	}
	program, err := compile(scriptName, s.source)
	if err != nil {
		return nil, s.compileFailure(template, err)
	}
	r := &run{vm: e.newRuntime(), script: s, limits: e.limits, room: min(e.limits.Output, e.limits.TotalOutput-e.printed)}
	e.running(r.vm)
	if err := r.execute(e.prelude, e.scope, program); err != nil {
		return nil, r.failure(template, err)
	}
	e.printed += len(r.output)
	return r.output, nil
}

// newRuntime makes a runtime with a fixed clock and fixed random numbers. What it
// does with local time is in UTC: see work.
func (e *engine) newRuntime() *goja.Runtime {
	vm := goja.New()
	vm.SetParserOptions(parser.WithDisableSourceMaps)
	vm.SetMaxCallStackSize(e.limits.Depth)
	vm.SetTimeSource(func() time.Time { return time.Unix(0, 0).UTC() })
	random := rand.NewPCG(1, 2)
	vm.SetRandSource(func() float64 { return float64(random.Uint64()>>11) / (1 << 53) })
	return vm
}

// run is a template that runs, in a runtime of its own.
type run struct {
	vm     *goja.Runtime
	script *script
	limits Limits
	output []byte
	// room is how many bytes may be printed.
	room int
	// ended: the template returned. late: a promise printed after that.
	ended, late bool
}

var (
	errNotFunction = errors.New("the braces and parentheses of the code do not match")
	errLate        = errors.New("it printed after its end: nothing waits for its promises")
)

// execute runs a template's program. A panic of goja is a fault of the template:
// it comes from what the template asked for, such as a slice longer than Go's.
func (r *run) execute(prelude *goja.Program, scope string, program *goja.Program) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the JavaScript engine failed: %v", v)
		}
	}()
	start, err := r.call(prelude, r.vm.ToValue(r.write), r.vm.ToValue(r.print), r.vm.ToValue(r.end), r.vm.ToValue(scope))
	if err != nil {
		return err
	}
	main, err := r.vm.RunProgram(program)
	if err != nil {
		return err
	}
	if _, ok := goja.AssertFunction(main); !ok {
		return errNotFunction
	}
	render, _ := goja.AssertFunction(start)
	if _, err := render(goja.Undefined(), main); err != nil {
		return err
	}
	if r.late {
		return errLate
	}
	return nil
}

// call calls the function that is a program's value.
func (r *run) call(program *goja.Program, arguments ...goja.Value) (goja.Value, error) {
	value, err := r.vm.RunProgram(program)
	if err != nil {
		return nil, err
	}
	function, _ := goja.AssertFunction(value)
	return function(goja.Undefined(), arguments...)
}

// write prints a string.
func (r *run) write(call goja.FunctionCall) goja.Value {
	s, ok := call.Argument(0).(goja.String)
	// A string has at least as many bytes as it has UTF-16 units.
	if !ok || !r.mayPrint(s.Length()) {
		return goja.Undefined()
	}
	if converted := s.String(); r.mayPrint(len(converted)) {
		r.output = append(r.output, converted...)
	}
	return goja.Undefined()
}

// print prints a text of the template by its number.
func (r *run) print(call goja.FunctionCall) goja.Value {
	n := call.Argument(0).ToInteger()
	if n >= 0 && n < int64(len(r.script.texts)) && r.mayPrint(len(r.script.texts[n])) {
		r.output = append(r.output, r.script.texts[n]...)
	}
	return goja.Undefined()
}

func (r *run) end(goja.FunctionCall) goja.Value {
	r.ended = true
	return goja.Undefined()
}

// mayPrint tells whether n more bytes can be printed, and stops the template if
// they are too many.
func (r *run) mayPrint(n int) bool {
	if r.ended {
		r.late = true
		return false
	}
	if n <= r.room-len(r.output) {
		return true
	}
	r.vm.Interrupt(ErrOutput)
	return false
}
