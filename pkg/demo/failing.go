package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const (
	methodCallTool = "tools/call"
	faultText      = "the database of this server does not answer"
	faultCode      = "internal_error"
)

// failInMCP makes the faults that are MCP answers.
func (s *Server) failInMCP(next mcp.MethodHandler) mcp.MethodHandler {
	return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
		params, ok := req.GetParams().(*mcp.CallToolParamsRaw)
		if method != methodCallTool || !ok {
			return next(ctx, method, req)
		}
		fault, fails := s.faults.draw(params.Name, true)
		if !fails {
			return next(ctx, method, req)
		}
		if fault.After {
			if _, err := next(ctx, method, req); err != nil {
				return nil, err
			}
		}
		delay, err := fault.delay()
		if err != nil {
			return nil, err
		}
		if err := sleep(ctx, delay); err != nil {
			return nil, err
		}
		if fault.Mode == FaultIsError {
			return &mcp.CallToolResult{
				IsError:           true,
				Content:           []mcp.Content{&mcp.TextContent{Text: faultText}},
				StructuredContent: map[string]any{"code": faultCode, "message": faultText},
			}, nil
		}
		return nil, &jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: faultText}
	}
}

// failAround makes the faults that break the HTTP exchange.
func (s *Server) failAround(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tool, ok, err := peekTool(w, r)
		if err != nil {
			status := http.StatusBadRequest
			if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
				status = http.StatusRequestEntityTooLarge
			}
			http.Error(w, err.Error(), status)
			return
		}
		if !ok {
			next.ServeHTTP(w, r)
			return
		}
		fault, fails := s.faults.draw(tool, false)
		if !fails {
			next.ServeHTTP(w, r)
			return
		}
		if fault.After {
			lost := &discardedAnswer{header: http.Header{}}
			next.ServeHTTP(lost, r.Clone(r.Context()))
			r.Body = http.NoBody
		}
		delay, err := fault.delay()
		if err != nil || sleep(r.Context(), delay) != nil {
			return
		}
		s.breakOff(w, r, next, fault)
	})
}

// breakOff answers r as fault says; the tool has run before where fault.After is set.
func (s *Server) breakOff(w http.ResponseWriter, r *http.Request, next http.Handler, fault Faults) {
	switch fault.Mode {
	case FaultHTTP500:
		http.Error(w, faultText, http.StatusInternalServerError)
	case FaultHang:
		<-r.Context().Done()
	case FaultSlow:
		next.ServeHTTP(w, r)
	case FaultEarlyEOF:
		contentType, begun := "text/event-stream", ": the answer is being prepared\n\n"
		if fault.JSON {
			contentType, begun = "application/json", `{"jsonrpc":"2.0","result":{"content":[`
		}
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, begun) // whoever asked may be gone
		// Flushed, so that the answer is chunked: its end is clean, and early.
		_ = http.NewResponseController(w).Flush()
	case FaultNone, FaultRPCError, FaultIsError:
		next.ServeHTTP(w, r)
	}
}

// maxPeek is the SDK's own limit of a request body.
const maxPeek = mcp.DefaultMaxRequestBodyBytes

// peekTool returns the tool that r calls and gives r its body back; false where
// r is not a tools/call.
func peekTool(w http.ResponseWriter, r *http.Request) (string, bool, error) {
	if r.Method != http.MethodPost {
		return "", false, nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPeek))
	if err != nil {
		return "", false, fmt.Errorf("reading the body: %w", err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var message struct {
		Method string `json:"method"`
		Params struct {
			Name string `json:"name"`
		} `json:"params"`
	}
	if json.Unmarshal(body, &message, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) != nil {
		// What this cannot read is the SDK's to refuse.
		return "", false, nil //nolint:nilerr // see above
	}
	return message.Params.Name, message.Method == methodCallTool, nil
}

// discardedAnswer takes an answer that nobody gets.
type discardedAnswer struct{ header http.Header }

func (d *discardedAnswer) Header() http.Header            { return d.header }
func (d *discardedAnswer) Write(data []byte) (int, error) { return len(data), nil }
func (d *discardedAnswer) WriteHeader(int)                {}

// Flush implements http.Flusher, which event streams ask for.
func (d *discardedAnswer) Flush() {}
