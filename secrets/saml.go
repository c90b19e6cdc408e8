package secrets

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// assertion signs an assertion for now (SAML 2.0 core section 2, RFC 7522
// section 3): exclusive canonical XML, RSA with SHA-256, the signature right
// behind the issuer as the schema demands.
func (m *material) assertion(now time.Time) (string, error) {
	const ns = "urn:oasis:names:tc:SAML:2.0:assertion"
	life := m.scheme.lifetime()
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return "", err
	}
	at := func(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
	format := m.scheme.NameFormat
	if format == "" {
		format = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
	}
	el := etree.NewElement("saml2:Assertion")
	el.CreateAttr("xmlns:saml2", ns)
	el.CreateAttr("ID", "_"+hex.EncodeToString(id[:]))
	el.CreateAttr("IssueInstant", at(now))
	el.CreateAttr("Version", "2.0")
	el.CreateElement("saml2:Issuer").SetText(m.scheme.Issuer)
	subject := el.CreateElement("saml2:Subject")
	name := subject.CreateElement("saml2:NameID")
	name.CreateAttr("Format", format)
	name.SetText(m.scheme.Subject)
	conf := subject.CreateElement("saml2:SubjectConfirmation")
	conf.CreateAttr("Method", "urn:oasis:names:tc:SAML:2.0:cm:bearer")
	data := conf.CreateElement("saml2:SubjectConfirmationData")
	data.CreateAttr("NotOnOrAfter", at(now.Add(life)))
	data.CreateAttr("Recipient", m.scheme.TokenURL)
	cond := el.CreateElement("saml2:Conditions")
	cond.CreateAttr("NotBefore", at(now.Add(-time.Minute)))
	cond.CreateAttr("NotOnOrAfter", at(now.Add(life)))
	cond.CreateElement("saml2:AudienceRestriction").CreateElement("saml2:Audience").SetText(m.scheme.Audience)
	authn := el.CreateElement("saml2:AuthnStatement")
	authn.CreateAttr("AuthnInstant", at(now))
	authn.CreateElement("saml2:AuthnContext").CreateElement("saml2:AuthnContextClassRef").SetText("urn:oasis:names:tc:SAML:2.0:ac:classes:X509")
	attr := el.CreateElement("saml2:AttributeStatement").CreateElement("saml2:Attribute")
	attr.CreateAttr("Name", "client_id")
	attr.CreateElement("saml2:AttributeValue").SetText(m.scheme.ClientID)

	ctx := dsig.NewDefaultSigningContext(dsig.TLSCertKeyStore(tls.Certificate{Certificate: [][]byte{m.cert}, PrivateKey: m.key}))
	ctx.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	if err := ctx.SetSignatureMethod(dsig.RSASHA256SignatureMethod); err != nil {
		return "", errors.New("secrets: assertion: signature method")
	}
	signed, err := ctx.SignEnveloped(el)
	if err != nil {
		return "", errors.New("secrets: assertion: not signed")
	}
	sig := signed.Child[len(signed.Child)-1]
	signed.RemoveChildAt(len(signed.Child) - 1)
	signed.InsertChildAt(1, sig)
	doc := etree.NewDocument()
	doc.SetRoot(signed)
	b, err := doc.WriteToBytes()
	if err != nil {
		return "", errors.New("secrets: assertion: not written")
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}
