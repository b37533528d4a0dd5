package store

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"syscall"
)

// damagedf is an ErrDamaged that says which file, what is wrong with it and what to do.
func damagedf(path, format string, args ...any) error {
	detail := fmt.Errorf(format, args...)
	return fmt.Errorf("%w: %s: %w. Put a backup in its place; or move it away and start again: "+
		"what the directory holds is read anew, the history and what the API owns are lost", ErrDamaged, path, detail)
}

// corruption is what does not fit together in the file; guarded makes an ErrDamaged of it.
type corruption struct{ error }

func (c corruption) Unwrap() error { return c.error }

func corruptf(format string, args ...any) error { return corruption{fmt.Errorf(format, args...)} }

// guarded runs what reads the file. Where the file is damaged it finds corruption, bbolt panics, or
// it reads outside of what is mapped; all become an ErrDamaged.
func guarded(path string, f func() error) (err error) {
	faults := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(faults)
		if v := recover(); v != nil {
			err = damagedf(path, "%v", v)
		}
	}()
	err = f()
	if found := (corruption{}); errors.As(err, &found) && !errors.Is(err, ErrDamaged) {
		return damagedf(path, "%w", err)
	}
	return spaced(err)
}

// spaced marks errors that mean that there is no space. bbolt passes on some of them
// as text alone.
func spaced(err error) error {
	if err == nil || errors.Is(err, ErrNoSpace) {
		return err
	}
	for _, full := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, full) || strings.HasSuffix(err.Error(), full.Error()) {
			return fmt.Errorf("%w: %w", ErrNoSpace, err)
		}
	}
	return err
}
