package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	sessionv1 "github.com/holdfast-mcp/holdfast/api/session/v1"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
)

func newMemory(t *testing.T) *Memory {
	t.Helper()
	m, err := NewMemory(100, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// TestStores: a change wins only over the generation that it has read, in memory and in
// a real Redis.
func TestStores(t *testing.T) {
	address, _ := stacktest.StartRedis(t)
	client := redis.NewClient(&redis.Options{Addr: address})
	defer client.Close()
	for name, store := range map[string]Store{
		"memory": newMemory(t), "redis": NewRedis(client, time.Hour), "shared": NewShared(NewRedis(client, time.Hour), newMemory(t), nil),
	} {
		t.Run(name, func(t *testing.T) {
			ctx, key := t.Context(), name+"/orders"
			if state, err := store.Get(ctx, key); state != nil || err != nil {
				t.Fatalf("before anything: %v, %v", state, err)
			}
			first, err := store.Put(ctx, key, &sessionv1.State{Generation: 1, Endpoint: "a"})
			if err != nil || first.GetEndpoint() != "a" {
				t.Fatalf("%v, %v", first, err)
			}
			late, err := store.Put(ctx, key, &sessionv1.State{Generation: 1, Endpoint: "b"})
			if err != nil || late.GetEndpoint() != "a" {
				t.Errorf("the second of two of one generation: %v, %v", late, err)
			}
			var wg sync.WaitGroup
			for i := range 3 {
				wg.Go(func() {
					_, err := Change(ctx, store, key, func(s *sessionv1.State) bool { return Subscribe(s, fmt.Sprint(i)) })
					if err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			state, err := store.Get(ctx, key)
			if slices.Sort(state.Subscriptions); err != nil || strings.Join(state.GetSubscriptions(), "") != "012" || state.GetGeneration() != 4 {
				t.Errorf("after three changes at once: %v, %v", state, err)
			}
		})
	}
}

// broken is a store that is away.
type broken struct{}

func (broken) Get(context.Context, string) (*sessionv1.State, error) { return nil, errors.New("away") }

func (broken) Put(context.Context, string, *sessionv1.State) (*sessionv1.State, error) {
	return nil, errors.New("away")
}

// TestStoreAway: each processor goes on with what it knows itself.
func TestStoreAway(t *testing.T) {
	t.Parallel()
	store := NewShared(broken{}, newMemory(t), nil)
	if _, err := Change(t.Context(), store, "k", func(s *sessionv1.State) bool { s.Endpoint = "b"; return true }); err != nil {
		t.Fatal(err)
	}
	if state, err := store.Get(t.Context(), "k"); err != nil || state.GetEndpoint() != "b" {
		t.Errorf("%v, %v", state, err)
	}
}

func TestSubscriptionsAreBounded(t *testing.T) {
	t.Parallel()
	state := &sessionv1.State{}
	for i := range MaxSubscriptions + 5 {
		if got := Subscribe(state, fmt.Sprint("memo://", i)); got != (i < MaxSubscriptions) {
			t.Fatalf("subscription %d: %v", i, got)
		}
	}
	if Subscribe(&sessionv1.State{}, strings.Repeat("x", MaxSubscriptionBytes+1)) || Subscribe(state, "memo://1") {
		t.Error("a URI that is too long, or there already, is taken")
	}
	if !Unsubscribe(state, "memo://1") || Unsubscribe(state, "memo://1") {
		t.Error("unsubscribing")
	}
}
