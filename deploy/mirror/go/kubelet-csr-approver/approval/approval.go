// Package approval decides whether a kubelet may have the serving certificate that it asks for. It uses the standard
// library only.
package approval

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	nodePrefix = "system:node:"
	nodesGroup = "system:nodes"
)

// Request is what a CertificateSigningRequest for the signer kubernetes.io/kubelet-serving says.
type Request struct {
	// Username and Groups are those of whoever made it, as the API server has authenticated them.
	Username string
	Groups   []string
	// PEM is the certificate request itself.
	PEM []byte
	// Usages are those wanted of the certificate.
	Usages []string
	// ExpirationSeconds is the wanted validity; nil leaves it to the signer.
	ExpirationSeconds *int32
}

// Resolver finds the addresses of a name; net.Resolver is one.
type Resolver interface {
	LookupHost(ctx context.Context, name string) ([]string, error)
}

// Policy says which requests are approved.
type Policy struct {
	// Names is what a host's name has to match.
	Names *regexp.Regexp
	// Prefixes are the networks in which a host's addresses lie.
	Prefixes []netip.Prefix
	// MaxExpiration is the longest validity.
	MaxExpiration time.Duration
	// Resolver, unless nil, has to know each name in a request, with the addresses in it.
	Resolver Resolver
}

// Check returns nil if the request is to be approved, and otherwise why it is not.
func (p Policy) Check(ctx context.Context, request Request) error {
	node, isNode := strings.CutPrefix(request.Username, nodePrefix)
	if !isNode || node == "" || !slices.Contains(request.Groups, nodesGroup) {
		return fmt.Errorf("it was made by %q, which is not a node", request.Username)
	}
	block, rest := pem.Decode(request.PEM)
	if block == nil || block.Type != "CERTIFICATE REQUEST" || len(strings.TrimSpace(string(rest))) > 0 {
		return errors.New("it does not contain exactly one certificate request")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return fmt.Errorf("its certificate request cannot be read: %w", err)
	}
	if err := csr.CheckSignature(); err != nil {
		return fmt.Errorf("its certificate request is not signed with its own key: %w", err)
	}
	if csr.Subject.CommonName != request.Username {
		return fmt.Errorf("node %s asks for a certificate in the name of %q", node, csr.Subject.CommonName)
	}
	if !slices.Equal(csr.Subject.Organization, []string{nodesGroup}) {
		return fmt.Errorf("its organization is %q instead of %s", csr.Subject.Organization, nodesGroup)
	}
	if len(csr.EmailAddresses) > 0 || len(csr.URIs) > 0 {
		return errors.New("it asks for an email address or a URI")
	}
	if len(csr.DNSNames) == 0 && len(csr.IPAddresses) == 0 {
		return errors.New("it asks for neither a name nor an address")
	}
	if err := checkUsages(request.Usages); err != nil {
		return err
	}
	if seconds := request.ExpirationSeconds; seconds != nil && time.Duration(*seconds)*time.Second > p.MaxExpiration {
		return fmt.Errorf("it asks for a validity of %d s, more than %.0f s", *seconds, p.MaxExpiration.Seconds())
	}
	addresses := make([]string, 0, len(csr.IPAddresses))
	for _, ip := range csr.IPAddresses {
		address, _ := netip.AddrFromSlice(ip)
		address = address.Unmap()
		if !slices.ContainsFunc(p.Prefixes, func(prefix netip.Prefix) bool { return prefix.Contains(address) }) {
			return fmt.Errorf("its address %s is in none of the networks %v", address, p.Prefixes)
		}
		addresses = append(addresses, address.String())
	}
	for _, name := range csr.DNSNames {
		if name != node && !strings.HasPrefix(name, node+".") {
			return fmt.Errorf("node %s asks for the name %s, which is another's", node, name)
		}
		if !p.Names.MatchString(name) {
			return fmt.Errorf("its name %s does not match %s", name, p.Names)
		}
		if err := p.resolve(ctx, name, addresses); err != nil {
			return err
		}
	}
	return nil
}

func (p Policy) resolve(ctx context.Context, name string, addresses []string) error {
	if p.Resolver == nil {
		return nil
	}
	known, err := p.Resolver.LookupHost(ctx, name)
	if err != nil {
		return fmt.Errorf("its name %s cannot be resolved: %w", name, err)
	}
	for _, address := range addresses {
		if !slices.Contains(known, address) {
			return fmt.Errorf("its address %s is not one of %s, which are %v", address, name, known)
		}
	}
	return nil
}

func checkUsages(usages []string) error {
	if !slices.Contains(usages, "server auth") || !slices.Contains(usages, "digital signature") {
		return fmt.Errorf("its usages %v are not those of a serving certificate", usages)
	}
	for _, usage := range usages {
		if usage != "server auth" && usage != "digital signature" && usage != "key encipherment" {
			return fmt.Errorf("it asks for the usage %q", usage)
		}
	}
	return nil
}
