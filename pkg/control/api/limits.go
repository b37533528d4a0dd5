package api

import "time"

// Limits of messages.
const (
	// MaxDocumentsBytes is the largest size of the documents of an ApplyRequest together.
	MaxDocumentsBytes = 4 << 20
	// MaxMessageBytes is the largest ApplyRequest, uncompressed. It leaves room for JSON, which
	// writes line ends and quotes as two bytes.
	MaxMessageBytes = 6 << 20
	// MaxHistory is the largest number of revisions that History gives at once.
	MaxHistory = 1000
	// DefaultHistory is what it gives where the request names no number.
	DefaultHistory = 20

	// Every other request is a few names and a reason.
	maxSmallMessageBytes = 64 << 10
	maxAnswerBytes       = 64 << 20
	// What is read of a request at all, so that a caller with a message that is too large is told so.
	maxBodyBytes = 4 * MaxMessageBytes
	maxRemovals  = 20_000
	maxNameBytes = 256
	maxNodeBytes = 1024
	// Where compressing costs more than it saves.
	minCompressedBytes = 1 << 10
	// Deepest nesting of a message, in JSON and in protobuf; ours need three.
	maxDepth = 16
)

// Limits of what goes on at once, over all listeners of a Service.
const (
	// One write is being made and these wait for it, each with its message in memory.
	maxWaitingWrites = 8
	maxReads         = 32
	maxWatches       = 32
)

// times are limits on how long things may take.
type times struct {
	// body of a request, from its first byte on.
	body time.Duration
	// call, with the time that it waits for others.
	call time.Duration
	// answer: how long a reader may take after that, or for one message of a stream.
	answer time.Duration
}

var defaultTimes = times{body: 30 * time.Second, call: time.Minute, answer: 10 * time.Second}
