package decide

import (
	"fmt"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/method"
)

// explainSessions says where messages of a session go, whose it is, how long it lasts and
// what becomes of it without its endpoint.
func (d *Decision) explainSessions() []string {
	server, ok := d.Route.Server(d.Action.GetServer())
	if !ok || !isLegacy(d.Revision) && d.Revision != "" {
		return nil
	}
	var out []string
	alone, lost := len(server.GetEndpoints()) == 1, "without its endpoint"
	if alone {
		lost = "when the server does not know it any more"
	}
	switch {
	case d.Call.GetMethod() == method.Initialize:
		if offered := d.Message.InitVersion; offered != "" && !Speaks(offered) {
			out = append(out, fmt.Sprintf("the server is offered revision %s in the place of %q, which is not spoken here", d.Revision, offered))
		}
		out = append(out, "if the server opens one, its id is replaced by a sealed one that every processor can read")
	case alone:
		out = append(out, "a message with a session id goes to the server's only endpoint")
	default:
		out = append(out, "a message with a session id goes to the endpoint that has the session, whatever the regions' order")
	}
	if header := server.GetSessionPrincipalHeader(); header != "" {
		out = append(out, fmt.Sprintf("bound to %s at initialize; with another one it is not found (404)", d.Route.meters.callers.boundTo(header)))
	} else {
		out = append(out, "bound to nobody: whoever has its id may use it")
	}
	if age := server.GetSessionMaxAge().AsDuration(); age > 0 {
		out = append(out, fmt.Sprintf("over after %v (404)", age))
	}
	if server.GetReinitializeSessions() {
		if !alone {
			lost += ", or where that does not know it any more,"
		}
		return append(out, lost+" it is opened again with the client's own initialize, log level and subscriptions")
	}
	return append(out, lost+" it is lost: a bare 404, and the client has to connect anew")
}
