package config

import (
	"errors"
	"fmt"
	"net"
	"time"
)

// Config is the configuration of a server. Of its tags, key is the name in the
// file, default the value where nothing else is set, help says what it is for,
// enum lists what is allowed, and reload says that a change needs no restart.
type Config struct {
	Listen          string        `key:"listen" default:"127.0.0.1:5000" help:"address that the registry is served on"`
	Data            string        `key:"data" help:"directory for everything that is kept; if empty, cloudlets below XDG_DATA_HOME or ~/.local/share"`
	Database        Secret        `key:"database" help:"PostgreSQL database for the metadata, postgres://…; if empty, SQLite in the data directory"`
	Retention       string        `key:"retention" help:"JSON file that says which tags and untagged manifests to remove; if empty, none"`
	Admin           Admin         `key:"admin"`
	Log             Log           `key:"log"`
	IdleTimeout     time.Duration `key:"idleTimeout" default:"2m" help:"how long a transfer may stand still"`
	ShutdownTimeout time.Duration `key:"shutdownTimeout" default:"30s" reload:"true" help:"how long requests under way may take to end when the server is stopped"`
}

// Admin is the listener for those who run the server.
type Admin struct {
	Listen string `key:"listen" help:"address that /metrics, /livez and /readyz are served on, such as 127.0.0.1:5001; if empty, they are not"`
}

// Log is what is logged, and how.
type Log struct {
	Level  string `key:"level" default:"info" enum:"debug,info,warn,error" reload:"true" help:"least level of what is logged"`
	Format string `key:"format" default:"text" enum:"text,json" help:"form of a line of the log"`
	Access bool   `key:"access" default:"false" reload:"true" help:"log every request"`
}

// check refuses what no single value is to blame for, or no type can tell.
func (c *Config) check() error {
	return errors.Join(
		checkAddress("listen", c.Listen, false),
		checkAddress("admin.listen", c.Admin.Listen, true),
		checkPositive("idleTimeout", c.IdleTimeout),
		checkPositive("shutdownTimeout", c.ShutdownTimeout),
	)
}

func checkAddress(key, address string, optional bool) error {
	if address == "" && optional {
		return nil
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		return fmt.Errorf("%s: expected HOST:PORT, found %q", key, address)
	}
	return nil
}

func checkPositive(key string, d time.Duration) error {
	if d <= 0 {
		return fmt.Errorf("%s: expected a duration above zero, found %s", key, d)
	}
	return nil
}
