package client

// Progress is told how long work goes on. Its methods are called from one
// goroutine at a time for each step.
type Progress interface {
	// Step begins a step of total bytes; total is negative where nobody knows.
	Step(name string, total int64) Step
}

// Step is a step under way.
type Step interface {
	// Set says how many bytes are done.
	Set(done int64)
	// End ends the step, with the error that ended it early, if any.
	End(err error)
}

// Silent is a [Progress] that says nothing.
type Silent struct{}

// Step returns a step that says nothing.
func (Silent) Step(string, int64) Step { return silentStep{} }

type silentStep struct{}

func (silentStep) Set(int64) {}
func (silentStep) End(error) {}

// counter is a writer that reports how much went through.
type counter struct {
	step Step
	n    int64
}

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	c.step.Set(c.n)
	return len(p), nil
}
