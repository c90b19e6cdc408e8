package local

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// maxCredential is the longest passphrase of a file, in bytes.
const maxCredential = 4 << 10

// Credential reads a passphrase that the operating system hands to this service
// alone: the file of that name in the directory that CREDENTIALS_DIRECTORY names,
// as systemd's LoadCredential and LoadCredentialEncrypted make it. One line end
// behind it is dropped. See the page systemd.exec(5), "Credentials".
func Credential(name string) ([]byte, error) {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, `/\`) {
		return nil, errors.New("local: credential: name: want a plain file name")
	}
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if !filepath.IsAbs(dir) {
		return nil, errors.New("local: credential: CREDENTIALS_DIRECTORY is not set: start this as a systemd service with LoadCredential=" + name + ":PATH")
	}
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return nil, fmt.Errorf("local: credential: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("local: credential: %w", err)
	}
	if st.Mode().Perm()&0o007 != 0 { // the group's bits are the mask of systemd's access list
		return nil, fmt.Errorf("local: credential: %s can be read by everybody: chmod 400 it, and replace it", name)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxCredential+2))
	if err != nil {
		return nil, fmt.Errorf("local: credential: %w", err)
	}
	b = bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
	if len(b) == 0 || len(b) > maxCredential {
		return nil, fmt.Errorf("local: credential: %s: want 1 to %d bytes", name, maxCredential)
	}
	return b, nil
}
