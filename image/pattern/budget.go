package pattern

import "errors"

// ErrTooMuchWork is wrapped by the error of a match that would have taken more
// steps than its budget has.
var ErrTooMuchWork = errors.New("the expression backtracks too much")

// Budget is the work that matches may still do, in steps of about 20 ns. One
// budget for many matches bounds them all together. A Budget is for one
// goroutine.
type Budget struct{ steps int }

// NewBudget returns a budget of some steps.
func NewBudget(steps int) *Budget { return &Budget{steps} }

// Add adds steps to a budget that is not used up.
func (b *Budget) Add(steps int) {
	if b.steps > 0 {
		b.steps += steps
	}
}

// take takes steps off the budget and reports whether it had them.
func (b *Budget) take(steps int) bool {
	b.steps -= steps
	if b.steps <= 0 {
		b.steps = 0
		return false
	}
	return true
}
