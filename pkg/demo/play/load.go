package play

import (
	"context"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/agents"
)

// newLoad calls get_order for two orders in turn; with neighbours every other call is one of
// list_orders.
func newLoad(opts Options, neighbours bool) *agents.Load[Outcome] {
	orders := []Order{shippedOrder, confirmedOrder}
	order := func(n int) Order {
		if neighbours {
			n /= 2
		}
		return orders[n%len(orders)]
	}
	return &agents.Load[Outcome]{
		Client: opts.client(), Callers: opts.Callers, Rate: opts.Rate,
		Call: func(ctx context.Context, c *agents.Caller, n int, due time.Time) Outcome {
			if neighbours && n%2 == 1 {
				return listOrders(ctx, c, due)
			}
			return getOrder(ctx, c, order(n), due)
		},
		Missed: func(n int, due time.Time) Outcome {
			return Outcome{OrderID: order(n).ID, Begun: due, Ended: time.Now(), Err: agents.ErrOverrun}
		},
	}
}

func (o Options) client() agents.Client {
	return agents.Client{Endpoint: o.Endpoint, Name: "holdfast-demo", Version: o.Version}
}
