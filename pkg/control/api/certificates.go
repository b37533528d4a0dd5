package api

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Organizational units of client certificates, which give the role.
const (
	// ReadUnit makes a certificate's owner a reader.
	ReadUnit = "holdfast-read"
	// WriteUnit makes it a reader and writer.
	WriteUnit = "holdfast-write"
)

// keyPair is what the server shows, and whom it believes; clients is nil where there are
// no client certificates.
type keyPair struct {
	certificate tls.Certificate
	clients     *x509.CertPool
}

func loadKeyPair(certFile, keyFile, clientCAFile string) (keyPair, error) {
	cert, err := readFile(certFile, false)
	if err != nil {
		return keyPair{}, fmt.Errorf("server certificate: %w", err)
	}
	key, err := readFile(keyFile, false)
	if err != nil {
		return keyPair{}, fmt.Errorf("server key: %w", err)
	}
	var out keyPair
	if out.certificate, err = tls.X509KeyPair(cert, key); err != nil {
		return keyPair{}, fmt.Errorf("server certificate %s with key %s: %w", certFile, keyFile, err)
	}
	if clientCAFile == "" {
		return out, nil
	}
	authority, err := readFile(clientCAFile, false)
	if err != nil {
		return keyPair{}, fmt.Errorf("client CA: %w", err)
	}
	out.clients = x509.NewCertPool()
	if !out.clients.AppendCertsFromPEM(authority) {
		return keyPair{}, fmt.Errorf("client CA: %s holds no certificate in PEM", clientCAFile)
	}
	return out, nil
}

// tlsConfig serves with a pair that may change under it: a renewed certificate is shown to
// the next connection. A pair that is of no use for the moment, as in the middle of its renewal,
// leaves the last good one. Sessions are not resumed, so each connection is judged by the CA of now.
func tlsConfig(pair *fromFiles[keyPair], auth tls.ClientAuthType, now func() time.Time) *tls.Config {
	base := &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"}, SessionTicketsDisabled: true,
		ClientAuth: auth, Time: now,
	}
	config := base.Clone()
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		current, _ := pair.get() // its error is in the log
		c := base.Clone()
		c.Certificates, c.ClientCAs = []tls.Certificate{current.certificate}, current.clients
		return c, nil
	}
	return config
}

// certified gives the caller behind a certificate that the TLS handshake has verified: the
// subject is its first URI (a SPIFFE id, say), else its common name.
func certified(cert *x509.Certificate, now time.Time) (caller, error) {
	// A connection may outlive the certificate that opened it.
	if now.After(cert.NotAfter) {
		return caller{}, errors.New("the client certificate has expired")
	}
	c := caller{subject: cert.Subject.CommonName, by: "certificate"}
	if len(cert.URIs) > 0 {
		c.subject = cert.URIs[0].String()
	}
	if err := validSubject(c.subject); err != nil {
		return caller{}, fmt.Errorf("the client certificate's subject: %w", err)
	}
	switch units := cert.Subject.OrganizationalUnit; {
	case slices.Contains(units, WriteUnit):
		c.role = Write
	case slices.Contains(units, ReadUnit):
		c.role = Read
	default:
		return c, fmt.Errorf("%w: the client certificate has neither the organizational unit %s nor %s", errForbidden, ReadUnit, WriteUnit)
	}
	return c, nil
}
