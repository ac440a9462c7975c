package lint

// Severity says how bad a finding is.
type Severity string

// Severities.
const (
	Error   Severity = "error"   // it does not boot
	Warning Severity = "warning" // it boots, and lacks something
)

// Finding is one thing that an image lacks.
type Finding struct {
	Severity Severity `json:"severity"`
	// Check is the name of what was checked, for scripts: kernel, disk-driver, …
	Check string `json:"check"`
	What  string `json:"what"`
	Why   string `json:"why"`
	Do    string `json:"do"`
	// Looked is what was looked for, and where.
	Looked string `json:"looked"`
}

// ProviderReport is what an image lacks for a provider.
type ProviderReport struct {
	Provider string    `json:"provider"`
	Boots    bool      `json:"boots"` // no finding is an error
	Findings []Finding `json:"findings"`
}

// Report is what an image lacks.
type Report struct {
	// Kernel is the version that was looked at, and Initrd the path of its initrd,
	// or the name of the unified kernel image; empty without one.
	Kernel    string           `json:"kernel,omitempty"`
	Initrd    string           `json:"initrd,omitempty"`
	Providers []ProviderReport `json:"providers"`
}

// Boots reports whether the image boots with all of the providers.
func (r Report) Boots() bool {
	for _, p := range r.Providers {
		if !p.Boots {
			return false
		}
	}
	return true
}
