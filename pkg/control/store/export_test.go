package store

// Unsynced leaves durability to the system.
func Unsynced(o Options) Options {
	o.unsynced = true
	return o
}

// For tests that make what no store would write.
var (
	DecodeEntry    = decodeEntry
	DecodeUndo     = decodeUndo
	DecodeRevision = decodeRevision
	Checksum       = checksum
	LockName       = lockName
)
