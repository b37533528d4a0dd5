package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/holdfast-mcp/holdfast/api/admin/v1/adminv1connect"
	"github.com/holdfast-mcp/holdfast/pkg/control/revisions"
)

// Role is what a caller may do.
type Role uint8

// Roles; each includes the ones before.
const (
	// Read sees everything and changes nothing.
	Read Role = iota + 1
	// Write makes revisions, and holds breakers.
	Write
)

// String gives read or write, as in a tokens file.
func (r Role) String() string {
	switch r {
	case Read:
		return "read"
	case Write:
		return "write"
	default:
		return fmt.Sprintf("role %d", uint8(r))
	}
}

// LocalAuthor makes the revisions of callers without credentials who do not say who they are.
const LocalAuthor = "local"

// Authors of the revisions that no caller makes: those that come from files, and those that the
// control plane makes by itself, when it takes one back.
const (
	directoryAuthor    = "directory"
	controlPlaneAuthor = "control-plane"
)

// caller is who a request comes from.
type caller struct {
	// subject that was authenticated; empty for callers without credentials.
	subject string
	role    Role
	// by is how: "local", "token" or "certificate".
	by string
}

// author of a revision that the caller makes. claimed is who it says it is, which counts only
// where nothing better is known.
func (c caller) author(claimed string) (string, error) {
	switch {
	case c.subject != "":
		return c.subject, nil
	case claimed == "":
		return LocalAuthor, nil
	default:
		return claimed, validSubject(claimed)
	}
}

// validSubject tells whether a subject can stand as the author of a revision.
func validSubject(subject string) error {
	if subject == directoryAuthor || subject == controlPlaneAuthor {
		return fmt.Errorf("%q is nobody's name: such revisions come from files, or from the control plane itself", subject)
	}
	return revisions.Header{Author: subject}.Validate()
}

// kind of a method: who may call it, and which of the limits on calls at once it falls under.
type kind uint8

const (
	reading kind = iota + 1
	writing
	watching
)

func (k kind) role() Role {
	if k == writing {
		return Write
	}
	return Read
}

// kindOf a path; false where there is no such method. A method that is not listed here is
// not served.
func kindOf(path string) (kind, bool) {
	switch path {
	case adminv1connect.AdminApplyProcedure, adminv1connect.AdminRollbackProcedure, adminv1connect.AdminSetBreakerProcedure,
		adminv1connect.AdminSetDrainProcedure, adminv1connect.AdminPurgeCacheProcedure, adminv1connect.AdminSucceedProcedure, adminv1connect.AdminFailbackProcedure,
		adminv1connect.AdminPromoteProcedure:
		return writing, true
	case adminv1connect.AdminWatchProcedure:
		return watching, true
	case adminv1connect.AdminDiffProcedure, adminv1connect.AdminGetProcedure, adminv1connect.AdminListProcedure,
		adminv1connect.AdminHistoryProcedure, adminv1connect.AdminStatusProcedure, adminv1connect.AdminGetNodeProcedure,
		adminv1connect.AdminListBreakersProcedure, adminv1connect.AdminListDrainsProcedure, adminv1connect.AdminListCanariesProcedure,
		adminv1connect.AdminGetHealthProcedure, adminv1connect.AdminGetReportProcedure:
		return reading, true
	default:
		return 0, false
	}
}

// call is one request, for those who answer it.
type call struct {
	caller
	remote  string
	control *http.ResponseController
}

// answerWithin bounds how long the caller takes to read what is written from here on.
func (c *call) answerWithin(d time.Duration) error {
	return c.control.SetWriteDeadline(time.Now().Add(d))
}

type callKey struct{}

var errNoCall = errors.New("the request did not come through the guard")

// callOf a request's context. Without one nobody was asked who is there.
func callOf(ctx context.Context) (*call, error) {
	c, ok := ctx.Value(callKey{}).(*call)
	if !ok {
		return nil, errNoCall
	}
	return c, nil
}
