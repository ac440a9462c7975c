package cloudlet

import (
	"net/netip"
	"slices"
)

// checkNetwork checks what a schema cannot say of dns and ip. Values of the
// wrong type are passed over: the schema tells of them.
func checkNetwork(value any, problems *Problems) {
	servers, _ := lookup(value, []string{"dns", "nameservers"})
	for key, server := range members(servers) {
		checkAddress(server, "/dns/nameservers/"+key, problems)
	}
	found, _ := lookup(value, []string{"ip", "interfaces"})
	names, macs := map[string]string{}, map[string]string{}
	for key, value := range members(found) {
		if fields, ok := value.(object); ok {
			i := networkInterface{fields: fields, at: "/ip/interfaces/" + key, problems: problems}
			i.check()
			i.checkOnce("name", names)
			i.checkOnce("mac", macs)
		}
	}
}

// checkAddress checks one IP address and returns it.
func checkAddress(value any, at string, problems *Problems) (netip.Addr, bool) {
	text, ok := value.(string)
	if !ok {
		return netip.Addr{}, false
	}
	address, err := netip.ParseAddr(text)
	if err != nil {
		problems.add(at, text, "expected an IPv4 or IPv6 address")
		return netip.Addr{}, false
	}
	if address.Zone() != "" || address.Is4In6() {
		problems.add(at, text, "expected an address without zone, and IPv4 addresses as such")
		return netip.Addr{}, false
	}
	return address, true
}

// networkInterface is one interface, while it is checked.
type networkInterface struct {
	fields   object
	at       string
	problems *Problems
	subnets  []netip.Prefix // its static addresses
}

func (i *networkInterface) check() {
	seen := map[netip.Prefix]bool{}
	for key, value := range members(i.fields["addresses"]) {
		i.checkStatic(key, value, seen)
	}
	i.checkGateway("gateway4", "dhcp4", netip.Addr.Is4)
	i.checkGateway("gateway6", "dhcp6", netip.Addr.Is6)
	for key, value := range members(i.fields["routes"]) {
		if route, ok := value.(object); ok {
			i.checkRoute(route, i.at+"/routes/"+key)
		}
	}
}

// checkOnce checks that no other interface has the same value in a field.
func (i *networkInterface) checkOnce(field string, seen map[string]string) {
	text, ok := i.fields[field].(string)
	if !ok {
		return
	}
	if other, twice := seen[text]; twice {
		i.problems.add(i.at+"/"+field, text, "%s has the same %s", other, field)
	}
	seen[text] = i.at
}

func (i *networkInterface) checkStatic(key string, value any, seen map[netip.Prefix]bool) {
	at := i.at + "/addresses/" + key
	text, ok := value.(string)
	if !ok {
		return
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil || prefix.Addr().Is4In6() {
		i.problems.add(at, text, "expected an address with the length of its prefix, such as 192.0.2.10/24")
		return
	}
	address := prefix.Addr()
	family := "dhcp6"
	if address.Is4() {
		family = "dhcp4"
	}
	switch {
	case address.IsUnspecified() || address.IsMulticast():
		i.problems.add(at, text, "expected the address of one machine")
	case address.Is4() && prefix.Bits() < 31 && prefix.Bits() > 0 && (address == prefix.Masked().Addr() || address == lastAddress(prefix)):
		i.problems.add(at, text, "the first and the last address of an IPv4 subnet are no machine's")
	case seen[prefix]:
		i.problems.add(at, text, "the address is there twice")
	case i.fields[family] == true:
		i.problems.add(at, text, "a static address and %s exclude each other: leave out one of the two", family)
	}
	seen[prefix] = true
	i.subnets = append(i.subnets, prefix)
}

// lastAddress returns the broadcast address of an IPv4 subnet.
func lastAddress(prefix netip.Prefix) netip.Addr {
	b := prefix.Masked().Addr().As4()
	for bit := prefix.Bits(); bit < 32; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(b)
}

func (i *networkInterface) checkGateway(field, dhcp string, isFamily func(netip.Addr) bool) {
	value, given := i.fields[field]
	if !given {
		return
	}
	at := i.at + "/" + field
	gateway, ok := checkAddress(value, at, i.problems)
	switch {
	case !ok:
	case !isFamily(gateway):
		i.problems.add(at, value, "expected an IPv%s address", field[len(field)-1:])
	case i.fields[dhcp] == true:
		i.problems.add(at, value, "with %s the router comes from DHCP: leave out one of the two", dhcp)
	default:
		i.checkReachable(gateway, at)
	}
}

// checkReachable checks that a router is a neighbour of the interface.
func (i *networkInterface) checkReachable(router netip.Addr, at string) {
	if router.Is6() && router.IsLinkLocalUnicast() {
		return
	}
	near := func(p netip.Prefix) bool { return p.Contains(router) }
	if !slices.ContainsFunc(i.subnets, near) {
		i.problems.add(at, router.String(), "expected a router in the subnet of one of the interface's addresses")
		return
	}
	if slices.ContainsFunc(i.subnets, func(p netip.Prefix) bool { return p.Addr() == router }) {
		i.problems.add(at, router.String(), "this is the interface's own address")
	}
}

func (i *networkInterface) checkRoute(route object, at string) {
	via, ok := checkAddress(route["via"], at+"/via", i.problems)
	if ok && !i.hasDHCP(via) {
		i.checkReachable(via, at+"/via")
	}
	text, isText := route["to"].(string)
	if !isText || text == "default" {
		return
	}
	to, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		i.problems.add(at+"/to", text, "expected a subnet such as 198.51.100.0/24, or default")
	case to.Masked() != to:
		i.problems.add(at+"/to", text, "expected the subnet's own address: %s", to.Masked())
	case ok && via.Is4() != to.Addr().Is4():
		i.problems.add(at+"/to", text, "the route and its router %s are of different families", via)
	}
}

// hasDHCP reports whether the subnets of an address's family are not known.
func (i *networkInterface) hasDHCP(address netip.Addr) bool {
	if address.Is4() {
		return i.fields["dhcp4"] == true
	}
	return i.fields["dhcp6"] == true
}
