package decide

import (
	"fmt"
	"net/http"
	"time"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/method"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

// maxMisses bounds how many rules an Explanation says did not match.
const maxMisses = 100

// Miss is a rule that stands before the one that decided, and why it did not.
type Miss struct {
	Rule string
	Why  string
}

// Explanation is a Decision with its reasons, for people. String renders it.
type Explanation struct {
	Verb, Path string
	// Policy is the name of the policy that has the path; empty where none does.
	Policy string
	// Revision, Kind, Method and Tool are what was read from the message.
	Revision, Kind, Method, Tool string
	// Rule and Why say what chose the action.
	Rule, Why string
	// Misses are the earlier rules of a tools/call, at most 100; MoreMisses counts the others.
	Misses     []Miss
	MoreMisses int

	// Route is Envoy's route, Server the server it leads to.
	Route, Server string
	// Successor says who takes over from the server, and whether the caller is with it, in words; empty: nobody does.
	Successor string
	// Regions of the server in the order in which they are tried, in words; whoever
	// knows them fills them in, since policies do not.
	Regions string
	// Answers say which answers count as failures, and which do not, besides MCP's own
	// rules.
	Answers []string
	// Safe: the message may be sent again after a server may have begun it. Once: it
	// could be, but it continues an earlier message.
	Safe, Once bool
	Attempts   uint32
	// Timeout and PerTryTimeout to the first whole message of the answer, IdleTimeout between
	// pieces after it; 0: none.
	Timeout, PerTryTimeout, IdleTimeout time.Duration
	// BackOff before each further try, Budget of the server's retries; nil: none. Unretried is
	// Envoy's route once the budget is spent; empty where it changes nothing.
	BackOff   *policyv1.BackOff
	Budget    *policyv1.RetryBudget
	Unretried string
	// Wait is how long the caller said that it would wait; 0: it did not say.
	Wait         time.Duration
	MaxBodyBytes uint32
	// Unread: a body of more than LargeBody goes on unread where its server proves to compare
	// headers with bodies.
	Unread bool
	// Limits on the calls at a time, in words; Rank is what decides who is refused when
	// there is not room for all, empty where the message never is.
	Limits []string
	// Fallback is where the call goes when its server cannot answer, in words; empty: nowhere.
	Fallback string
	// StandIns are what the caller gets, in this order, when its server cannot answer, in words.
	StandIns []string
	Rank     string
	// Rates are the rate limits that the message counts for, in words.
	Rates []string
	// Callers says what tells callers apart; empty where it matters to no limit and no token is checked.
	Callers string
	// StaleListMaxAge is how old a remembered answer may be that is served in the
	// server's place; 0 where the message's answers are not remembered.
	StaleListMaxAge time.Duration

	// Sessions say, in words, what becomes of the session of the message; nil where its
	// revision has none.
	Sessions []string

	// SetHeaders and RemoveHeaders are the changes to the request.
	SetHeaders    []HeaderValue
	RemoveHeaders []string

	// Refused is what the message gets at once; nil where it goes to a server.
	Refused *degrade.Answer
	// Degraded is what it would get if all endpoints of the server, and of a second provider, were down and
	// nothing remembered; nil where it is refused. DegradedText is its text.
	Degraded     *degrade.Answer
	DegradedText string
}

// Explain decides a request by the same code as Headers and Body, and says why.
func (t *Table) Explain(r *Request) Explanation {
	first := t.Headers(r)
	decision := first.Decision
	if first.NeedBody {
		decision = t.Body(r)
	}
	e := Explanation{Verb: r.Verb, Path: r.Path, Refused: decision.Answer, Revision: decision.Revision}
	if decision.Route != nil {
		e.Policy = decision.Route.policy.GetName()
		e.MaxBodyBytes = decision.Route.policy.GetMaxBodyBytes()
	}
	m := &decision.Message
	if m.Kind != wire.Invalid {
		e.Kind, e.Method = m.Kind.String(), m.Method
	}
	if m.Method == method.ToolsCall {
		e.Tool = m.Name
	}
	if decision.Answer != nil {
		return e
	}
	e.Rule, e.Once = decision.Rule, decision.once
	e.Why = decision.Route.explainRule(&e, m)
	e.Route, e.Server = decision.Action.GetRoute(), decision.Action.GetServer()
	e.Successor = decision.explainSuccessor()
	if tests := decision.Route.AnswerTests(decision.Rule); tests != nil {
		e.Answers = tests.describe()
	}
	e.Safe = decision.Action.GetSafe()
	if decision.Call != nil {
		e.Safe = decision.Call.GetSafe()
	}
	e.Attempts = decision.Action.GetAttempts()
	e.Timeout = decision.Action.GetTimeout().AsDuration()
	e.explainTries(&decision)
	e.Fallback = decision.explainFallback()
	e.StandIns = decision.explainDegraded()
	e.Sessions = decision.explainSessions()
	e.Unread = decision.mayGoUnread()
	e.Limits, e.Rank = decision.explainAdmission()
	e.Rates = decision.explainMeters(r)
	if c := &decision.Route.meters.callers; c.verified || len(e.Rates) > 0 {
		e.Callers = c.words()
	}
	e.SetHeaders, e.RemoveHeaders = decision.SetHeaders, decision.RemoveHeaders
	if decision.CatalogKey != "" {
		e.StaleListMaxAge = decision.Route.RememberFor(m.Method)
	}
	e.Degraded, e.DegradedText = decision.allDown(r.RequestID)
	return e
}

// allDown is the answer, and its text, when Envoy finds no endpoint.
func (d *Decision) allDown(requestID string) (*degrade.Answer, string) {
	call := d.Call
	down := degrade.Local{Status: http.StatusServiceUnavailable, Flags: "UH", CodeDetails: "no_healthy_upstream"}
	if call == nil {
		// GET and DELETE carry no call whose outcome could be told.
		call = &policyv1.CallContext{Server: d.Action.GetServer(), Safe: true}
	}
	cause := degrade.FromEnvoy(down, call, requestID)
	if static := d.Static(); static != nil && degrade.StaticMayStandIn(call, &cause) {
		if answer, err := degrade.Static(call, static, cause); err == nil {
			return &answer, staticText(static)
		}
	}
	answer := degrade.Render(call, cause, d.Route.policy.GetErrors())
	if len(d.Batch) > 0 {
		causes := make([]degrade.Cause, len(d.Batch))
		for i, call := range d.Batch {
			causes[i] = degrade.FromEnvoy(down, call, requestID)
		}
		answer = degrade.RenderBatch(d.Batch, causes, d.Route.policy.GetErrors())
	}
	return &answer, cause.Message
}

// explainRule says why a rule decided, and fills in why the earlier ones did not.
func (r *Route) explainRule(e *Explanation, m *wire.Message) string {
	switch {
	case e.Verb == http.MethodGet:
		return "GET opens a server's event stream"
	case e.Verb == http.MethodDelete:
		return "DELETE ends a session"
	case m.Kind == wire.Batch:
		return "its messages all lead to this server; it may run twice only where each of them may"
	case m.Kind != wire.Request:
		return "a " + e.Kind + " goes with the session"
	case m.Method != method.ToolsCall:
		if found := r.methods.first(m.Method); found != nil && found.id == e.Rule {
			return fmt.Sprintf("the first rule that matches: method %q; %s", found.glob, explainMethod(m.Method))
		}
		return explainMethod(m.Method)
	}
	for i := range r.rules.rules {
		candidate := &r.rules.rules[i]
		miss := candidate.miss(m)
		if miss == matched {
			return "the first rule that matches: " + candidate.describe()
		}
		if len(e.Misses) == maxMisses {
			e.MoreMisses++
			continue
		}
		e.Misses = append(e.Misses, Miss{Rule: candidate.id, Why: candidate.whyNot(miss, m)})
	}
	return fmt.Sprintf("none of the %d tool rules matches", len(r.rules.rules))
}

func explainMethod(name string) string {
	info, known := method.Lookup(name)
	switch {
	case !known:
		return "the method is not known, so it may not run twice"
	case info.Stream:
		return "the method opens an event stream"
	case info.Safe:
		return "the method only reads"
	}
	return "the method may not run twice"
}

func (r *rule) describe() string {
	text := r.name.describe()
	for i := range r.arguments {
		text += ", " + r.arguments[i].describe()
	}
	return text
}

func (r *rule) whyNot(miss int, m *wire.Message) string {
	if miss == nameDiffers {
		return fmt.Sprintf("%s is not %q", r.name.describe(), m.Name)
	}
	tested := &r.arguments[miss]
	value, there := wire.Find(m.Arguments, tested.path...)
	if m.Arguments == nil || !there {
		return fmt.Sprintf("%s: the argument is not there", tested.describe())
	}
	const most = 80
	if len(value) > most {
		value = append(value[:most:most], "…"...)
	}
	return fmt.Sprintf("%s: the argument is %s", tested.describe(), value)
}

func (p *namePattern) describe() string {
	switch {
	case p.exact != "":
		return fmt.Sprintf("name %q", p.exact)
	case p.glob != "":
		return fmt.Sprintf("name like %q", p.glob)
	case p.regex != nil:
		return fmt.Sprintf("name matching %s", p.regex.source)
	}
	return "any name"
}

func (a *argument) describe() string {
	if a.regex != nil {
		return fmt.Sprintf("argument %s matching %s", a.pointer, a.regex.source)
	}
	return fmt.Sprintf("argument %s in [%s]", a.pointer, a.values)
}
