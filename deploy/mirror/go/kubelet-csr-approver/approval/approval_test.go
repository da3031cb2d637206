package approval

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"
)

type names map[string][]string

func (n names) LookupHost(_ context.Context, name string) ([]string, error) {
	if addresses, ok := n[name]; ok {
		return addresses, nil
	}
	return nil, errors.New("no such host")
}

func policy() Policy {
	return Policy{
		Names:         regexp.MustCompile(`^w[0-9]+(\.lab\.internal)?$`),
		Prefixes:      []netip.Prefix{netip.MustParsePrefix("10.89.77.0/24")},
		MaxExpiration: 24 * time.Hour,
	}
}

func request(t *testing.T, change func(*x509.CertificateRequest, *Request)) Request {
	t.Helper()
	template := x509.CertificateRequest{
		Subject:     pkix.Name{CommonName: "system:node:w1", Organization: []string{"system:nodes"}},
		DNSNames:    []string{"w1"},
		IPAddresses: []net.IP{net.ParseIP("10.89.77.11")},
	}
	result := Request{
		Username: "system:node:w1",
		Groups:   []string{"system:nodes", "system:authenticated"},
		Usages:   []string{"digital signature", "server auth"},
	}
	change(&template, &result)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
	if err != nil {
		t.Fatal(err)
	}
	if result.PEM == nil {
		result.PEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	}
	return result
}

func TestApproved(t *testing.T) {
	day := int32(24 * 3600)
	for name, change := range map[string]func(*x509.CertificateRequest, *Request){
		"a node's own name and address": func(*x509.CertificateRequest, *Request) {},
		"its full name":                 func(c *x509.CertificateRequest, _ *Request) { c.DNSNames = []string{"w1.lab.internal"} },
		"an address only":               func(c *x509.CertificateRequest, _ *Request) { c.DNSNames = nil },
		"an RSA key's usages":           func(_ *x509.CertificateRequest, r *Request) { r.Usages = append(r.Usages, "key encipherment") },
		"the longest validity":          func(_ *x509.CertificateRequest, r *Request) { r.ExpirationSeconds = &day },
	} {
		if err := policy().Check(context.Background(), request(t, change)); err != nil {
			t.Errorf("%s: refused because %v", name, err)
		}
	}
}

func TestRefused(t *testing.T) {
	long := int32(24*3600 + 1)
	for expected, change := range map[string]func(*x509.CertificateRequest, *Request){
		"not a node":           func(_ *x509.CertificateRequest, r *Request) { r.Username = "jane" },
		"which is not a node":  func(_ *x509.CertificateRequest, r *Request) { r.Groups = nil },
		"in the name of":       func(_ *x509.CertificateRequest, r *Request) { r.Username = "system:node:w2" },
		"organization":         func(c *x509.CertificateRequest, _ *Request) { c.Subject.Organization = []string{"system:masters"} },
		"email":                func(c *x509.CertificateRequest, _ *Request) { c.EmailAddresses = []string{"a@b"} },
		"neither":              func(c *x509.CertificateRequest, _ *Request) { c.DNSNames, c.IPAddresses = nil, nil },
		"another's":            func(c *x509.CertificateRequest, _ *Request) { c.DNSNames = []string{"w2"} },
		"w12, which is":        func(c *x509.CertificateRequest, _ *Request) { c.DNSNames = []string{"w12"} },
		"does not match":       func(c *x509.CertificateRequest, _ *Request) { c.DNSNames = []string{"w1.elsewhere"} },
		"none of the networks": func(c *x509.CertificateRequest, _ *Request) { c.IPAddresses[0] = net.ParseIP("10.96.0.1") },
		"client auth":          func(_ *x509.CertificateRequest, r *Request) { r.Usages = append(r.Usages, "client auth") },
		"serving certificate":  func(_ *x509.CertificateRequest, r *Request) { r.Usages = []string{"server auth"} },
		"validity":             func(_ *x509.CertificateRequest, r *Request) { r.ExpirationSeconds = &long },
		"exactly one":          func(_ *x509.CertificateRequest, r *Request) { r.PEM = []byte("nonsense") },
	} {
		err := policy().Check(context.Background(), request(t, change))
		if err == nil || !strings.Contains(err.Error(), expected) {
			t.Errorf("wanted a refusal with %q, got %v", expected, err)
		}
	}
}

func TestResolved(t *testing.T) {
	asked := request(t, func(*x509.CertificateRequest, *Request) {})
	for expected, resolver := range map[string]names{
		"":                   {"w1": {"10.89.77.11"}},
		"is not one of":      {"w1": {"10.89.77.12"}},
		"cannot be resolved": {},
	} {
		strict := policy()
		strict.Resolver = resolver
		err := strict.Check(context.Background(), asked)
		if (err == nil) != (expected == "") || err != nil && !strings.Contains(err.Error(), expected) {
			t.Errorf("wanted %q, got %v", expected, err)
		}
	}
}
