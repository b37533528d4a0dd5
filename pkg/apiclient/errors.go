package apiclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"connectrpc.com/connect"
)

// Error is a call that failed, in words for the person who made it.
type Error struct {
	// Code as the server gave it; where it gave none, what the connection came to.
	Code connect.Code
	// Answered: the control plane said it, rather than the network. Then a call that
	// changes something has changed nothing.
	Answered bool
	// Sent: the call may have been carried out all the same.
	Sent bool
	// Message says what happened and, where that is known, what to do.
	Message string

	cause error
}

// Error gives the message.
func (e *Error) Error() string { return e.Message }

// Unwrap gives the error of the transport or of connect.
func (e *Error) Unwrap() error { return e.cause }

// explain puts the error of a call into words; nil stays nil.
func (c *Client) explain(err error) error {
	if err == nil {
		return nil
	}
	var told *Error
	if errors.As(err, &told) {
		return err
	}
	out := &Error{Code: connect.CodeOf(err), cause: err}
	var said *connect.Error
	// Time limits travel with a call, so that they may be over there first.
	over := out.Code == connect.CodeDeadlineExceeded || out.Code == connect.CodeCanceled
	if errors.As(err, &said) && connect.IsWireError(err) && !over {
		out.Answered, out.Message = true, c.answered(said)
		return out
	}
	var dial *net.OpError
	out.Sent = !errors.As(err, &dial) || dial.Op != "dial"
	out.Message = c.unanswered(out.Code, err)
	return out
}

// answered words what the control plane said itself.
func (c *Client) answered(err *connect.Error) string {
	switch err.Code() {
	case connect.CodeUnauthenticated:
		return fmt.Sprintf("%s wants to know who asks: %s; give --token-file, or --cert and --key", c.address.shown, err.Message())
	case connect.CodePermissionDenied:
		return fmt.Sprintf("%s does not allow it: %s", c.address.shown, err.Message())
	case connect.CodeInternal, connect.CodeUnknown, connect.CodeDataLoss:
		return fmt.Sprintf("the control plane failed: %s; its log says more", err.Message())
	default:
		return err.Message()
	}
}

// unanswered words a call that the control plane said nothing to.
func (c *Client) unanswered(code connect.Code, err error) string {
	at := c.address.shown
	var (
		network     *net.OpError
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
	)
	switch {
	case errors.Is(err, context.Canceled), code == connect.CodeCanceled:
		return "interrupted"
	case errors.As(err, &certificate):
		return fmt.Sprintf("%s cannot show that it is the control plane: %v; --ca names the certificates to trust", at, certificate.Err)
	case errors.As(err, &record):
		return at + " does not speak TLS: is it http:// rather than https://?"
	case errors.As(err, &network) && network.Op == "remote error": // an alert of TLS
		return fmt.Sprintf("%s refuses the connection (%v): --cert and --key give the certificate that it may ask for", at, network.Err)
	case errors.As(err, &network) && network.Op == "dial":
		return fmt.Sprintf("nobody answers at %s (%v): is the control plane running? 'holdfast up' starts one; --server says where it is", at, network.Err)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &network):
		return "the connection to " + at + " was cut off"
	case code == connect.CodeDeadlineExceeded:
		return at + " has not answered in time"
	case code == connect.CodeUnimplemented, code == connect.CodeUnknown, code == connect.CodeInternal:
		return fmt.Sprintf("%s is not the admin API of a control plane (%s): --server says where it is", at, bare(err))
	case strings.Contains(err.Error(), "malformed HTTP"): // net/http has no type for it
		return at + " does not speak HTTP, so it is not the admin API of a control plane: --server says where it is"
	default:
		return fmt.Sprintf("asking %s: %s", at, bare(err))
	}
}

// bare is the text of an error without connect's code.
func bare(err error) string {
	var said *connect.Error
	if errors.As(err, &said) {
		return said.Message()
	}
	return err.Error()
}
