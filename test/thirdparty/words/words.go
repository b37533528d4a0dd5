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
	// Do is "connect", "list", "call", "heard" or "close" for the program's one connection,
	// and "crew" or "dismiss" for many.
	Do string `json:"do"`
	// URL and Era go with connect. Listen has the client listen for changes of the list of
	// tools: with subscriptions/listen, or on the event stream of its session.
	URL    string `json:"url,omitempty"`
	Era    string `json:"era,omitempty"`
	Listen bool   `json:"listen,omitempty"`
	// Tool, Arguments and Progress go with call; Progress asks for notifications.
	Tool      string         `json:"tool,omitempty"`
	Arguments map[string]any `json:"arguments,omitempty"`
	Progress  bool           `json:"progress,omitempty"`
	// Size, PauseMs and Reopen go with crew, beside URL, Era, Tool and Arguments: how many
	// connections, of which each calls the tool again and again after a pause, and how many
	// of them, from the first one on, open anew after every ten calls.
	Size    int `json:"size,omitempty"`
	PauseMs int `json:"pauseMs,omitempty"`
	Reopen  int `json:"reopen,omitempty"`
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
	// Changes are those of the list of tools that were heard of, answered to heard.
	Changes int `json:"changes,omitempty"`
	// Tally is what a crew has met, answered to dismiss.
	Tally *Tally `json:"tally,omitempty"`
}

// Tally is what became of a crew's calls and connections.
type Tally struct {
	// Calls made, and those of them that got a result which is no error.
	Calls int `json:"calls"`
	Good  int `json:"good"`
	// Opened counts connections, Refused attempts to open one that failed.
	Opened  int `json:"opened"`
	Refused int `json:"refused"`
	// Dead counts connections that got no good answer any more at the end.
	Dead int `json:"dead"`
	// Errors counts the texts of failed calls and connections; after MaxErrors different
	// ones the rest has none.
	Errors map[string]int `json:"errors"`
}

// MaxErrors bounds Tally.Errors.
const MaxErrors = 20
