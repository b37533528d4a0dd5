package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// Tools declare the hints that a server of this kind would; a gateway takes
// nothing on their word.
func reading(name, description string) *mcp.Tool {
	return &mcp.Tool{Name: name, Description: description, Annotations: &mcp.ToolAnnotations{ReadOnlyHint: true, IdempotentHint: true}}
}

func writing(name, description string) *mcp.Tool {
	destructive := false
	return &mcp.Tool{Name: name, Description: description, Annotations: &mcp.ToolAnnotations{DestructiveHint: &destructive}}
}

type orderIn struct {
	OrderID string `json:"order_id" jsonschema:"the order's number, such as ORD-7701"`
}

type listOrdersIn struct {
	Channel string `json:"channel,omitempty" jsonschema:"only orders of this channel: web, app or store"`
	Status  string `json:"status,omitempty" jsonschema:"only orders with this status"`
}

type listOrdersOut struct {
	Orders []Order `json:"orders"`
}

type createOrderIn struct {
	CustomerID string `json:"customer_id" jsonschema:"who orders"`
	TotalRs    int64  `json:"total_rs" jsonschema:"what it costs, in whole rupees"`
	OrderID    string `json:"order_id,omitempty" jsonschema:"the number to use; left out: the next one"`
	DelayMS    int64  `json:"delay_ms,omitempty" jsonschema:"how long the work takes, 0 to 30000"`
}

type trackOrderIn struct {
	OrderID string `json:"order_id" jsonschema:"the order's number, such as ORD-7701"`
	StepMS  *int64 `json:"step_ms,omitempty" jsonschema:"time between two steps, 0 to 10000; default 50"`
}

type trackOrderOut struct {
	OrderID string   `json:"order_id"`
	Status  string   `json:"status"`
	Steps   []string `json:"steps" jsonschema:"where the parcel has been"`
}

type reportIn struct {
	DelayMS *int64 `json:"delay_ms,omitempty" jsonschema:"how long the report takes, 0 to 30000; default 300"`
}

type reportOut struct {
	Orders  int   `json:"orders" jsonschema:"how many orders there are"`
	TotalRs int64 `json:"total_rs" jsonschema:"what they cost together, in whole rupees"`
}

const (
	defaultReportMS = 300
	maxWorkMS       = 30_000
	defaultStepMS   = 50
	maxStepMS       = 10_000
)

// work takes ms milliseconds, as a slow database would.
func work(ctx context.Context, ms, limit int64) error {
	if ms < 0 || ms > limit {
		return fmt.Errorf("%d ms is not between 0 and %d", ms, limit)
	}
	return sleep(ctx, time.Duration(ms)*time.Millisecond)
}

func addOrderTools(s *Server) {
	book := newOrderBook()
	addTool(s, reading("get_order", "Returns one order: customer, status, total."),
		func(_ context.Context, _ *mcp.CallToolRequest, in orderIn) (Order, error) {
			return book.get(in.OrderID)
		})
	addTool(s, reading("list_orders", "Lists orders, all of them or those of a channel or status."),
		func(_ context.Context, _ *mcp.CallToolRequest, in listOrdersIn) (listOrdersOut, error) {
			return listOrdersOut{Orders: book.list(in.Channel, in.Status)}, nil
		})
	addTool(s, writing("create_order", "Places an order. Calling it twice places two."),
		func(ctx context.Context, _ *mcp.CallToolRequest, in createOrderIn) (Order, error) {
			if in.CustomerID == "" || in.TotalRs < 0 {
				return Order{}, errors.New("an order has a customer and a total of at least 0")
			}
			if err := work(ctx, in.DelayMS, maxWorkMS); err != nil {
				return Order{}, err
			}
			return book.create(Order{OrderID: in.OrderID, CustomerID: in.CustomerID, Status: "CONFIRMED", TotalRs: in.TotalRs, Channel: "web"})
		})
	addTool(s, reading("track_order", "Follows a parcel step by step; sends progress where the caller asks for it."),
		func(ctx context.Context, req *mcp.CallToolRequest, in trackOrderIn) (trackOrderOut, error) {
			return track(ctx, req, book, in)
		})
	addTool(s, reading("report", "Adds up all orders, slowly: 300 ms unless told otherwise."),
		func(ctx context.Context, _ *mcp.CallToolRequest, in reportIn) (reportOut, error) {
			delay := int64(defaultReportMS)
			if in.DelayMS != nil {
				delay = *in.DelayMS
			}
			if err := work(ctx, delay, maxWorkMS); err != nil {
				return reportOut{}, err
			}
			var out reportOut
			for _, o := range book.list("", "") {
				out.Orders++
				out.TotalRs += o.TotalRs
			}
			return out, nil
		})
}

func track(ctx context.Context, req *mcp.CallToolRequest, book *orderBook, in trackOrderIn) (trackOrderOut, error) {
	order, err := book.get(in.OrderID)
	if err != nil {
		return trackOrderOut{}, err
	}
	delay := int64(defaultStepMS)
	if in.StepMS != nil {
		delay = *in.StepMS
	}
	steps := []string{"placed", "packed in Mumbai", "on the road", "at the hub in Delhi", "out for delivery"}
	token := req.Params.GetProgressToken()
	for i, step := range steps {
		if err := work(ctx, delay, maxStepMS); err != nil {
			return trackOrderOut{}, err
		}
		if token == nil {
			continue
		}
		err := req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{
			ProgressToken: token, Progress: float64(i + 1), Total: float64(len(steps)), Message: step,
		})
		if err != nil {
			return trackOrderOut{}, fmt.Errorf("reporting progress: %w", err)
		}
	}
	return trackOrderOut{OrderID: order.OrderID, Status: order.Status, Steps: steps}, nil
}

type skuIn struct {
	SKU string `json:"sku" jsonschema:"the article's number, such as SKU-100"`
}

type listStockOut struct {
	Stock []Stock `json:"stock"`
}

type reserveIn struct {
	SKU      string `json:"sku" jsonschema:"the article's number, such as SKU-100"`
	Quantity int64  `json:"quantity" jsonschema:"how many pieces, at least 1"`
}

func addInventoryTools(s *Server) {
	store := newWarehouse()
	addTool(s, reading("check_stock", "Returns how many pieces of an article are available."),
		func(_ context.Context, _ *mcp.CallToolRequest, in skuIn) (Stock, error) { return store.get(in.SKU) })
	addTool(s, reading("list_stock", "Lists all articles."),
		func(context.Context, *mcp.CallToolRequest, struct{}) (listStockOut, error) {
			return listStockOut{Stock: store.list()}, nil
		})
	addTool(s, writing("reserve_stock", "Takes pieces of an article out of the stock. Calling it twice takes twice as many."),
		func(_ context.Context, _ *mcp.CallToolRequest, in reserveIn) (Stock, error) {
			return store.reserve(in.SKU, in.Quantity)
		})
}
