package config

import "strconv"

// number prints and compares as other ranges do.
type number int

func (n number) String() string { return strconv.Itoa(int(n)) }

func (c *Concurrency) applyDefaults() {
	if c != nil && c.Queue > 0 {
		setDefault(&c.MaxWait, DefaultMaxWait)
	}
}

// applyRank fills in what decides between calls when there is not room for all.
func (r *ToolRule) applyRank() {
	r.Concurrency.applyDefaults()
	setDefault(&r.Cost, DefaultCost)
	if r.Priority == nil {
		priority := DefaultPriority
		r.Priority = &priority
	}
}

func checkConcurrency(doc *document, path string, c *Concurrency) {
	if c == nil {
		return
	}
	rangeAt(doc, path+".limit", number(c.Limit), 1, maxConcurrent)
	rangeAt(doc, path+".queue", number(c.Queue), 0, maxQueue)
	rangeAt(doc, path+".maxWait", c.MaxWait, minTimeout, maxQueueWait)
	if c.Queue == 0 && doc.written(path+".maxWait") && doc.clean(path) {
		doc.report(path+".maxWait", "write a queue, or leave maxWait out", "nothing waits without a queue")
	}
}

func checkRank(doc *document, path string, rule ToolRule) {
	checkConcurrency(doc, path+".concurrency", rule.Concurrency)
	if rule.Priority != nil {
		rangeAt(doc, path+".priority", number(*rule.Priority), 0, maxPriority)
	}
	rangeAt(doc, path+".cost", number(rule.Cost), 1, maxCost)
}

// checkPatience finds calls that may wait longer than they may take.
func checkPatience(doc *document, path string, rule ToolRule) {
	c, origin := rule.Concurrency, ""
	if !doc.written(path + ".timeout") {
		origin = " (the route's)"
	}
	if c == nil || c.Queue == 0 || !doc.clean(path+".concurrency", path+".timeout") || c.MaxWait < rule.Timeout {
		return
	}
	doc.report(path+".concurrency.maxWait", "", "%s%s leaves no time to work: the timeout is %s%s",
		c.MaxWait, doc.orDefault(path+".concurrency.maxWait"), rule.Timeout, origin)
}
