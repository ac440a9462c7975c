package journal

import (
	"fmt"
	"testing"
	"time"
)

// TestDatabaseIsRebuiltAsItWas lets clients push, delete, tag, hold and render at
// random while journals are written, by keepers that die at any step. Now and
// then the database is lost: what is rebuilt from the store must answer every
// request as the lost one did when its last journal was written — or, if a keeper
// died, as it did when that began to write one.
func TestDatabaseIsRebuiltAsItWas(t *testing.T) {
	for engine := range engines {
		for driver := range drivers {
			seeds := uint64(3)
			if testing.Short() {
				seeds = 1
			}
			t.Run(engine+" "+driver, func(t *testing.T) {
				happened := make(map[string]int)
				for seed := range seeds {
					t.Run(fmt.Sprint(seed), func(t *testing.T) {
						w := newWorld(t, engine, driver, seed)
						w.live()
						for what, n := range w.happened {
							happened[what] += n
						}
					})
				}
				for _, what := range []string{"push", "delete tag", "delete manifest", "delete blob", "hold", "render", "loss", "death", "complete"} {
					if happened[what] == 0 {
						t.Errorf("no %s ever happened: the test is of no use", what)
					}
				}
			})
		}
	}
}

// live is a history with two losses.
func (w *world) live() {
	w.must(w.keeper.Complete(w.ctx))
	w.saved = w.look()
	for loss := range 2 {
		for range 6 {
			for range 1 + w.rand.IntN(12) {
				w.turn()
			}
			w.journal()
			if w.rand.IntN(3) == 0 {
				w.now = w.now.Add(time.Duration(w.rand.IntN(30)) * time.Hour)
				_, err := w.gc.Collect(w.ctx)
				w.must(err)
				w.journal()
			}
		}
		w.flush()
		for range w.rand.IntN(10) { // what no journal has is lost
			w.turn()
		}
		w.lose()
		w.happened["loss"]++
		if d := differences(w.saved, w.look()); len(d) > 0 {
			w.t.Fatalf("after loss %d: %d differences:\n%s", loss, len(d), d)
		}
		w.wantSound()
	}
	w.turn()
}

// flush writes all journals that are due.
func (w *world) flush() {
	w.t.Helper()
	w.must(w.keeper.Flush(w.ctx))
	w.saved = w.look()
}

// journal lets a keeper write, and die at times. Then the database may be lost.
func (w *world) journal() {
	w.t.Helper()
	step, what := w.keeper.Flush, "flush"
	if w.rand.IntN(3) == 0 {
		step, what = w.keeper.Complete, "complete"
	}
	dies := w.rand.IntN(2) == 0
	if !dies {
		w.must(step(w.ctx))
		w.happened[what]++
		w.saved = w.look()
		return
	}
	before, now := w.saved, w.look()
	err := step(w.driver.until(w.ctx, w.rand.IntN(4)))
	w.driver.until(w.ctx, -1)
	if err == nil {
		w.saved = now
		return
	}
	w.happened["death"]++
	if w.rand.IntN(3) > 0 {
		w.flush() // the next keeper takes what the dead one left
		return
	}
	w.lose()
	w.happened["loss"]++
	w.saved = w.look()
	asBefore, asNow := differences(before, w.saved), differences(now, w.saved)
	if len(asBefore) > 0 && len(asNow) > 0 {
		w.t.Fatalf("after death in %s: %d differences to what was:\n%s", what, len(asNow), asNow)
	}
}
