package access

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// networkBits is how much of an IPv6 address stands for a client: a host has as
// many addresses below it as it likes (RFC 4291, section 2.5.4).
const networkBits = 64

// clientAddress returns the address of whoever sends a request: the connection's,
// or, where that is a proxy's, the last one in X-Forwarded-For that is not.
func clientAddress(r *http.Request, proxies []netip.Prefix) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	address := peer.Addr().Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		isProxy := slices.ContainsFunc(proxies, func(n netip.Prefix) bool { return n.Contains(address) })
		next, err := netip.ParseAddr(strings.TrimSpace(hop))
		if !isProxy || err != nil {
			break
		}
		address = next.Unmap().WithZone("")
	}
	if address.Is6() {
		if network, err := address.Prefix(networkBits); err == nil {
			return network.String()
		}
	}
	return address.String()
}
