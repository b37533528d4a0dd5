package decide

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/limit"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/method"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

// Bounds on rate limits.
const (
	maxRateLimits = 64
	maxRequests   = 1 << 31
	minWindow     = time.Millisecond
	maxWindow     = 31 * 24 * time.Hour
	maxBy         = 16
)

// meter is one compiled rate limit.
type meter struct {
	rule *limit.Rule
	// seed is the rule's part of every key.
	seed                             [8]byte
	principal, session, server, tool bool
	pointers                         []pointer
}

// pointer leads to a value in params.arguments.
type pointer struct {
	text string
	path []string
}

// toolsOnly: the limit is for tools/call alone.
func (m *meter) toolsOnly() bool { return m.tool || len(m.pointers) > 0 }

// meters are the rate limits of a route.
type meters struct {
	all      []*meter
	byRule   map[string][]*meter
	discover *meter
	callers  callers
}

// Metered says that some message of the route may be refused for its rate.
func (r *Route) Metered() bool { return len(r.meters.all) > 0 || len(r.meters.byRule) > 0 }

// metered is one request of a message: a batch has several.
type metered struct {
	message *wire.Message
	rule    string
	action  *policyv1.Action
}

// Charges are what the message takes of rate limits; nil where none is for it. It needs
// the request that was decided, headers and body, and is asked once.
func (d *Decision) Charges(r *Request) []limit.Charge {
	if d.Call == nil || !d.Route.Metered() {
		return nil
	}
	k := keyer{route: d.Route, header: r.Header}
	if d.Rule == RuleBatch {
		for i := range d.elements {
			k.charge(&d.elements[i])
		}
		// They hold the body, which the decision outlives.
		d.elements = nil
		return k.charges
	}
	if d.Ranked() {
		k.charge(&metered{message: &d.Message, rule: d.Rule, action: d.Action})
	}
	return k.charges
}

// DiscoverCharge is what a server/discover takes of the limit beyond which it is answered
// from memory; ok is false for other messages.
func (d *Decision) DiscoverCharge(r *Request) (charge limit.Charge, ok bool) {
	if d.Call.GetMethod() != method.ServerDiscover || len(d.Call.GetId()) == 0 || d.CatalogKey == "" || d.Route.meters.discover == nil {
		return limit.Charge{}, false
	}
	k := keyer{route: d.Route, header: r.Header}
	return k.one(d.Route.meters.discover, &metered{message: &d.Message, action: d.Action}), true
}

// keyer makes charges; what is the same for all of them it works out once.
type keyer struct {
	route   *Route
	header  Header
	charges []limit.Charge

	caller, session       digest
	hasCaller, hasSession bool
}

// digest is the first half of a SHA-256.
type digest [16]byte

func (s digest) short() uint64 { return binary.BigEndian.Uint64(s[:8]) }

func digestOf(b []byte) digest {
	sum := sha256.Sum256(b)
	return digest(sum[:16])
}

func (k *keyer) charge(m *metered) {
	own := k.route.meters.byRule[m.rule]
	if k.charges == nil {
		k.charges = make([]limit.Charge, 0, len(k.route.meters.all)+len(own))
	}
	for _, list := range [2][]*meter{k.route.meters.all, own} {
		for _, one := range list {
			if one.toolsOnly() && m.message.Method != method.ToolsCall {
				continue
			}
			k.add(k.one(one, m))
		}
	}
}

// add joins charges of one key: those of a batch.
func (k *keyer) add(c limit.Charge) {
	for i := range k.charges {
		if k.charges[i].Key == c.Key {
			k.charges[i].Units += c.Units
			return
		}
	}
	k.charges = append(k.charges, c)
}

// one makes a charge. Each part of a key has a fixed length or begins with it, so that no
// two lists of values give one key.
func (k *keyer) one(m *meter, of *metered) limit.Charge {
	c := limit.Charge{Rule: m.rule, Units: int64(max(of.action.GetCost(), 1))}
	var buffer [256]byte
	key := append(buffer[:0], m.seed[:]...)
	if m.principal {
		caller := k.principal()
		key, c.Who.Principal = append(key, caller[:]...), caller.short()
	}
	if m.session {
		session := k.sessionOrCaller()
		key, c.Who.Session = append(key, session[:]...), session.short()
	}
	if m.server {
		key, c.Who.Server = appendText(key, of.action.GetServer()), of.action.GetServer()
	}
	if m.tool {
		key, c.Who.Tool = appendText(key, of.message.Name), of.message.Name
	}
	if len(m.pointers) > 0 {
		begin := len(key)
		for i := range m.pointers {
			value := argumentDigest(of.message.Arguments, m.pointers[i].path)
			key = append(key, value[:]...)
		}
		c.Who.Argument = digestOf(key[begin:]).short()
	}
	c.Key = limit.Key(digestOf(key))
	return c
}

