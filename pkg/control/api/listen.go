package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/control/admin"
)

// UnixPrefix begins the address of a unix socket.
const UnixPrefix = "unix://"

// ListenOptions say where the API is served, and to whom.
type ListenOptions struct {
	// Address is host:port or unix:///path.
	Address string
	// CertFile and KeyFile are the server's certificate chain and key, in PEM; together, or neither.
	CertFile, KeyFile string
	// ClientCAFile holds the authorities, in PEM, whose client certificates are accepted. The subject
	// is the first URI among the alternative names, else the common name; the role is the
	// organizational unit ReadUnit or WriteUnit.
	ClientCAFile string
	// TokensFile holds a line for each token that is accepted, "role subject sha256:hex", the hash being
	// that of the token; role is read or write. Its mode is 0600. Where both are given, either a
	// token or a client certificate will do, and the token counts.
	TokensFile string
	// Logger discards when nil; Now is time.Now. Files that have changed are used within a second.
	Logger *slog.Logger
	Now    func() time.Time
}

// Listener is an open address of the API.
type Listener struct {
	listener net.Listener
	access   *access
	tls      *tls.Config
	log      *slog.Logger
}

// Listen opens an address. A loopback address or a unix socket (made with mode 0600) needs no
// credentials; with TokensFile or ClientCAFile it demands them. Any other address is refused
// without a server certificate together with one of the two.
func Listen(ctx context.Context, opts ListenOptions) (*Listener, error) {
	l, err := listen(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("API address %q: %w", opts.Address, err)
	}
	return l, nil
}

func listen(ctx context.Context, opts ListenOptions) (*Listener, error) {
	path, unix := strings.CutPrefix(opts.Address, UnixPrefix)
	if err := opts.check(unix); err != nil {
		return nil, err
	}
	l := &Listener{log: opts.Logger}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	open := opts.TokensFile == "" && opts.ClientCAFile == ""
	l.access = &access{hosts: open && !unix, certificates: opts.ClientCAFile != "", now: opts.Now}
	if err := l.credentials(opts); err != nil {
		return nil, err
	}
	var err error
	if unix {
		l.listener, err = listenUnix(ctx, path)
		return l, err
	}
	if l.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", opts.Address); err != nil {
		return nil, err
	}
	// What a name means is the resolver's business.
	if address, ok := l.listener.Addr().(*net.TCPAddr); open && (!ok || !address.IP.IsLoopback()) {
		return nil, errors.Join(fmt.Errorf("it is %s here, not a loopback address", l.listener.Addr()), l.listener.Close())
	}
	return l, nil
}

// check refuses combinations that would leave the door open, or that make no sense.
func (o ListenOptions) check(unix bool) error {
	secure := o.CertFile != ""
	switch {
	case secure != (o.KeyFile != ""):
		return errors.New("a server certificate and its key belong together; one is missing")
	case o.ClientCAFile != "" && !secure:
		return errors.New("client certificates need a server certificate and key")
	case unix && secure:
		return errors.New("a unix socket takes no certificates; its file's mode says who may connect")
	case unix:
		return nil
	}
	host, _, err := net.SplitHostPort(o.Address)
	if err != nil {
		return fmt.Errorf("neither host:port nor %s/path: %w", UnixPrefix, err)
	}
	switch local := admin.Loopback(host); {
	case local:
		return nil
	case !secure:
		return errors.New("other machines can reach it, so it needs a server certificate and key, and a client CA or a tokens file (a loopback address or a unix socket does not)")
	case o.ClientCAFile == "" && o.TokensFile == "":
		return errors.New("other machines can reach it, so besides the server certificate it needs a client CA or a tokens file")
	}
	return nil
}

// credentials are read for the first time, so that a mistake in them is told at the start.
func (l *Listener) credentials(o ListenOptions) error {
	changed := func(what string) func(error) {
		return func(err error) {
			if err != nil {
				l.log.Error("admin API: credentials cannot be used", "what", what, "error", err)
				return
			}
			l.log.Info("admin API: credentials read anew", "what", what)
		}
	}
	var err error
	if o.TokensFile != "" {
		load := func() (tokens, error) { return loadTokens(o.TokensFile) }
		if l.access.tokens, err = newFromFiles(load, o.Now, changed("tokens"), o.TokensFile); err != nil {
			return err
		}
	}
	if o.CertFile == "" {
		return nil
	}
	load := func() (keyPair, error) { return loadKeyPair(o.CertFile, o.KeyFile, o.ClientCAFile) }
	files := []string{o.CertFile, o.KeyFile}
	auth := tls.NoClientCert
	if o.ClientCAFile != "" {
		files = append(files, o.ClientCAFile)
		auth = tls.RequireAndVerifyClientCert
		if o.TokensFile != "" {
			auth = tls.VerifyClientCertIfGiven
		}
	}
	pair, err := newFromFiles(load, o.Now, changed("certificates"), files...)
	if err != nil {
		return err
	}
	l.tls = tlsConfig(pair, auth, o.Now)
	return nil
}

// Addr is where it listens.
func (l *Listener) Addr() net.Addr { return l.listener.Addr() }

// Close gives the address up without serving. After Serve there is no need for it.
func (l *Listener) Close() error { return l.listener.Close() }

// Serve answers until ctx ends, and closes the listener.
func (l *Listener) Serve(ctx context.Context, service *Service) error {
	handler := &guard{service: service, access: l.access}
	return admin.Serve(ctx, l.listener, handler, l.tls, l.log)
}
