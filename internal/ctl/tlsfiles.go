package ctl

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

// refuseEmptyTLSFlags catches --cert=$UNSET, which would otherwise mean no TLS.
func (c *ctl) refuseEmptyTLSFlags(cmd *cobra.Command) error {
	for _, name := range []string{"cert", "key", "cacert"} {
		if f := cmd.Flags().Lookup(name); f != nil && f.Changed && f.Value.String() == "" {
			return badArguments("empty string is passed to --%s option", name)
		}
	}
	return nil
}

// tlsConfig is nil when nothing asks for TLS; an https endpoint then still
// gets the system's roots from clientv3.
func (g *globals) tlsConfig() (*tls.Config, error) {
	if g.cert == "" && g.key == "" && g.caCert == "" && g.insecureTransport && !g.insecureSkip {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: g.insecureSkip}
	if g.discoverySRV != "" && !g.insecureDiscovery {
		cfg.ServerName = g.discoverySRV
	}
	if (g.cert == "") != (g.key == "") {
		return nil, fmt.Errorf("KeyFile and CertFile must both be present[key: %s, cert: %s]", g.key, g.cert)
	}
	if g.cert != "" {
		certFile, keyFile := g.cert, g.key
		if _, err := tls.LoadX509KeyPair(certFile, keyFile); err != nil {
			return nil, err
		}
		// Read again at every handshake: a watch may outlive its certificate.
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(certFile, keyFile)
			return &pair, err
		}
	}
	if g.caCert != "" {
		pem, err := os.ReadFile(g.caCert)
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("no certificate found in %s", g.caCert)
		}
	}
	return cfg, nil
}