func appendText(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func (k *keyer) principal() digest {
	if !k.hasCaller {
		k.caller, k.hasCaller = k.route.meters.callers.digest(k.header), true
	}
	return k.caller
}

func (k *keyer) sessionOrCaller() digest {
	if k.hasSession {
		return k.session
	}
	k.hasSession = true
	if ids := k.header.Values(headerSession); len(ids) > 0 {
		k.session = digestOf(append([]byte("session\x00"), ids[0]...))
	} else {
		k.session = k.principal()
	}
	return k.session
}

// argumentDigest is the same for values that mean the same: numbers by value, strings decoded, objects
// by RFC 8785. All that is not there is one value.
func argumentDigest(arguments jsontext.Value, path []string) digest {
	value, ok := jsontext.Value(nil), false
	if arguments != nil {
		value, ok = wire.Find(arguments, path...)
	}
	if !ok {
		return digest{}
	}
	var buffer [128]byte
	if canonical, ok := appendScalar(buffer[:0], value); ok {
		return digestOf(canonical)
	}
	whole := value.Clone()
	if whole.Canonicalize() != nil {
		return digestOf([]byte("odd"))
	}
	return digestOf(whole)
}

func (c *compiler) meters(p *policyv1.RoutePolicy) meters {
	out := meters{callers: c.callers(p.GetCallers())}
	instances := max(int(p.GetProcessors()), 1)
	out.all = c.meterList("rate_limits", p.GetRateLimits(), instances)
	if l := p.GetDiscoverLimit(); l != nil {
		out.discover = c.meter("discover_limit", l, instances)
	}
	for i, r := range p.GetRules() {
		if list := c.meterList(fmt.Sprintf("rules[%d].rate_limits", i), r.GetRateLimits(), instances); len(list) > 0 {
			if out.byRule == nil {
				out.byRule = map[string][]*meter{}
			}
			out.byRule[r.GetId()] = list
		}
	}
	return out
}

func (c *compiler) meterList(field string, list []*policyv1.RateLimit, instances int) []*meter {
	if len(list) > maxRateLimits {
		c.problem(field, "has %d entries, at most %d are taken", len(list), maxRateLimits)
		return nil
	}
	out := make([]*meter, 0, len(list))
	for i, l := range list {
		out = append(out, c.meter(fmt.Sprintf("%s[%d]", field, i), l, instances))
	}
	return out
}

func (c *compiler) meter(field string, l *policyv1.RateLimit, instances int) *meter {
	if l.GetId() == "" {
		c.problem(field+".id", "is empty")
	}
	if n := l.GetRequests(); n < 1 || n > maxRequests {
		c.problem(field+".requests", "%d is not within 1 to %d", n, maxRequests)
	}
	if per := c.duration(field+".per", l.GetPer()); per < minWindow || per > maxWindow {
		c.problem(field+".per", "%v is not within %v to %v", per, minWindow, maxWindow)
	}
	m := &meter{rule: &limit.Rule{
		ID: l.GetId(), Requests: int64(l.GetRequests()), //nolint:gosec // checked above
		Per: l.GetPer().AsDuration(), Shadow: l.GetShadow(), Instances: instances,
	}}
	binary.BigEndian.PutUint64(m.seed[:], l.GetKey())
	if len(l.GetBy()) > maxBy {
		c.problem(field+".by", "has %d entries, at most %d are taken", len(l.GetBy()), maxBy)
		return m
	}
	for _, by := range l.GetBy() {
		switch {
		case by == "principal":
			m.principal = true
		case by == "session":
			m.session = true
		case by == "server":
			m.server = true
		case by == "tool":
			m.tool = true
		case strings.HasPrefix(by, "/"):
			m.pointers = append(m.pointers, pointer{by, c.pointer(field+".by", by)})
		default:
			c.problem(field+".by", "%q is neither a known word nor a JSON pointer", by)
		}
	}
	return m
}

// ByWords says in words what a limit counts by itself, such as "from each caller for each
// tool"; empty where it counts all together.
func (r *Route) ByWords(rule *limit.Rule) string {
	for _, m := range r.meters.all {
		if m.rule == rule {
			return m.words()
		}
	}
	for _, list := range r.meters.byRule {
		for _, m := range list {
			if m.rule == rule {
				return m.words()
			}
		}
	}
	return ""
}

func (m *meter) words() string {
	var parts []string
	for _, p := range []struct {
		there bool
		words string
	}{{m.principal, "from each caller"}, {m.session, "in each session"}, {m.server, "to each server"}, {m.tool, "of each tool"}} {
		if p.there {
			parts = append(parts, p.words)
		}
	}
	for _, p := range m.pointers {
		parts = append(parts, "for each value of "+p.text)
	}
	return strings.Join(parts, ", ")
}

// explainMeters gives a line for each rate limit of the message.
func (d *Decision) explainMeters(r *Request) []string {
	var lines []string
	for _, c := range d.Charges(r) {
		text := fmt.Sprintf("%d in any %v", c.Rule.Requests, c.Rule.Per)
		if by := d.Route.ByWords(c.Rule); by != "" {
			text += " " + by
		}
		if c.Units > 1 {
			text += fmt.Sprintf(", this counts as %d", c.Units)
		}
		text += " (" + c.Rule.ID + ")"
		if c.Rule.Shadow {
			text += ", a shadow: refuses nothing"
		}
		lines = append(lines, text)
	}
	return lines
}
