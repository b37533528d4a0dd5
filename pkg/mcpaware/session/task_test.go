package session

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestTaskIDs: an id opens to what was sealed, whatever is changed of it opens to nothing,
// and neither kind of id passes for the other.
func TestTaskIDs(t *testing.T) {
	now := time.Now()
	r := ring(t, keyOf(1, now.Add(-time.Hour)))
	want := Task{Server: "orders", Endpoint: "127.0.0.1:7101", UpstreamID: "tâsk 1", Principal: PrincipalOf([]string{"Bearer alice"})}
	token, err := r.SealTask(want, now)
	if err != nil {
		t.Fatal(err)
	}
	if !IsTask(token) || IsTask("task-1") {
		t.Errorf("IsTask(%q) is %v", token, IsTask(token))
	}
	if got, err := r.OpenTask(token); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	for i := range len(token) {
		changed := []byte(token)
		changed[i] ^= 1
		if got, err := r.OpenTask(string(changed)); err == nil {
			t.Errorf("byte %d changed: %+v", i, got)
		}
	}
	if _, err := ring(t, keyOf(2, now.Add(-time.Hour))).OpenTask(token); err == nil {
		t.Error("another key opens it")
	}
	if _, err := r.Open(tokenPrefix + strings.TrimPrefix(token, taskPrefix)); err == nil {
		t.Error("the id of a task is one of a session")
	}
	ofSession, err := r.Seal(example(), now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.OpenTask(taskPrefix + strings.TrimPrefix(ofSession, tokenPrefix)); err == nil {
		t.Error("the id of a session is one of a task")
	}
}

// TestLongTaskIDs: what is given out can be read again by everybody.
func TestLongTaskIDs(t *testing.T) {
	now := time.Now()
	r := ring(t, keyOf(1, now.Add(-time.Hour)))
	token, err := r.SealTask(Task{Server: strings.Repeat("s", 63), Endpoint: "[2001:db8::1]:65535", UpstreamID: strings.Repeat("i", MaxTaskIDBytes), Principal: PrincipalOf([]string{"x"})}, now)
	if err != nil || len(token) > maxTaskTokenBytes {
		t.Errorf("%d bytes, %v", len(token), err)
	}
	for _, id := range []string{"", strings.Repeat("i", MaxTaskIDBytes+1)} {
		if _, err := r.SealTask(Task{Server: "orders", UpstreamID: id}, now); err == nil {
			t.Errorf("an id of %d bytes is sealed", len(id))
		}
	}
}

func FuzzOpenTask(f *testing.F) {
	now := time.Now()
	r := ring(f, keyOf(1, now.Add(-time.Hour)))
	token, err := r.SealTask(Task{Server: "orders", Endpoint: "127.0.0.1:7101", UpstreamID: "1"}, now)
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := r.OpenTask(token)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Add("hft1.")
	f.Fuzz(func(t *testing.T, in string) {
		if got, err := r.OpenTask(in); err == nil && !reflect.DeepEqual(got, sealed) {
			// Each process of a fuzz run seals the same task anew.
			t.Errorf("%q opens to %+v", in, got)
		}
	})
}
