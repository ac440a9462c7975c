package iso9660

// field returns a system use field (SUSP 4.1).
func field(signature string, data ...[]byte) []byte {
	f := append([]byte(signature), 0, 1)
	for _, d := range data {
		f = append(f, d...)
	}
	f[2] = byte(len(f))
	return f
}

// continuation is the continuation areas of a directory: system use fields that
// do not fit the records they belong to. No area crosses a block, as Linux asks.
type continuation struct {
	first int64 // block
	data  []byte
}

// fit returns what stands in a record with room for so many bytes: the fields,
// or as many as fit and a field that says where the others are.
func (c *continuation) fit(fields [][]byte, room int) []byte {
	n := fitting(fields, room)
	head := join(fields[:n])
	if n == len(fields) {
		return head
	}
	return append(head, c.add(fields[n:])...)
}

// fitting returns how many fields fit in room bytes, with a field that says
// where the others are unless all fit.
func fitting(fields [][]byte, room int) int {
	if lengthOf(fields) <= room {
		return len(fields)
	}
	n, length := 0, continuationSize
	for length+len(fields[n]) <= room {
		length += len(fields[n])
		n++
	}
	return n
}

func lengthOf(fields [][]byte) (n int) {
	for _, f := range fields {
		n += len(f)
	}
	return n
}

func join(fields [][]byte) []byte {
	var p []byte
	for _, f := range fields {
		p = append(p, f...)
	}
	return p
}

// add puts fields into areas and returns the field that says where the first is.
func (c *continuation) add(fields [][]byte) []byte {
	left := blockSize - len(c.data)%blockSize
	if length := lengthOf(fields); length > left && left < blockSize {
		c.data = append(c.data, make([]byte, left)...)
		left = blockSize
	}
	start := len(c.data)
	n := fitting(fields, left)
	c.data = append(c.data, join(fields[:n])...)
	if n < len(fields) {
		next := len(c.data)
		c.data = append(c.data, make([]byte, start+blockSize-next)...)
		pointer := c.add(fields[n:])
		copy(c.data[next:], pointer)
		return c.pointer(start, next+continuationSize-start)
	}
	return c.pointer(start, len(c.data)-start)
}

// pointer returns the field that says where an area is (SUSP 5.1).
func (c *continuation) pointer(start, length int) []byte {
	f := field(fieldContinuation)
	f = appendBoth32(f, uint32(c.first+int64(start/blockSize)))
	f = appendBoth32(f, uint32(start%blockSize))
	f = appendBoth32(f, uint32(length))
	f[2] = continuationSize
	return f
}
