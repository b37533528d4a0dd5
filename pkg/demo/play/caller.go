package play

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/holdfast-mcp/holdfast/pkg/agents"
)

// Outcome is one call and what came of it.
type Outcome struct {
	// Tool is get_order or list_orders; OrderID is get_order's argument.
	Tool, OrderID string
	// Begun and Ended as the caller saw them.
	Begun, Ended time.Time
	// Good: the order that was asked for, as the shop knows it.
	Good bool
	// Degraded: an answer that Holdfast gave in the servers' place, and said so.
	Degraded bool
	// Status and TotalRs of a good answer.
	Status  string
	TotalRs int64
	// Orders in a good answer of list_orders.
	Orders int
	// Text of an answer that is not good.
	Text string
	// Via is the endpoint that answered; empty: not known.
	Via string
	// Attempts that Envoy made; 0: not known.
	Attempts int
	// Err where there was no answer of the protocol at all.
	Err error
}

// Took is the time from the beginning of the call to its answer.
func (o Outcome) Took() time.Duration { return o.Ended.Sub(o.Begun) }

// getOrder calls get_order once; its time counts from when it was due.
func getOrder(ctx context.Context, c *agents.Caller, order Order, due time.Time) Outcome {
	return call(ctx, c, Outcome{Tool: toolName, OrderID: order.ID, Begun: due}, map[string]any{"order_id": order.ID}, order.check)
}

// listOrders calls list_orders once, as getOrder does.
func listOrders(ctx context.Context, c *agents.Caller, due time.Time) Outcome {
	return call(ctx, c, Outcome{Tool: neighbourName, Begun: due}, map[string]any{}, checkList)
}

// call makes one call of a tool; check reads a result that is not an error into the outcome.
func call(ctx context.Context, c *agents.Caller, o Outcome, arguments map[string]any, check func(*mcp.CallToolResult, *Outcome) (bool, error)) Outcome {
	a := c.Call(ctx, &mcp.CallToolParams{Name: o.Tool, Arguments: arguments})
	o.Ended, o.Err = a.Ended, a.Err
	if o.Err != nil {
		return o
	}
	o.Via, o.Attempts, o.Degraded = a.Via, a.Attempts, a.Degraded != ""
	if a.Result.IsError || o.Degraded {
		o.Text = a.Text()
		return o
	}
	o.Good, o.Err = check(a.Result, &o)
	return o
}

// Order is what the shop knows about an order.
type Order struct {
	ID, CustomerID, Status string
	TotalRs                int64
}

const (
	toolName      = "get_order"
	neighbourName = "list_orders"
)

// errWrongOrder is in the error of an answer about something else.
var errWrongOrder = errors.New("the answer is not the order that was asked for")

// check reads the structured content of a result into o.
func (w Order) check(result *mcp.CallToolResult, o *Outcome) (bool, error) {
	got, ok := result.StructuredContent.(map[string]any)
	if !ok {
		return false, fmt.Errorf("%w: it has no structured content", errWrongOrder)
	}
	total, _ := got["total_rs"].(float64)
	o.Status, _ = got["status"].(string)
	o.TotalRs = int64(total)
	if got["order_id"] != w.ID || got["customer_id"] != w.CustomerID || o.Status != w.Status || o.TotalRs != w.TotalRs {
		return false, fmt.Errorf("%w: %v", errWrongOrder, got)
	}
	return true, nil
}

// checkList takes any list that has orders.
func checkList(result *mcp.CallToolResult, o *Outcome) (bool, error) {
	got, _ := result.StructuredContent.(map[string]any)
	orders, _ := got["orders"].([]any)
	if o.Orders = len(orders); o.Orders == 0 {
		return false, errors.New("the answer has no orders")
	}
	return true, nil
}
