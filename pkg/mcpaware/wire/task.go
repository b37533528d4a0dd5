package wire

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	// extensionTasks is the extension by which a caller of 2026-07-28 says that it
	// takes tasks for answers.
	extensionTasks = "io.modelcontextprotocol/tasks"
	// metaRelatedTask is the member of _meta that says which task a message belongs to
	// (2025-11-25).
	metaRelatedTask = "io.modelcontextprotocol/related-task"
)

// SetTaskID returns a copy of a request with another params.taskId; all other bytes are
// kept. It fails where request is not one object with that member, a string.
func SetTaskID(request []byte, id string) ([]byte, error) {
	changed, err := setParam(request, "taskId", id)
	if err != nil {
		return nil, fmt.Errorf("setting the task's id: %w", err)
	}
	return changed, nil
}

// SetOfferedVersion returns a copy of an initialize with another params.protocolVersion; all
// other bytes are kept. It fails where request is not one object with that member, a string.
func SetOfferedVersion(request []byte, version string) ([]byte, error) {
	changed, err := setParam(request, "protocolVersion", version)
	if err != nil {
		return nil, fmt.Errorf("setting the protocol version: %w", err)
	}
	return changed, nil
}

func setParam(request []byte, name, value string) ([]byte, error) {
	if !Valid(request) {
		return nil, errors.New("not one JSON value")
	}
	at := skipSpace(request, 0)
	for _, name := range []string{"params", name} {
		if request[at] != '{' {
			return nil, errors.New("there is none")
		}
		found, err := soleMember(request, at, name)
		if err != nil {
			return nil, err
		}
		if !found.present() {
			return nil, errors.New("there is none")
		}
		at = found.start
	}
	text, err := jsontext.AppendQuote(nil, value)
	if err != nil || request[at] != '"' {
		return nil, errors.Join(errors.New("not a string"), err)
	}
	return replacement{at: span{at, skipString(request, at)}, text: text}.apply(request), nil
}

// EditListenedTasks returns a copy of a request to listen in which the tasks that it names,
// params.notifications.taskIds, are others: edit gives the id to put in the place of one,
// or says that it is left out. All other bytes are kept; a request of which nothing changes
// is returned as it is, as is one that names no tasks. It fails where request is not one
// JSON value, or a member on the way is there twice.
func EditListenedTasks(request []byte, edit func(id string) (other string, keep bool)) ([]byte, error) {
	if !Valid(request) {
		return nil, errors.New("editing listened tasks: not one JSON value")
	}
	at := skipSpace(request, 0)
	for _, name := range []string{"params", "notifications", "taskIds"} {
		if request[at] != '{' {
			return request, nil
		}
		found, err := soleMember(request, at, name)
		if err != nil {
			return nil, fmt.Errorf("editing listened tasks: %w", err)
		}
		if !found.present() {
			return request, nil
		}
		at = found.start
	}
	if request[at] != '[' {
		return request, nil
	}
	list, changed := []byte{'['}, false
	for scan := scanArray(request, at); ; {
		item, more := scan.next()
		if !more {
			break
		}
		text := []byte(item.of(request))
		if id, ok := Unquote(text); ok {
			other, keep := edit(id)
			if !keep {
				changed = true
				continue
			}
			if other != id {
				quoted, err := jsontext.AppendQuote(nil, other)
				if err != nil {
					return nil, fmt.Errorf("editing listened tasks: %w", err)
				}
				text, changed = quoted, true
			}
		}
		if len(list) > 1 {
			list = append(list, ',')
		}
		list = append(list, text...)
	}
	if !changed {
		return request, nil
	}
	return replacement{at: span{at, skipValue(request, at)}, text: append(list, ']')}.apply(request), nil
}

// EditTaskIDs returns a copy of a server's message in which the ids of tasks are others:
// taskId (2026-07-28, and tasks/get), task.taskId, tasks[].taskId and the related task in
// _meta (2025-11-25) of its result or params, and params.notifications.taskIds (what is
// listened to). edit gives the id to put in the place of one, or the same; all other bytes
// are kept. A message that names none is returned as it is. It fails where answer is not
// one JSON value.
func EditTaskIDs(answer []byte, edit func(id string) string) ([]byte, error) {
	start := 0
	if bytes.HasPrefix(answer, []byte(byteOrderMark)) {
		start = len(byteOrderMark)
	}
	if !Valid(answer[start:]) {
		return nil, errors.New("editing ids of tasks: not one JSON value")
	}
	at := skipSpace(answer, start)
	if answer[at] != '{' {
		return answer, nil
	}
	var result, params span
	collectLast(answer, at, []known{{"result", &result}, {"params", &params}})
	var changes []replacement
	for _, found := range slices.Concat(taskIDs(answer, result), taskIDs(answer, params), listenedTasks(answer, params)) {
		id, ok := Unquote(found.of(answer))
		if !ok {
			continue
		}
		if other := edit(id); other != id {
			text, err := jsontext.AppendQuote(nil, other)
			if err != nil {
				return nil, fmt.Errorf("editing ids of tasks: %w", err)
			}
			changes = append(changes, replacement{at: found, text: text})
		}
	}
	return applyAll(answer, changes), nil
}

// maxListedTasks bounds how many tasks of a list are looked at.
const maxListedTasks = 1000

// listenedTasks finds the ids of tasks in what a server says that it listens to.
func listenedTasks(b []byte, params span) (found []span) {
	if !params.present() || b[params.start] != '{' {
		return nil
	}
	var notifications, ids span
	collectLast(b, params.start, []known{{"notifications", &notifications}})
	if !notifications.present() || b[notifications.start] != '{' {
		return nil
	}
	collectLast(b, notifications.start, []known{{"taskIds", &ids}})
	if !ids.present() || b[ids.start] != '[' {
		return nil
	}
	list := scanArray(b, ids.start)
	for range maxListedTasks {
		item, more := list.next()
		if !more {
			break
		}
		if b[item.start] == '"' {
			found = append(found, item)
		}
	}
	return found
}

// taskIDs finds the ids of tasks in a result or in params, all of them strings.
func taskIDs(b []byte, result span) []span {
	var task, tasks, meta span
	found := ownTaskID(nil, b, result)
	if len(result.of(b)) == 0 || b[result.start] != '{' {
		return nil
	}
	collectLast(b, result.start, []known{{"task", &task}, {"tasks", &tasks}, {"_meta", &meta}})
	found = ownTaskID(found, b, task)
	if meta.present() && b[meta.start] == '{' {
		var related span
		collectLast(b, meta.start, []known{{metaRelatedTask, &related}})
		found = ownTaskID(found, b, related)
	}
	if tasks.present() && b[tasks.start] == '[' {
		list := scanArray(b, tasks.start)
		for range maxListedTasks {
			item, more := list.next()
			if !more {
				break
			}
			found = ownTaskID(found, b, item)
		}
	}
	return found
}

// ownTaskID adds the place of the taskId of an object.
func ownTaskID(found []span, b []byte, object span) []span {
	if !object.present() || b[object.start] != '{' {
		return found
	}
	var id span
	collectLast(b, object.start, []known{{"taskId", &id}})
	if id.present() && b[id.start] == '"' {
		found = append(found, id)
	}
	return found
}
