// Package method is the table of MCP methods: what each means for retries, memory and
// headers. It follows the schemas of the revisions 2025-03-26 to 2026-07-28 and the
// tasks extension, and holds no policy of its own.
package method

// Methods that other packages name.
const (
	ServerDiscover          = "server/discover"
	Initialize              = "initialize"
	ToolsList               = "tools/list"
	ToolsCall               = "tools/call"
	PromptsList             = "prompts/list"
	ResourcesList           = "resources/list"
	ResourcesTemplatesList  = "resources/templates/list"
	SubscriptionsListen     = "subscriptions/listen"
	TasksList               = "tasks/list"
	NotificationPrefix      = "notifications/"
	NotificationInitialized = "notifications/initialized"
)

// Target is the parameter that says what a method acts on. In the modern revision the
// header Mcp-Name repeats its value.
type Target int

// Targets.
const (
	// NoTarget: Mcp-Name means nothing for the method.
	NoTarget Target = iota
	// Name is params.name.
	Name
	// URI is params.uri.
	URI
	// TaskID is params.taskId.
	TaskID
)

// Era is a set of protocol generations.
type Era int

// Eras.
const (
	// Legacy are the revisions with `initialize` and sessions, up to 2025-11-25.
	Legacy Era = 1 << iota
	// Modern is 2026-07-28: every request stands alone.
	Modern
	// Both is Legacy and Modern.
	Both = Legacy | Modern
)

// Info is what is known of one method.
type Info struct {
	// Name is the method.
	Name string
	// Eras in which a server may know the method.
	Eras Era
	// Target that Mcp-Name must equal.
	Target Target
	// Safe methods may be sent twice: they read. A message that carries inputResponses
	// or requestState may not, whatever its method.
	Safe bool
	// List names the member of the result that must be an array for the answer to be a
	// whole one worth remembering; empty where answers are not remembered.
	List string
	// Stream methods are answered by an event stream that stays open.
	Stream bool
}

// In returns what the method means in one era: nothing but its name where the era does
// not have it. Servers answer such a method as they answer any that they do not know.
func (i Info) In(era Era) Info {
	if i.Eras&era != 0 {
		return i
	}
	return Info{Name: i.Name, Eras: i.Eras}
}

// Lookup returns what is known of a method. Methods are case-sensitive; those of
// unknown extensions are not there and are to be treated as unsafe.
func Lookup(name string) (Info, bool) {
	info, ok := table(name)
	info.Name = name
	return info, ok
}

func table(name string) (Info, bool) {
	switch name {
	case ServerDiscover:
		// Clients of either era open with it, to find out what a server speaks.
		return Info{Eras: Both, Safe: true, List: "supportedVersions"}, true
	case ToolsList:
		return Info{Eras: Both, Safe: true, List: "tools"}, true
	case PromptsList:
		return Info{Eras: Both, Safe: true, List: "prompts"}, true
	case ResourcesList:
		return Info{Eras: Both, Safe: true, List: "resources"}, true
	case ResourcesTemplatesList:
		return Info{Eras: Both, Safe: true, List: "resourceTemplates"}, true
	case ToolsCall:
		return Info{Eras: Both, Target: Name}, true
	case "prompts/get":
		return Info{Eras: Both, Target: Name, Safe: true}, true
	case "resources/read":
		return Info{Eras: Both, Target: URI, Safe: true}, true
	case "completion/complete":
		return Info{Eras: Both, Safe: true}, true
	case SubscriptionsListen:
		return Info{Eras: Modern, Stream: true}, true
	case Initialize, "logging/setLevel", "resources/subscribe", "resources/unsubscribe":
		return Info{Eras: Legacy}, true
	case "ping":
		return Info{Eras: Legacy, Safe: true}, true
	case "tasks/get":
		return Info{Eras: Both, Target: TaskID, Safe: true}, true
	case "tasks/update":
		return Info{Eras: Modern, Target: TaskID}, true
	case "tasks/cancel":
		return Info{Eras: Both, Target: TaskID}, true
	case "tasks/result":
		return Info{Eras: Legacy, Target: TaskID, Safe: true}, true
	case TasksList:
		return Info{Eras: Legacy, Safe: true}, true
	case NotificationInitialized, "notifications/roots/list_changed":
		return Info{Eras: Legacy}, true
	case "notifications/cancelled", "notifications/progress":
		return Info{Eras: Both}, true
	}
	return Info{}, false
}

// Intern returns the table's own spelling of a method, so that the common ones cost no
// allocation; ok is false for methods that are not in the table.
func Intern(name []byte) (interned string, ok bool) {
	for _, known := range [...]string{
		ToolsCall, ToolsList, ServerDiscover, Initialize, NotificationInitialized,
		"ping", "prompts/get", "prompts/list", "resources/read", "resources/list",
		"notifications/cancelled", "notifications/progress", "tasks/get", SubscriptionsListen,
	} {
		if string(name) == known {
			return known, true
		}
	}
	return "", false
}
