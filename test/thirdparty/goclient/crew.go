package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/holdfast-mcp/holdfast/test/thirdparty/words"
)

const (
	// callsBetween is after how many calls a connection that opens anew does so.
	callsBetween = 10
	// lastWait is how long a connection may take at the end to get a good answer.
	lastWait = time.Minute
	// retryPause is the wait after something that failed.
	retryPause = 200 * time.Millisecond
)

// crew is many connections that call the same tool.
type crew struct {
	command words.Command
	stop    chan struct{}
	members sync.WaitGroup

	mu    sync.Mutex
	tally words.Tally
}

func assemble(command words.Command) *crew {
	c := &crew{command: command, stop: make(chan struct{}), tally: words.Tally{Errors: map[string]int{}}}
	for i := range command.Size {
		c.members.Go(func() { c.work(i) })
	}
	return c
}

func (c *crew) dismiss() *words.Tally {
	close(c.stop)
	c.members.Wait()
	return &c.tally
}

// work is the life of one connection, or of one after the other.
func (c *crew) work(i int) {
	// They begin one after the other within the first pause.
	pause := time.Duration(c.command.PauseMs) * time.Millisecond
	over := c.wait(pause * time.Duration(i) / time.Duration(c.command.Size))
	m := &client{}
	for calls := 0; !over; calls++ {
		if m.session != nil && i < c.command.Reopen && calls%callsBetween == 0 {
			_ = m.session.Close() // the server may be down
			m.session = nil
		}
		if m.session == nil && !c.open(m) {
			over = c.wait(retryPause)
			continue
		}
		c.call(m)
		over = c.wait(pause)
	}
	if m.session == nil && !c.open(m) {
		c.count(func(t *words.Tally) { t.Dead++ })
		return
	}
	for deadline := time.Now().Add(lastWait); !c.call(m); time.Sleep(retryPause) {
		if time.Now().After(deadline) {
			c.count(func(t *words.Tally) { t.Dead++ })
			break
		}
	}
	_ = m.session.Close() // as above
}

// wait says whether the crew is dismissed.
func (c *crew) wait(d time.Duration) bool {
	select {
	case <-c.stop:
		return true
	case <-time.After(d):
		return false
	}
}

func (c *crew) open(m *client) bool {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	_, err := m.connect(ctx, c.command)
	c.count(func(t *words.Tally) {
		if err == nil {
			t.Opened++
		} else {
			t.Refused++
		}
	})
	c.note(err)
	return err == nil
}

func (c *crew) call(m *client) bool {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	answer, err := m.call(ctx, c.command)
	if err == nil && answer.IsError {
		err = errors.New(answer.Text)
	}
	c.count(func(t *words.Tally) {
		t.Calls++
		if err == nil {
			t.Good++
		}
	})
	c.note(err)
	return err == nil
}

func (c *crew) count(change func(*words.Tally)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.tally)
}

func (c *crew) note(err error) {
	if err == nil {
		return
	}
	c.count(func(t *words.Tally) {
		if t.Errors[err.Error()] > 0 || len(t.Errors) < words.MaxErrors {
			t.Errors[err.Error()]++
		}
	})
}
