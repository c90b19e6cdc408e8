package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"

	"gorm.io/gorm"
)

// issuer is the certificate authority of one installation. It certifies this
// machine under its loopback names and nothing else.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newIssuer(now time.Time) (*issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{Subject: pkix.Name{CommonName: "lockkeeper example server"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(2, 0, 0),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
		PermittedDNSDomainsCritical: true, PermittedDNSDomains: []string{"localhost"},
		PermittedIPRanges: []*net.IPNet{{IP: net.IPv4(127, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)}, {IP: net.IPv6loopback, Mask: net.CIDRMask(128, 128)}}}
	if t.SerialNumber, err = serial(); err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	return &issuer{cert, key}, nil
}

// issue makes a certificate for a server on this machine.
func (i *issuer) issue(now time.Time) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	t := &x509.Certificate{Subject: pkix.Name{CommonName: "localhost"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}}
	if t.SerialNumber, err = serial(); err != nil {
		return tls.Certificate{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, t, i.cert, &key.PublicKey, i.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

func serial() (*big.Int, error) { return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) }

// roots is the pool that trusts what this authority issued.
func (i *issuer) roots() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(i.cert)
	return p
}

// pem is the certificate as a file that curl and browsers read.
func (i *issuer) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw})
}

// encodeKeyPair and decodeKeyPair carry a certificate and its key through a
// database.
func encodeKeyPair(c tls.Certificate) (cert, key []byte, err error) {
	key, err = x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	return c.Certificate[0], key, err
}

func decodeKeyPair(cert, key []byte) (tls.Certificate, *x509.Certificate, error) {
	leaf, err := x509.ParseCertificate(cert)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	k, err := x509.ParsePKCS8PrivateKey(key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	return tls.Certificate{Certificate: [][]byte{cert}, PrivateKey: k}, leaf, nil
}

// keptCertificate is a certificate with its key, in the encrypted database.
type keptCertificate struct {
	Name string `gorm:"primaryKey;size:32"`
	Cert []byte `gorm:"not null"`
	Key  []byte `gorm:"not null"`
}

func (keptCertificate) TableName() string { return "certificates" }

const (
	renewBefore  = 30 * 24 * time.Hour
	keptIssuer   = "authority"
	keptPageCert = "page"
)

// certificates returns the authority and the page's certificate, made when there
// are none or when they end soon: a browser that was told to trust them once
// goes on doing so.
func certificates(ctx context.Context, db *gorm.DB, now time.Time) (*issuer, tls.Certificate, error) {
	db = db.WithContext(ctx)
	if err := db.AutoMigrate(&keptCertificate{}); err != nil {
		return nil, tls.Certificate{}, fmt.Errorf("certificates: %w", err)
	}
	var kept []keptCertificate
	if err := db.Find(&kept).Error; err != nil {
		return nil, tls.Certificate{}, fmt.Errorf("certificates: %w", err)
	}
	found := map[string]tls.Certificate{}
	leaves := map[string]*x509.Certificate{}
	for _, k := range kept {
		c, leaf, err := decodeKeyPair(k.Cert, k.Key)
		if err != nil {
			return nil, tls.Certificate{}, fmt.Errorf("certificates: %s is damaged", k.Name)
		}
		if leaf.NotAfter.Sub(now) > renewBefore {
			found[k.Name], leaves[k.Name] = c, leaf
		}
	}
	key, ok := found[keptIssuer].PrivateKey.(*ecdsa.PrivateKey)
	if page, have := found[keptPageCert]; ok && have {
		return &issuer{leaves[keptIssuer], key}, page, nil
	}
	ca, err := newIssuer(now)
	if err != nil {
		return nil, tls.Certificate{}, err
	}
	page, err := ca.issue(now)
	if err != nil {
		return nil, tls.Certificate{}, err
	}
	for name, c := range map[string]tls.Certificate{keptPageCert: page, keptIssuer: {Certificate: [][]byte{ca.cert.Raw}, PrivateKey: ca.key}} {
		k := keptCertificate{Name: name}
		if k.Cert, k.Key, err = encodeKeyPair(c); err != nil {
			return nil, tls.Certificate{}, fmt.Errorf("certificates: %w", err)
		}
		if err := db.Save(&k).Error; err != nil {
			return nil, tls.Certificate{}, fmt.Errorf("certificates: %w", err)
		}
	}
	return ca, page, nil
}
