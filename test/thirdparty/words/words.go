// Package words is what a test and a client program say to each other: one JSON
// object a line, a Command in and an Answer out.
package words

// Values of Command.Era.
const (
	// Legacy opens with initialize.
	Legacy = "legacy"
	// Modern finds out what the server speaks, and takes the newest.
	Modern = "modern"
)

// Command is one thing that a client is to do.
type Command struct {
	// Do is "connect", "list", "call" or "close".
	Do string `json:"do"`
	// URL and Era go with connect.
	URL string `json:"url,omitempty"`
	Era string `json:"era,omitempty"`
	// Tool, Arguments and Progress go with call; Progress asks for notifications.
	Tool      string         `json:"tool,omitempty"`
	Arguments map[string]any `json:"arguments,omitempty"`
	Progress  bool           `json:"progress,omitempty"`
}

// Answer is what came of a Command.
type Answer struct {
	OK bool `json:"ok"`
	// Error is the client's own text, Code the JSON-RPC code where it tells one.
	Error string `json:"error,omitempty"`
	Code  int64  `json:"code,omitempty"`
	// Version is the revision that connect agreed on.
	Version string   `json:"version,omitempty"`
	Tools   []string `json:"tools,omitempty"`
	// IsError, Text and Progress (notifications seen) are of a call's result.
	IsError  bool   `json:"isError,omitempty"`
	Text     string `json:"text,omitempty"`
	Progress int    `json:"progress,omitempty"`
}
