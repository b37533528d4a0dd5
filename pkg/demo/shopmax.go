// Package demo is ShopMax, a small web shop whose MCP servers stand in for an
// operator's own: `orders` and `inventory`, real MCP servers on the official Go
// SDK, stateless, each in two regions. Every execution of a tool is journalled,
// so that a test can say how often a call ran, and every server can be told to
// fail in the ways that MCP servers do.
package demo

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Kinds of demo servers.
const (
	Orders    = "orders"
	Inventory = "inventory"
)

// Place is one demo server as examples/shopmax knows it.
type Place struct {
	// Server is the kind: Orders or Inventory.
	Server string
	// Name of the endpoint.
	Name   string
	Region string
	// Address is the default one, host:port.
	Address string
	// Stateful: it keeps a session for each client; see Config.
	Stateful bool
}

// Places returns the four demo servers, the first region first.
func Places() []Place {
	return []Place{
		{Server: Orders, Name: "primary-mumbai", Region: "asia-south1", Address: "127.0.0.1:7101"},
		{Server: Orders, Name: "standby-delhi", Region: "asia-south2", Address: "127.0.0.1:7102"},
		{Server: Inventory, Name: "inventory-mumbai", Region: "asia-south1", Address: "127.0.0.1:7201"},
		{Server: Inventory, Name: "inventory-delhi", Region: "asia-south2", Address: "127.0.0.1:7202"},
	}
}

// Order is one order of a customer.
type Order struct {
	OrderID    string `json:"order_id" jsonschema:"the order's number, such as ORD-7701"`
	CustomerID string `json:"customer_id" jsonschema:"who ordered"`
	Status     string `json:"status" jsonschema:"CONFIRMED, PACKED, SHIPPED or DELIVERED"`
	TotalRs    int64  `json:"total_rs" jsonschema:"what it costs, in whole rupees"`
	Channel    string `json:"channel" jsonschema:"where it was placed: web, app or store"`
}

// Stock is how much there is of one article.
type Stock struct {
	SKU       string `json:"sku" jsonschema:"the article's number, such as SKU-100"`
	Name      string `json:"name" jsonschema:"what it is"`
	Available int64  `json:"available" jsonschema:"pieces that can still be reserved"`
}

// maxOrders bounds what create_order can add.
const maxOrders = 10_000

// orderBook is the orders of one server; safe for concurrent use.
type orderBook struct {
	mu     sync.Mutex
	orders map[string]Order
	next   int
}

func newOrderBook() *orderBook {
	b := &orderBook{orders: map[string]Order{}, next: 9001}
	for _, o := range []Order{
		{OrderID: "ORD-7701", CustomerID: "C-1201", Status: "SHIPPED", TotalRs: 78_000, Channel: "web"},
		{OrderID: "ORD-7702", CustomerID: "C-3302", Status: "CONFIRMED", TotalRs: 34_500, Channel: "app"},
		{OrderID: "ORD-7703", CustomerID: "C-1201", Status: "DELIVERED", TotalRs: 1_250, Channel: "web"},
		{OrderID: "ORD-7704", CustomerID: "C-4410", Status: "PACKED", TotalRs: 12_999, Channel: "store"},
	} {
		b.orders[o.OrderID] = o
	}
	return b
}

func (b *orderBook) get(id string) (Order, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if o, ok := b.orders[id]; ok {
		return o, nil
	}
	return Order{}, fmt.Errorf("there is no order %q; list_orders shows those there are", id)
}

// list returns the orders in order of number; an empty filter takes all.
func (b *orderBook) list(channel, status string) []Order {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]Order, 0, len(b.orders))
	for _, o := range b.orders {
		if (channel == "" || o.Channel == channel) && (status == "" || o.Status == status) {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b Order) int { return strings.Compare(a.OrderID, b.OrderID) })
	return out
}

func (b *orderBook) create(o Order) (Order, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.orders) >= maxOrders {
		return Order{}, fmt.Errorf("the order book is full: it holds %d orders", maxOrders)
	}
	for o.OrderID == "" {
		id := fmt.Sprintf("ORD-%d", b.next)
		b.next++
		if _, taken := b.orders[id]; !taken {
			o.OrderID = id
		}
	}
	if _, taken := b.orders[o.OrderID]; taken {
		return Order{}, fmt.Errorf("there is an order %q already", o.OrderID)
	}
	b.orders[o.OrderID] = o
	return o, nil
}

// warehouse is the stock of one server; safe for concurrent use.
type warehouse struct {
	mu    sync.Mutex
	stock map[string]Stock
}

func newWarehouse() *warehouse {
	w := &warehouse{stock: map[string]Stock{}}
	for _, s := range []Stock{
		{SKU: "SKU-100", Name: "steel water bottle", Available: 1_000_000},
		{SKU: "SKU-200", Name: "cotton bedsheet", Available: 240},
		{SKU: "SKU-300", Name: "pressure cooker", Available: 12},
		{SKU: "SKU-400", Name: "table fan", Available: 0},
	} {
		w.stock[s.SKU] = s
	}
	return w
}

func (w *warehouse) get(sku string) (Stock, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s, ok := w.stock[sku]; ok {
		return s, nil
	}
	return Stock{}, fmt.Errorf("there is no article %q; list_stock shows those there are", sku)
}

// list returns the articles in order of number.
func (w *warehouse) list() []Stock {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]Stock, 0, len(w.stock))
	for _, s := range w.stock {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b Stock) int { return strings.Compare(a.SKU, b.SKU) })
	return out
}

func (w *warehouse) reserve(sku string, quantity int64) (Stock, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s, ok := w.stock[sku]
	switch {
	case !ok:
		return Stock{}, fmt.Errorf("there is no article %q; list_stock shows those there are", sku)
	case quantity < 1:
		return Stock{}, fmt.Errorf("a quantity of %d cannot be reserved", quantity)
	case quantity > s.Available:
		return Stock{}, fmt.Errorf("only %d of %s are available", s.Available, sku)
	}
	s.Available -= quantity
	w.stock[sku] = s
	return s, nil
}
