package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/holdfast-mcp/holdfast/pkg/config"
	"github.com/holdfast-mcp/holdfast/pkg/control/revisions"
	"github.com/holdfast-mcp/holdfast/pkg/control/source"
)

// maxNamedFiles bounds the files that the reason of a revision names.
const maxNamedFiles = 3

// refusal is a configuration that was not used.
type refusal struct {
	words string
	at    time.Time
	// standing: it is what the directory has.
	standing bool
}

// read takes the configuration from the directory. What cannot be used as a whole
// changes nothing.
func (p *Plane) read(ctx context.Context) {
	if p.takeTurn(ctx) != nil {
		return
	}
	defer p.endTurn()
	err := p.merge(ctx)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		p.refuse(ctx, err)
	default:
		p.accept()
	}
}

// merge makes a revision of what the directory has changed.
func (p *Plane) merge(ctx context.Context) error {
	head := p.newest()
	before := content(head)
	files, err := source.Consistently(p.opts.ConfigDir, config.ReadDir)
	if err != nil && !(allOfTheAPI(before) && p.withoutDirectory()) {
		return err
	}
	after, err := revisions.FromDirectory(before, files)
	if err != nil {
		return err
	}
	if len(after.Resources) == 0 && head == nil {
		return fmt.Errorf("loading configuration from %s: %w: %d files, none with a Gateway, MCPServer or MCPRoute", p.opts.ConfigDir, config.ErrEmpty, len(files))
	}
	if len(revisions.Changes(before, after)) == 0 {
		p.forgive()
		if p.writer.proposed == "" {
			return p.goOut(ctx, head)
		}
		return nil
	}
	if err := p.writer.barred.says(after); err != nil {
		return err
	}
	d, err := p.prepare(ctx, after, revisions.Origin{Author: directoryAuthor, Reason: reasonOf(before, after)})
	if err != nil {
		return err
	}
	if err := p.keep(d, usual(directoryAuthor, d.Version)); err != nil {
		return err
	}
	p.writer.barred = nil
	p.log.InfoContext(ctx, "configuration read", "number", p.newest().Number, "revision", d.Version, "reason", d.Reason)
	return nil
}

// withoutDirectory says that the directory does not exist.
func (p *Plane) withoutDirectory() bool {
	_, err := os.Stat(p.opts.ConfigDir)
	return errors.Is(err, fs.ErrNotExist)
}

// allOfTheAPI says that there is something, and that no file has any part in it.
func allOfTheAPI(s revisions.Set) bool {
	return len(s.Resources) > 0 && len(s.Absent) == 0 && !slices.ContainsFunc(s.Resources, func(r revisions.Resource) bool { return r.Owner != revisions.API })
}

// reasonOf names the files in which a is other than b.
func reasonOf(a, b revisions.Set) string {
	var files []string
	note := func(in, other revisions.Set) {
		for _, r := range in.Resources {
			now, ok := other.Get(r.Ref)
			if r.File != "" && (!ok || now.YAML != r.YAML || now.File != r.File || now.Pinned != r.Pinned) {
				files = append(files, r.File)
			}
		}
		for _, out := range in.Absent {
			if !slices.ContainsFunc(other.Absent, func(o revisions.Absence) bool {
				return o.Ref == out.Ref && o.File == out.File && o.Overrides == out.Overrides
			}) {
				files = append(files, out.File)
			}
		}
	}
	note(a, b)
	note(b, a)
	slices.Sort(files)
	files = slices.Compact(files)
	more := len(files) - maxNamedFiles
	out := make([]string, 0, maxNamedFiles)
	for _, f := range files[:min(len(files), maxNamedFiles)] {
		if strings.ContainsFunc(f, func(r rune) bool { return !unicode.IsPrint(r) }) || strings.ToValidUTF8(f, "") != f {
			f = strconv.QuoteToASCII(f)
		}
		out = append(out, f)
	}
	reason := "changed: " + strings.Join(out, ", ")
	if more > 0 {
		reason += fmt.Sprintf(" and %d more", more)
	}
	return bounded(reason, revisions.MaxReasonBytes)
}

// refuse remembers why a configuration is not used, and says so once.
func (p *Plane) refuse(ctx context.Context, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	words := err.Error()
	if p.refused != nil && p.refused.words == words && p.refused.standing {
		return
	}
	p.refused = &refusal{words: words, at: p.now(), standing: true}
	p.touch()
	p.log.WarnContext(ctx, "configuration refused; the last good one stays", "error", words)
}

// refusing says that what the directory has is not used.
func (p *Plane) refusing() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refused != nil && p.refused.standing
}

func (p *Plane) accept() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refused != nil {
		p.refused.standing = false
		p.touch()
	}
}
