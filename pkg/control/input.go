package control

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/config"
	"github.com/holdfast-mcp/holdfast/pkg/control/revision"
	"github.com/holdfast-mcp/holdfast/pkg/control/source"
)

// maxRegionsAhead bounds the regions of connected Envoys for which a revision is
// built before it goes out. The configuration's own regions are built in any case.
const maxRegionsAhead = 64

// input is what the reading of the configuration remembers.
type input struct {
	load func(dir string) (*config.Config, error)
	// proposed is the revision handed over last.
	proposed string
	// checked is the revision that Envoy was asked about last, with its answer.
	checked    string
	checkError error
}

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
	r, err := p.compile(ctx)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		p.refuse(ctx, err)
		return
	}
	p.accept()
	if r.Version == p.input.proposed {
		return
	}
	p.input.proposed = r.Version
	p.log.InfoContext(ctx, "configuration read", "revision", r.Version)
	select {
	case p.proposals <- r:
	case <-ctx.Done():
	}
}

func (p *Plane) compile(ctx context.Context) (*revision.Revision, error) {
	cfg, err := source.Consistently(p.opts.ConfigDir, p.input.load)
	if err != nil {
		return nil, err
	}
	regions := p.server.Regions()
	regions = regions[:min(len(regions), maxRegionsAhead)]
	r, err := p.opts.Compiler.Compile(cfg, regions)
	if err != nil {
		return nil, err
	}
	if p.opts.Check == nil || r.Version == p.input.proposed {
		return r, nil
	}
	if r.Version != p.input.checked {
		err := p.check(ctx, r, regions)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		p.input.checked, p.input.checkError = r.Version, err
	}
	return r, p.input.checkError
}

func (p *Plane) check(ctx context.Context, r *revision.Revision, regions []string) error {
	bootstraps, err := r.Static(regions)
	if err != nil {
		return err
	}
	for _, b := range bootstraps {
		if err := p.opts.Check.Run(ctx, b); err != nil {
			return fmt.Errorf("revision %s: %w", r.Version, err)
		}
	}
	return nil
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
	p.log.WarnContext(ctx, "configuration refused; the last good one stays", "error", words)
}

func (p *Plane) accept() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refused != nil {
		p.refused.standing = false
	}
}
