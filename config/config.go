package config

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// Config is the configuration of a server. Of its tags, key is the name in the
// file, default the value where nothing else is set, help says what it is for,
// enum lists what is allowed, required wants a value, and reload says that a
// change needs no restart.
type Config struct {
	Listen          string        `key:"listen" default:"127.0.0.1:5000" help:"address that the registry is served on"`
	Data            string        `key:"data" help:"directory for everything that is kept; if empty, cloudlets below XDG_DATA_HOME or ~/.local/share"`
	Database        Secret        `key:"database" help:"PostgreSQL database for the metadata, postgres://…; if empty, SQLite in the data directory"`
	S3              S3            `key:"s3"`
	Access          string        `key:"access" reload:"true" help:"YAML file that says who may do what: see docs/access.md; if empty, whoever logs in may do everything, or everybody where nobody can"`
	Htpasswd        string        `key:"htpasswd" reload:"true" help:"file of users and bcrypt hashes (htpasswd -B); it is read again when it changes"`
	TLS             TLS           `key:"tls"`
	Retention       string        `key:"retention" reload:"true" help:"JSON file that says which tags and untagged manifests to remove; if empty, none"`
	Scrub           Scrub         `key:"scrub"`
	Admin           Admin         `key:"admin"`
	NBD             NBD           `key:"nbd"`
	Log             Log           `key:"log"`
	Events          Events        `key:"events"`
	IdleTimeout     time.Duration `key:"idleTimeout" default:"2m" help:"how long a transfer may stand still"`
	UploadExpiry    time.Duration `key:"uploadExpiry" default:"24h" help:"how long an unfinished upload is kept after it was last written to"`
	OrphanInterval  time.Duration `key:"orphanInterval" default:"168h" help:"how often the store is searched for objects that nothing refers to, as a crash may leave them; one that is found again twice uploadExpiry later is removed"`
	ShutdownTimeout time.Duration `key:"shutdownTimeout" default:"30s" reload:"true" help:"how long requests under way may take to end when the server is stopped"`
}

// S3 is a bucket for the blobs. Credentials are never part of a configuration.
type S3 struct {
	Endpoint   string `key:"endpoint" help:"URL of an S3-compatible server to keep blobs in, such as https://s3.eu-central-1.amazonaws.com; if empty, files in the data directory"`
	Bucket     string `key:"bucket" help:"bucket to keep blobs in"`
	Prefix     string `key:"prefix" help:"what the keys of all objects begin with, a slash after it"`
	Region     string `key:"region" help:"region of the bucket; if empty, the server is asked"`
	PartSize   int64  `key:"partSize" default:"67108864" help:"bytes of a part of a blob whose length is not known beforehand; there are at most 10000 parts"`
	EqualParts bool   `key:"equalParts" default:"false" help:"keep all parts of a blob at one size, as Cloudflare R2 wants it"`
	Checksums  bool   `key:"checksums" default:"true" help:"send CRC-32C checksums; old servers do not know them"`
	SpoolSize  int64  `key:"spoolSize" default:"4294967296" help:"most bytes of unfinished parts, on disk below the data directory"`
	CacheSize  int64  `key:"cacheSize" default:"1073741824" help:"most bytes of blobs that are kept, on disk below the data directory, once read"`

	Redirect         bool          `key:"redirect" default:"false" help:"have clients fetch blobs from the bucket itself, by URLs that are signed for each: see docs/operation.md"`
	RedirectMinSize  int64         `key:"redirectMinSize" default:"1048576" help:"bytes that a blob has at least for that"`
	RedirectExpiry   time.Duration `key:"redirectExpiry" default:"15m" help:"how long such a URL can be used; at most 1h"`
	RedirectEndpoint string        `key:"redirectEndpoint" help:"URL of the S3 server as clients reach it; if empty, s3.endpoint"`
}

// TLS is what the registry proves itself with. The files are read again when
// they change.
type TLS struct {
	Cert     string `key:"cert" help:"file with the server's certificate chain in PEM; if empty, plain HTTP is served"`
	Key      string `key:"key" help:"file with the private key of the certificate in PEM"`
	ClientCA string `key:"clientCa" help:"file with the certificates in PEM of those who vouch for clients"`
}

// Scrub is how the bytes of blobs are verified.
type Scrub struct {
	Interval   time.Duration `key:"interval" default:"720h" help:"how often every blob is verified; 0 for only when one cannot be read"`
	Rate       int64         `key:"rate" default:"20971520" help:"most bytes a second that each server reads to verify blobs"`
	RepairFrom string        `key:"repairFrom" help:"registries to fetch damaged blobs from, separated by commas, such as https://registry.example or https://mirror.example/prefix; if empty, none"`
}

// Admin is the listener for those who run the server.
type Admin struct {
	Listen string `key:"listen" help:"address that /metrics, /livez and /readyz are served on, such as 127.0.0.1:5001; if empty, they are not"`
}

// NBD is the listener that disks are attached over.
type NBD struct {
	Listen string `key:"listen" help:"address that images are served on as disks with the NBD protocol, HOST:PORT or unix:PATH: see docs/nbd.md; if empty, they are not"`
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
		checkNBD(c.NBD),
		checkS3(c.S3),
		checkScrub(c.Scrub),
		checkPositive("idleTimeout", c.IdleTimeout),
		checkPositive("uploadExpiry", c.UploadExpiry),
		checkPositive("orphanInterval", c.OrphanInterval),
		checkPositive("shutdownTimeout", c.ShutdownTimeout),
		c.Events.check(),
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

func checkNBD(c NBD) error {
	if path, unix := strings.CutPrefix(c.Listen, "unix:"); unix && path != "" {
		return nil
	}
	return checkAddress("nbd.listen", c.Listen, true)
}

func checkS3(c S3) error {
	if (c.Endpoint == "") != (c.Bucket == "") {
		return fmt.Errorf("s3: expected both endpoint and bucket or neither, found endpoint %q and bucket %q", c.Endpoint, c.Bucket)
	}
	if c.Redirect && c.Endpoint == "" {
		return errors.New("s3.redirect: expected s3.endpoint too, there is no bucket to send clients to")
	}
	return nil
}

func checkScrub(c Scrub) error {
	if c.Interval < 0 {
		return fmt.Errorf("scrub.interval: expected a duration of zero or more, found %s", c.Interval)
	}
	if c.Rate <= 0 {
		return fmt.Errorf("scrub.rate: expected a number of bytes above zero, found %d", c.Rate)
	}
	return nil
}

func checkPositive(key string, d time.Duration) error {
	if d <= 0 {
		return fmt.Errorf("%s: expected a duration above zero, found %s", key, d)
	}
	return nil
}
