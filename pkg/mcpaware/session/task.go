package session

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	sessionv1 "github.com/holdfast-mcp/holdfast/api/session/v1"
)

// MaxTaskIDBytes bounds the id of a task that a server gives: sealed, it has to fit into
// what is read of params.taskId.
const MaxTaskIDBytes = 256

const (
	taskPrefix    = "hft1."
	sealedForTask = "holdfast task id 1"
	// maxTaskTokenBytes is what params.taskId may have.
	maxTaskTokenBytes = 1024
)

// ErrUnknownTask is every reason for which an id that was sealed is not that of a task of
// this caller.
var ErrUnknownTask = errors.New("unknown task")

// Task is what the id of a task stands for (tasks extension of 2026-07-28, tasks of
// 2025-11-25).
type Task struct {
	// Server is the MCPServer, Endpoint the host:port of the process that has the task.
	Server, Endpoint string
	// UpstreamID is the id that the endpoint gave, 1 to MaxTaskIDBytes.
	UpstreamID string
	// Principal is whose task it is; the zero value binds it to nobody.
	Principal Principal
}

// IsTask says whether an id of a task looks like one that SealTask made.
func IsTask(id string) bool { return strings.HasPrefix(id, taskPrefix) }

// SealTask makes the id for a task: visible ASCII, different each time. An error says
// what does not fit.
func (r *Keyring) SealTask(t Task, now time.Time) (string, error) {
	if t.UpstreamID == "" || len(t.UpstreamID) > MaxTaskIDBytes {
		return "", fmt.Errorf("sealing the id of a task: it has %d bytes, want 1 to %d", len(t.UpstreamID), MaxTaskIDBytes)
	}
	plain, err := proto.Marshal(&sessionv1.SealedTask{
		Server: t.Server, Endpoint: t.Endpoint, UpstreamId: t.UpstreamID, Principal: t.Principal.Bytes(),
	})
	if err != nil {
		return "", fmt.Errorf("sealing the id of a task: %w", err)
	}
	token := taskPrefix + base64.RawURLEncoding.EncodeToString(r.seal(plain, sealedForTask, now))
	if len(token) > maxTaskTokenBytes {
		return "", fmt.Errorf("sealing the id of a task: it has %d bytes, at most %d are given out", len(token), maxTaskTokenBytes)
	}
	return token, nil
}

// OpenTask reads an id that SealTask made. Whatever was not sealed with one of the keys is
// ErrUnknownTask; whether the task is the caller's is for Principal.Admits to say.
func (r *Keyring) OpenTask(token string) (Task, error) {
	encoded, ok := strings.CutPrefix(token, taskPrefix)
	if !ok || len(token) > maxTaskTokenBytes {
		return Task{}, ErrUnknownTask
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return Task{}, ErrUnknownTask
	}
	plain, err := r.unseal(sealed, sealedForTask)
	if err != nil {
		return Task{}, ErrUnknownTask
	}
	content := &sessionv1.SealedTask{}
	if err := proto.Unmarshal(plain, content); err != nil || content.GetUpstreamId() == "" {
		return Task{}, ErrUnknownTask
	}
	principal, ok := PrincipalFrom(content.GetPrincipal())
	if !ok {
		return Task{}, ErrUnknownTask
	}
	return Task{
		Server: content.GetServer(), Endpoint: content.GetEndpoint(), UpstreamID: content.GetUpstreamId(), Principal: principal,
	}, nil
}
