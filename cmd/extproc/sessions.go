package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/session"
)

// stateTTL is how long the state of a session is kept after its last change: as long as
// a session may last.
const stateTTL = 30 * 24 * time.Hour

// maxPasswordBytes bounds the file of --redis-password-file.
const maxPasswordBytes = 4 << 10

// sessionStore has the sessions that were opened again: in Redis where there is one,
// else in this process alone. close ends it.
func sessionStore(s settings, logger *slog.Logger) (store session.Store, closeStore func() error, err error) {
	memory, err := session.NewMemory(session.DefaultStates, stateTTL)
	if err != nil {
		return nil, nil, fmt.Errorf("store of sessions: %w", err)
	}
	if s.redis == "" {
		return memory, memory.Close, nil
	}
	password, err := readPassword(s.redisPassword)
	if err != nil {
		return nil, nil, errors.Join(err, memory.Close())
	}
	client := redis.NewClient(&redis.Options{
		Addr: s.redis, Username: s.redisUser, Password: password,
		// What waits longer than a request may is of no use.
		DialTimeout: time.Second, ReadTimeout: 200 * time.Millisecond, WriteTimeout: 200 * time.Millisecond, MaxRetries: -1,
	})
	return session.NewShared(session.NewRedis(client, stateTTL), memory, logger), func() error { return errors.Join(client.Close(), memory.Close()) }, nil
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
