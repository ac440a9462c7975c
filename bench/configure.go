package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// templated makes a rootfs with three templates of another.
const templated = `
cp %s templates.tar
mkdir -p templates/.cloudlet templates/etc/network && cd templates
cat > .cloudlet/manifest <<'END'
{"args": {"hostname": {"type": "string"}},
 "templates": ["/etc/hostname", "/etc/resolv.conf", "/etc/network/interfaces"],
 "persistent": ["/var/log"], "volatile": ["/tmp/.+", "/var/tmp/.+", "/var/log/(?!apt).+", "/var/cache/apt/.+"]}
END
echo '<%%= args.hostname %%>' > etc/hostname
echo 'nameserver <%%= dns.nameservers[0] %%>' > etc/resolv.conf
echo 'iface <%%= ip.interfaces[0].name %%> inet static' > etc/network/interfaces
tar --append -f ../templates.tar --owner=0 --group=0 ./.cloudlet ./etc/hostname ./etc/resolv.conf ./etc/network/interfaces`

// configured measures how long it takes until a disk with a new configuration can
// be read.
func configured(ctx context.Context, s settings) error {
	if err := script(ctx, s.work, fmt.Sprintf(templated, s.tar)); err != nil {
		return err
	}
	srv, err := startServer(ctx, s, "configured")
	if err != nil {
		return err
	}
	if _, err := srv.cloudlets(ctx, "push", filepath.Join(s.work, "templates.tar"), srv.ref("golden/templates:12")); err != nil {
		return err
	}
	var readable []time.Duration
	for round := range s.rounds {
		config := filepath.Join(s.work, "config.json")
		err := os.WriteFile(config, fmt.Appendf(nil,
			`{"args": {"hostname": "node-%d"}, "dns": {"nameservers": ["192.0.2.1"]}, "ip": {"interfaces": [{"name": "eth0"}]}}`, round), 0o600)
		if err != nil {
			return err
		}
		took, _, _, err := srv.render(ctx, "golden/templates:12", "--config", config)
		if err != nil {
			return err
		}
		readable = append(readable, took)
	}
	fmt.Printf("| render with a new configuration: readable at any offset | | %.0f ms | | | ≤ 150 ms |\n", median(readable).Seconds()*1000)
	return srv.stop()
}
