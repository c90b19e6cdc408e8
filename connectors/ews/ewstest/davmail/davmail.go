// Package davmail runs DavMail, a program that nobody here wrote and that makes
// CardDAV and CalDAV of Exchange Web Services, for tests. It comes from Debian's
// package of that name.
package davmail

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Missing fails a test that needs a program which is not there, or leaves it out
// where that is allowed.
func Missing(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err == nil {
			continue
		}
		absent := "LEFT OUT: " + p + " is not installed (run make deps)"
		if os.Getenv("CI") == "true" || os.Getenv("LOCKKEEPER_REQUIRE") == "servers" {
			t.Fatal(absent)
		}
		t.Skip(absent)
	}
}

// Start runs DavMail before a service until the test ends, trusting one
// certificate, and returns where it serves CalDAV and CardDAV.
func Start(t testing.TB, service string, certificate *x509.Certificate) string {
	t.Helper()
	Missing(t, "davmail", "keytool")
	dir := t.TempDir()
	file := func(name, content string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	ca := file("ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})))
	trust := filepath.Join(dir, "trust.p12")
	if out, err := exec.CommandContext(t.Context(), "keytool", "-importcert", "-noprompt", "-alias", "test", "-file", ca, "-keystore", trust, "-storetype", "PKCS12", "-storepass", "trusted").CombinedOutput(); err != nil {
		t.Fatalf("keytool: %v: %s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr)
	_ = l.Close()
	config := file("davmail.properties", fmt.Sprintf(`davmail.server=true
davmail.mode=EWS
davmail.enableEws=true
davmail.url=%s
davmail.caldavPort=%d
davmail.imapPort=
davmail.ldapPort=
davmail.popPort=
davmail.smtpPort=
davmail.allowRemote=false
davmail.bindAddress=127.0.0.1
davmail.disableUpdateCheck=true
davmail.timezoneId=UTC
davmail.caldavPastDelay=0
davmail.logFilePath=%s
log4j.rootLogger=WARN
log4j.logger.davmail=WARN
log4j.logger.httpclient.wire=ERROR
`, service, addr.Port, filepath.Join(dir, "davmail.log")))
	var out bytes.Buffer
	cmd := exec.Command("davmail", "-server", config) //nolint:noctx // it is ended below, with all that it started
	cmd.Env = append(os.Environ(), "HOME="+dir, "JAVA_TOOL_OPTIONS=-Djava.awt.headless=true -Xmx256m -Djavax.net.ssl.trustStore="+trust+" -Djavax.net.ssl.trustStorePassword=trusted")
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { _ = cmd.Wait(); close(gone) }()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-gone
		if t.Failed() {
			logged, _ := os.ReadFile(filepath.Join(dir, "davmail.log"))
			t.Logf("davmail: %s\n%s", out.String(), logged)
		}
	})
	for end := time.Now().Add(3 * time.Minute); ; {
		c, err := net.DialTimeout("tcp", addr.String(), time.Second)
		if err == nil {
			_ = c.Close()
			return "http://" + addr.String()
		}
		select {
		case <-gone:
			t.Fatal("davmail ended: ", out.String())
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(end) {
			t.Fatal("davmail does not answer")
		}
	}
}
