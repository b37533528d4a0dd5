package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/policy"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/session"
)

// stateTTL is how long the state of a session is kept after its last change: as long as
// a session may last.
const stateTTL = 30 * 24 * time.Hour

// maxPasswordBytes bounds the file of --redis-password-file.
const maxPasswordBytes = 4 << 10

// sessions are those that were opened again, and who is told of them.
type sessions struct {
	memory *session.Memory
	store  session.Store
	moves  *session.Moves
	redis  redis.UniversalClient
}

// openSessions keeps them in Redis where there is one, else in this process alone. Either
// way it tells the other processors what it keeps itself.
func openSessions(s settings, conn *grpc.ClientConn, policies *policy.Client, logger *slog.Logger) (*sessions, error) {
	memory, err := session.NewMemory(session.DefaultStates, stateTTL)
	if err != nil {
		return nil, fmt.Errorf("store of sessions: %w", err)
	}
	out := &sessions{memory: memory, store: memory}
	out.moves, err = session.NewMoves(session.MovesOptions{
		Conn: conn, Memory: memory, Keyring: policies.Keyring, Keyed: policies.Keyed(), Logger: logger,
	})
	if err == nil && s.redis.address != "" {
		err = out.share(s, logger)
	}
	if err != nil {
		return nil, errors.Join(err, memory.Close())
	}
	return out, nil
}

func (o *sessions) share(s settings, logger *slog.Logger) error {
	// What waits longer than a request may is of no use.
	client, err := s.redis.client(200 * time.Millisecond)
	if err != nil {
		return err
	}
	o.redis = client
	o.store = session.NewShared(session.NewRedis(o.redis, stateTTL), o.memory, logger)
	return nil
}

func (o *sessions) close() error {
	var err error
	if o.redis != nil {
		err = o.redis.Close()
	}
	return errors.Join(err, o.memory.Close())
}

func readPassword(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("password of Redis: %w", err)
	}
	if len(content) > maxPasswordBytes {
		return "", errors.New("password of Redis: the file is too long")
	}
	return string(bytes.TrimRight(content, "\r\n")), nil
}
