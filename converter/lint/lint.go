package lint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cloudlets/cloudlets/converter/live"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// ErrProvider is wrapped by errors about providers that are not known.
var ErrProvider = errors.New("unknown provider")

// Lint says what an image lacks for providers, or for all that are known where none
// is named. The tree is that of the image without its volatile paths. Errors wrap
// [ErrProvider] and those of reading.
func Lint(ctx context.Context, tree *image.Tree, open extent.Opener, names ...string) (Report, error) {
	for _, name := range names {
		if !slices.Contains(Providers(), name) {
			return Report{}, fmt.Errorf("%w %q: expected one of %s", ErrProvider, name, strings.Join(Providers(), ", "))
		}
	}
	f, err := gather(ctx, tree, open)
	if err != nil {
		return Report{}, fmt.Errorf("lint: %w", err)
	}
	var report Report
	if f.kernel != nil {
		report.Kernel, report.Initrd = f.kernel.version, f.kernel.initrdName
	}
	for _, p := range providers {
		if len(names) == 0 || slices.Contains(names, p.name) {
			report.Providers = append(report.Providers, f.lint(p))
		}
	}
	return report, nil
}

// lint runs all checks for a provider.
func (f *facts) lint(p provider) ProviderReport {
	if p.way == fromMemory && f.fetchesRoot() {
		p = p.fetching()
	}
	l := &linter{facts: f, provider: p, findings: []Finding{}}
	for _, check := range []func(){
		l.checkKernel, l.checkGuest, l.checkBootloader, l.checkDisks, l.checkLive, l.checkFilesystem, l.checkInit, l.checkShell,
		l.checkNetworks, l.checkOthers, l.checkConsole, l.checkDHCP, l.checkAgents, l.checkGrowth,
		l.checkMachineID, l.checkHostKeys, l.checkRootPassword, l.checkLogin,
	} {
		check()
	}
	slices.SortStableFunc(l.findings, func(a, b Finding) int { return cmp.Compare(a.Severity, b.Severity) })
	boots := !slices.ContainsFunc(l.findings, func(f Finding) bool { return f.Severity == Error })
	return ProviderReport{Provider: p.name, Boots: boots, Findings: l.findings}
}

// fetchesRoot reports whether the initrd is made to fetch the root filesystem, so
// that a render has it do that.
func (f *facts) fetchesRoot() bool {
	_, ok := live.NetworkArguments(f.tree, "")
	return ok && f.kernel != nil && f.kernel.hasInitrd
}

// linter checks an image for one provider.
type linter struct {
	*facts
	provider
	findings []Finding
}

func (l *linter) report(f Finding) { l.findings = append(l.findings, f) }
