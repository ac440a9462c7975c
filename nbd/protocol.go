package nbd

// The numbers of the protocol, section "Values".

// Handshake.
const (
	magicServer uint64 = 0x4e42444d41474943 // "NBDMAGIC", opens a connection
	magicOption uint64 = 0x49484156454f5054 // "IHAVEOPT", before every option
	magicReply  uint64 = 0x0003e889045565a9 // before every reply to an option

	flagFixedNewstyle = 1 << 0 // both directions
	flagNoZeroes      = 1 << 1 // both directions: no padding after an export name

	paddingSize = 124 // zeros after the answer to an export name
)

// option is what a client asks for in the handshake.
type option uint32

const (
	optExportName      option = 1
	optAbort           option = 2
	optList            option = 3
	optStartTLS        option = 5
	optInfo            option = 6
	optGo              option = 7
	optStructuredReply option = 8
	optListMetaContext option = 9
	optSetMetaContext  option = 10
)

// optionReply is the kind of an answer to an option.
type optionReply uint32

const (
	repAck         optionReply = 1
	repServer      optionReply = 2
	repInfo        optionReply = 3
	repMetaContext optionReply = 4

	repErrUnsupported optionReply = 1<<31 + 1
	repErrPolicy      optionReply = 1<<31 + 2
	repErrInvalid     optionReply = 1<<31 + 3
	repErrTLSRequired optionReply = 1<<31 + 5
	repErrUnknown     optionReply = 1<<31 + 6
	repErrShutdown    optionReply = 1<<31 + 7
	repErrTooBig      optionReply = 1<<31 + 9
)

// Kinds of information about an export, section "NBD_INFO".
const (
	infoExport      uint16 = 0
	infoName        uint16 = 1
	infoDescription uint16 = 2
	infoBlockSize   uint16 = 3
)

// Flags of an export.
const (
	exportHasFlags     uint16 = 1 << 0
	exportReadOnly     uint16 = 1 << 1
	exportSendDF       uint16 = 1 << 7
	exportCanMultiConn uint16 = 1 << 8
	exportSendCache    uint16 = 1 << 10
)

// Transmission.
const (
	magicRequest         uint32 = 0x25609513
	magicSimpleReply     uint32 = 0x67446698
	magicStructuredReply uint32 = 0x668e33ef

	requestSize     = 28 // bytes of a request without what it carries
	simpleReplySize = 16
	chunkHeaderSize = 20 // of a structured reply
	offsetSize      = 8
	holeSize        = offsetSize + 4
	statusSize      = 8 // of one descriptor of a block status
)

// command is the kind of a request.
type command uint16

const (
	cmdRead        command = 0
	cmdWrite       command = 1
	cmdDisconnect  command = 2
	cmdTrim        command = 4
	cmdCache       command = 5
	cmdWriteZeroes command = 6
	cmdBlockStatus command = 7
)

// Flags of a request.
const (
	cmdFlagDF     uint16 = 1 << 2 // answer a read in one chunk
	cmdFlagReqOne uint16 = 1 << 3 // answer a block status with one descriptor
)

// Kinds of chunks of a structured reply, and the flag of the last one.
const (
	chunkNone        uint16 = 0
	chunkOffsetData  uint16 = 1
	chunkOffsetHole  uint16 = 2
	chunkBlockStatus uint16 = 5
	chunkError       uint16 = 1<<15 + 1

	chunkDone uint16 = 1 << 0
)

// errno is an error as the protocol spells it.
type errno uint32

const (
	errnoOK       errno = 0
	errnoPerm     errno = 1
	errnoIO       errno = 5
	errnoInvalid  errno = 22
	errnoOverflow errno = 75
)

// message is what a client is told besides the number.
func (e errno) message() string {
	switch e {
	case errnoPerm:
		return "the export is read-only"
	case errnoIO:
		return "the content could not be read: the server's log says why"
	case errnoOverflow:
		return "more is asked for at once than the server said it would give"
	}
	return "the request is not a valid one"
}

// The metadata context base:allocation, section "Metadata contexts".
const (
	contextAllocation   = "base:allocation"
	contextAllocationID = 1 // ours to choose

	stateData     uint32 = 0
	stateHoleZero uint32 = 1<<0 | 1<<1 // NBD_STATE_HOLE and NBD_STATE_ZERO
)

// Bounds.
const (
	// maxName is the longest string of the protocol, section "Strings".
	maxName = 4096
	// maxOption is the most data that an option may carry, in bytes.
	maxOption = 64 << 10
	// maxOptions is how many options a client may send before it is sent away.
	maxOptions = 512
	// maxRead is the most content that one request may ask for, in bytes: the
	// default that clients assume, section "Block size constraints".
	maxRead = 32 << 20
	// preferredBlock is the block size that disks are laid out in, in bytes;
	// also the granularity of holes.
	preferredBlock = 4096
	// maxPiece is how much content one chunk carries, in bytes.
	maxPiece = 1 << 20
	// maxRequests is how many requests of a connection are served at a time. One
	// that waits for its content costs a goroutine.
	maxRequests = 1024
	// maxBuffered is how much content a connection holds, in bytes, unless one
	// request alone needs more. That little stays in the processor's cache.
	maxBuffered = 4 << 20
	// maxStatus is how many descriptors answer a block status.
	maxStatus = 16 << 10
)
