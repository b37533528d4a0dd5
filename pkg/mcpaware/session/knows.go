package session

import (
	"context"
	"crypto/rand"
	"io"
	"net/http"
)

// Knows asks an endpoint whether it has a session, by a ping. Only a refusal that servers
// have for sessions which they do not know counts as no: 404, as the protocol has it, or 400,
// as many say.
func (r *Reopener) Knows(ctx context.Context, at Target, id string) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ReopenTimeout)
	defer cancel()
	// Without a version: were it the caller's that is refused, the ping would be as well.
	resp, err := r.post(ctx, at, id, "", `{"jsonrpc":"2.0","id":"holdfast-`+rand.Text()+`","method":"ping"}`)
	if err != nil {
		return true
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxOpeningBytes))
	_ = resp.Body.Close()
	return resp.StatusCode != http.StatusNotFound && resp.StatusCode != http.StatusBadRequest
}
