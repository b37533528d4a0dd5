package config

// ToolDegrade says what stands in for the answer of a tool whose server cannot give one. A fallback is asked first,
// then a remembered result is looked for, then the static answer is given; where there is nothing of that, the call is refused.
type ToolDegrade struct {
	// CachedResult: a good result is remembered, and given again when there is no other. Only for a
	// tool that is safe. Default: none is remembered.
	CachedResult *CachedResult `yaml:"cachedResult,omitempty" json:"cachedResult,omitempty"`
	// StaticAnswer: what an operator has written is given when there is no other answer. A call that may run once gets it only
	// where it has provably not been carried out. Default: none.
	StaticAnswer *StaticAnswer `yaml:"staticAnswer,omitempty" json:"staticAnswer,omitempty"`
}

// CachedResult has good results of a tool remembered, each for the arguments, the protocol revision and the caller that it was given for. Results above
// 64KiB are not remembered, nor is what has isError, asks for input or is a task, nor the answer to a call that continues an earlier one.
// A remembered result says how old it is.
type CachedResult struct {
	// MaxAge up to which a result is given again, 1s to 7d.
	MaxAge Duration `yaml:"maxAge" json:"maxAge"`
	// Shared is the operator's word that the tool answers all callers alike: a result that was given to one may be given to all.
	// Default false: each caller gets its own.
	Shared bool `yaml:"shared,omitempty" json:"shared,omitempty"`
	// Vary names further request headers, at most 8, that the tool's answers depend on, such as x-tenant. Default: none.
	Vary []string `yaml:"vary,omitempty" json:"vary,omitempty"`
	// BeforeFallback: where a result is remembered, the fallback is not asked. Default false.
	BeforeFallback bool `yaml:"beforeFallback,omitempty" json:"beforeFallback,omitempty"`
	// Warn: "on" adds a text to the content that tells the model how old the result is; "off" leaves that to the header and
	// to _meta["holdfast/degraded"]. Default on.
	Warn Switch `yaml:"warn,omitempty" json:"warn,omitempty"`
}

// StaticAnswer is a result that an operator has written. Where a tool has an output schema, clients refuse a result
// without structured content that fits it, unless it is an error: then it is not given, and the log
// says why; holdfast apply and holdfast status warn of it beforehand, where the control plane knows the tool.
type StaticAnswer struct {
	// Text for the model, at most 4096 bytes. Default: the structured content as JSON.
	Text string `yaml:"text,omitempty" json:"text,omitempty"`
	// StructuredContent is a mapping that fits the tool's output schema; at most 16384 bytes as JSON, nested at most 16 deep. Default: none.
	StructuredContent *Value `yaml:"structuredContent,omitempty" json:"structuredContent,omitempty"`
	// IsError says that the call has failed. Default false.
	IsError bool `yaml:"isError,omitempty" json:"isError,omitempty"`
}

// Value is any value that JSON has, kept as compact JSON. Text is in quotes where YAML would read something else.
type Value struct {
	JSON string
}
