package api

import (
	"errors"
	"fmt"

	"connectrpc.com/connect"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/control/revisions"
)

func checkApply(r *adminv1.ApplyRequest) error {
	switch {
	case len(r.GetDocuments()) > MaxDocumentsBytes:
		return connect.NewError(connect.CodeResourceExhausted, fmt.Errorf("documents: %d bytes are more than the allowed %d", len(r.GetDocuments()), MaxDocumentsBytes))
	case len(r.GetRemove()) > maxRemovals:
		return connect.NewError(connect.CodeResourceExhausted, fmt.Errorf("remove: %d resources are more than the allowed %d", len(r.GetRemove()), maxRemovals))
	case r.GetDocuments() == "" && len(r.GetRemove()) == 0:
		return errNoChange
	case r.GetCanaryNodesPercent() > 99:
		return fmt.Errorf("canary_nodes_percent: %d is not 0 to 99", r.GetCanaryNodesPercent())
	}
	for i, ref := range r.GetRemove() {
		if err := checkRef(fmt.Sprintf("remove[%d]", i), ref); err != nil {
			return err
		}
	}
	return checkReason(r.GetReason())
}

func checkRollback(r *adminv1.RollbackRequest) error {
	if r.GetRevision() == 0 {
		return errNoRollback
	}
	return checkReason(r.GetReason())
}

// checkReason asks with an author that is always fine.
func checkReason(reason string) error {
	return revisions.Header{Author: LocalAuthor, Reason: reason}.Validate()
}

func checkRef(field string, ref *adminv1.ResourceRef) error {
	switch {
	case ref.GetKind() == "":
		return fmt.Errorf("%s.kind is missing", field)
	case ref.GetName() == "":
		return fmt.Errorf("%s.name is missing", field)
	}
	return errors.Join(checkLength(field+".kind", ref.GetKind(), maxNameBytes), checkLength(field+".name", ref.GetName(), maxNameBytes))
}

func checkNode(id string) error {
	if id == "" {
		return errors.New("id is missing: which node?")
	}
	return checkLength("id", id, maxNodeBytes)
}

func checkLength(field, value string, limit int) error {
	if len(value) > limit {
		return fmt.Errorf("%s has more than %d bytes", field, limit)
	}
	return nil
}
