package secrets_test

import "github.com/lockkeeper/lockkeeper/secrets"

// saml is a complete scheme; a certificate belongs to it unless it is generated.
func saml(certificate string) secrets.PutOptions {
	return secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.SAMLBearer, TokenURL: "https://crm.example/oauth/token?x=1&y=2", ClientID: "the-client", Issuer: "lockkeeper.example",
		Subject: "ana@example.com", Audience: "crm.example/entity", Scope: "UIWC:CC_HOME", Certificate: certificate}}
}
