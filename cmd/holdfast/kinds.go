package main

import (
	"fmt"
	"strings"
)

// kindWords are the kinds of resources with the words for them, the first one being
// what completion offers. Case does not matter.
var kindWords = []struct {
	kind  string
	words []string
}{
	{"Gateway", []string{"gateway", "gateways", "gw"}},
	{"MCPServer", []string{"server", "servers", "mcpserver", "mcpservers", "srv"}},
	{"MCPRoute", []string{"route", "routes", "mcproute", "mcproutes", "rt"}},
}

// kindOf gives the kind that a word means.
func kindOf(word string) (string, bool) {
	word = strings.ToLower(word)
	for _, k := range kindWords {
		for _, w := range k.words {
			if w == word {
				return k.kind, true
			}
		}
	}
	return "", false
}

// parseResource reads KIND, KIND/NAME or KIND NAME; nothing means every kind.
func parseResource(args []string) (kind, name string, err error) {
	if len(args) == 0 {
		return "", "", nil
	}
	word, name, slash := strings.Cut(args[0], "/")
	for _, second := range args[1:] {
		if slash {
			return "", "", usagef(fmt.Sprintf("give either %q or KIND NAME, not both", args[0]))
		}
		name, slash = second, true
	}
	kind, ok := kindOf(word)
	if !ok {
		return "", "", usagef(fmt.Sprintf("%q is no kind of resource: gateway, server or route", word))
	}
	if slash && name == "" {
		return "", "", usagef(fmt.Sprintf("%q names no %s", args[0], kind))
	}
	return kind, name, nil
}
