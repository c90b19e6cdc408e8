package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ErrTogether means that the keyring would be where the data is that it opens:
// who copies that folder, a backup for one, would have both.
var ErrTogether = errors.New("local: keyring and data would be in the same folder")

// Options of a keyring. The nil Options are those of no passphrase and of data
// that is elsewhere.
type Options struct {
	Passphrase []byte // nil: the permissions of the file protect it

	// Data are the database's files, and folders whose content leaves the machine
	// as one. A keyring that is beside such a file, or anywhere below such a
	// folder, is ErrTogether, unless Together says aloud that it may be.
	Data     []string
	Together bool
}

// Use opens the keyring or, if there is no file, makes one and reports that it
// did, unless its place is wrong: see Options.
func Use(path string, o *Options) (k *Keyring, created bool, err error) {
	if o == nil {
		o = &Options{}
	}
	if !o.Together {
		for _, d := range o.Data {
			if err := apart(path, d); err != nil {
				return nil, false, err
			}
		}
	}
	return OpenOrCreate(path, o.Passphrase)
}

// apart is ErrTogether if a keyring is with data. Links are followed.
func apart(keyring, data string) error {
	home, err := follow(filepath.Dir(keyring))
	if err != nil {
		return err
	}
	place, err := follow(data)
	if err != nil {
		return err
	}
	with := home == filepath.Dir(place)
	if isDir(place) { // then all that is below it counts
		rel, err := filepath.Rel(place, home)
		if err != nil {
			return fmt.Errorf("local: place: %w", err)
		}
		with = rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
	}
	if !with {
		return nil
	}
	return fmt.Errorf("%w: %s is with %s: put it elsewhere, on another disk at best, or say that it may be", ErrTogether, filepath.Base(keyring), filepath.Base(data))
}

func isDir(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}

// follow resolves links as far as there is something.
func follow(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("local: place: %w", err)
	}
	for rest := ""; ; path, rest = filepath.Dir(path), filepath.Join(filepath.Base(path), rest) {
		real, err := filepath.EvalSymlinks(path)
		if err == nil {
			return filepath.Join(real, rest), nil
		}
		if !errors.Is(err, fs.ErrNotExist) || path == filepath.Dir(path) {
			return "", fmt.Errorf("local: place: %w", err)
		}
	}
}
