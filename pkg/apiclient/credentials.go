package apiclient

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxCredential bounds a token file and a file of certificates, in bytes.
const maxCredential = 1 << 20

// ReadToken reads a bearer token from the first and only line of a file.
func ReadToken(path string) (string, error) {
	data, err := readSmall(path)
	if err != nil {
		return "", fmt.Errorf("reading the token: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if token == "" {
		return "", fmt.Errorf("reading the token: %s is empty", path)
	}
	for _, r := range token {
		if r <= ' ' || r > '~' {
			return "", fmt.Errorf("reading the token: %s holds more than one token, which is a single word", path)
		}
	}
	return token, nil
}

// TLSFiles name PEM files; each may be empty.
type TLSFiles struct {
	// CA are the roots that the server is checked against, instead of the system's.
	CA string
	// Cert and Key are the client's certificate, both or none.
	Cert, Key string
}

// Config reads the files; nil where none is named.
func (f TLSFiles) Config() (*tls.Config, error) {
	if f == (TLSFiles{}) {
		return nil, nil
	}
	if (f.Cert == "") != (f.Key == "") {
		return nil, errors.New("a client certificate needs both its certificate and its key")
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.CA != "" {
		data, err := readSmall(f.CA)
		if err != nil {
			return nil, fmt.Errorf("reading the CA certificates: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("reading the CA certificates: there is no PEM certificate in %s", f.CA)
		}
	}
	if f.Cert != "" {
		pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			return nil, fmt.Errorf("reading the client certificate: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

func readSmall(path string) ([]byte, error) {
	file, err := os.Open(path) //nolint:gosec // the operator's path
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the path
	}
	data, err := io.ReadAll(io.LimitReader(file, maxCredential+1))
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	if len(data) > maxCredential {
		return nil, fmt.Errorf("%s has more than %d bytes", path, maxCredential)
	}
	return data, nil
}
