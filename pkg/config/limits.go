package config

import "time"

// Bounds on what Load and Parse read, so that a mistaken or hostile directory costs little.
const (
	// MaxFiles is the largest number of files.
	MaxFiles = 1000
	// MaxDocuments is the largest number of parts of files, each a document of its own.
	MaxDocuments = 20_000
	// MaxFileBytes is the largest size of one file.
	MaxFileBytes = 1 << 20
	// MaxTotalBytes is the largest size of all files together.
	MaxTotalBytes = 16 << 20
	// MaxProblems is how many problems are told at once; the rest are counted.
	MaxProblems = 50
)

// Bounds on the YAML of one file.
const (
	maxDepth = 32
	maxNodes = 200_000
)

// Bounds on values. What people see of them stands in the comments of types.go.
const (
	maxNameBytes         = 63
	maxEndpointNameBytes = 160
	maxPathBytes         = 256
	maxPages             = 32
	maxPatternBytes      = 256
	maxRegexSize         = 1000
	maxScalarBytes       = 1024
	maxNumberBytes       = 32
	maxPipePathBytes     = 107

	maxHosts       = 256
	maxOrigins     = 2 * maxHosts
	maxProcessors  = 16
	maxRegions     = 16
	maxEndpoints   = 256
	maxServerRefs  = 64
	maxTools       = 2000
	maxArguments   = 16
	maxInValues    = 256
	maxAttempts    = 10
	maxMethods     = 100
	maxConsecutive = 1000
	minBodyBytes   = 1 << 10
	maxBodyBytes   = 4 << 20
	maxPort        = 65535
	maxConcurrent  = 100_000
	maxQueue       = 10_000
	maxPriority    = 9
	maxCost        = 100
	maxMoves       = 32
	maxHostBytes   = 253
	maxOriginBytes = 300
	maxHeaderBytes = 64
	maxRateLimits  = 16
	maxRequests    = 10_000_000
	maxBy          = 8
	maxProxies     = 64
	maxAudiences   = 16
	maxIssuerBytes = 512
	maxKeyBytes    = 64 << 10
)

const (
	minTimeout          = Duration(time.Millisecond)
	maxTimeout          = Duration(time.Hour)
	maxConnectTimeout   = Duration(30 * time.Second)
	maxIdleTimeout      = Duration(day)
	maxBackOff          = Duration(time.Minute)
	minProcessorTimeout = Duration(100 * time.Millisecond)
	maxProcessorTimeout = Duration(10 * time.Second)
	minEjection         = Duration(100 * time.Millisecond)
	maxFirstEjection    = Duration(time.Hour)
	maxEjection         = Duration(day)
	minCheckInterval    = Duration(100 * time.Millisecond)
	maxCheckInterval    = Duration(5 * time.Minute)
	minCheckTimeout     = Duration(10 * time.Millisecond)
	maxStaleAge         = Duration(7 * 24 * time.Hour)
	minWindow           = Duration(100 * time.Millisecond)
	maxWindow           = Duration(31 * day)
	maxQueueWait        = Duration(30 * time.Second)
	minSessionAge       = Duration(time.Minute)
	maxSessionAge       = Duration(30 * 24 * time.Hour)
)

const (
	maxMinimumCalls = 100_000
	maxBudgetFloor  = 100_000
)

// maxCoverSteps bounds the work of finding unreachable tool rules in one Parse.
const maxCoverSteps = 20_000_000
