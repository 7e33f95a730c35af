package appservices

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	// keyringAge is how old a node's copy of the keys may be: a key that was
	// dropped is refused everywhere after it.
	keyringAge = time.Minute

	// keyringPause is the least time between two readings of the keys. A token
	// with an unknown key id waits for the next reading.
	keyringPause = time.Second

	keySecretBytes = 32 // the size of the hash
	keyIDBytes     = 8
)

// newKey makes a random key.
func newKey(now time.Time) Key {
	random := make([]byte, keySecretBytes+keyIDBytes)
	rand.Read(random) // never fails: it ends the program rather
	return Key{ID: hex.EncodeToString(random[keySecretBytes:]), Secret: random[:keySecretBytes], Created: now}
}

// keyring holds the keys that tokens are signed and verified with: those of the
// configuration, or those of the Store, read again when they are old or when a
// token names one that is not there.
type keyring struct {
	store Store // nil when the keys are the configuration's
	now   func() time.Time

	known atomic.Pointer[knownKeys]
	lock  chan struct{} // holds a value while someone reads
}

type knownKeys struct {
	keys []Key // the first one signs
	read time.Time
}

func (k *knownKeys) find(id string) (Key, bool) {
	for _, key := range k.keys {
		if key.ID == id {
			return key, true
		}
	}
	return Key{}, false
}

// openKeyring returns a ring of the keys given, or, if there are none, of the
// Store's, in which one is made at the first start.
func openKeyring(ctx context.Context, keys []Key, store Store, now func() time.Time) (*keyring, error) {
	r := &keyring{now: now, lock: make(chan struct{}, 1)}
	if len(keys) > 0 {
		r.known.Store(&knownKeys{keys: keys})
		return r, nil
	}
	r.store = store
	if err := r.read(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// read takes the keys from the store.
func (r *keyring) read(ctx context.Context) error {
	now := r.now()
	keys, err := r.store.Keys(ctx, newKey(now))
	if err != nil {
		return err
	}
	if len(keys) == 0 {
		return errors.New("no signing keys are stored")
	}
	r.known.Store(&knownKeys{keys, now})
	return nil
}

// newer returns keys that were read after the ones given, waiting for the time
// when they may be read.
func (r *keyring) newer(ctx context.Context, than *knownKeys) (*knownKeys, error) {
	select {
	case r.lock <- struct{}{}:
		defer func() { <-r.lock }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if known := r.known.Load(); known != than {
		return known, nil
	}
	if wait := than.read.Add(keyringPause).Sub(r.now()); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if err := r.read(ctx); err != nil {
		return nil, err
	}
	return r.known.Load(), nil
}

// current returns keys that are not old.
func (r *keyring) current(ctx context.Context) (*knownKeys, error) {
	known := r.known.Load()
	if r.store == nil || r.now().Sub(known.read) < keyringAge {
		return known, nil
	}
	return r.newer(ctx, known)
}

// signing returns the key that new tokens are signed with.
func (r *keyring) signing(ctx context.Context) (Key, error) {
	known, err := r.current(ctx)
	if err != nil {
		return Key{}, fmt.Errorf("find signing key: %w", err)
	}
	return known.keys[0], nil
}

// verifying returns the key of that id. That there is none is told by
// ErrTokenInvalid; any other error means that the store could not be asked.
func (r *keyring) verifying(ctx context.Context, id string) (Key, error) {
	known, err := r.current(ctx)
	if err != nil {
		return Key{}, fmt.Errorf("find verifying key: %w", err)
	}
	if key, ok := known.find(id); ok {
		return key, nil
	}
	if r.store != nil {
		if known, err = r.newer(ctx, known); err != nil {
			return Key{}, fmt.Errorf("find verifying key: %w", err)
		}
		if key, ok := known.find(id); ok {
			return key, nil
		}
	}
	return Key{}, fmt.Errorf("%w: unknown key", ErrTokenInvalid)
}

// rotate makes a new key that signs from now on. Tokens of the key before it
// stay valid, older ones do not.
func (r *keyring) rotate(ctx context.Context) error {
	if r.store == nil {
		return errors.New("the signing keys are those of the configuration: change them there")
	}
	known, err := r.newer(ctx, r.known.Load())
	if err != nil {
		return err
	}
	keys := []Key{newKey(r.now()), known.keys[0]}
	if err := r.store.ReplaceKeys(ctx, known.keys[0].ID, keys); err != nil {
		return err
	}
	r.known.Store(&knownKeys{keys, r.now()})
	return nil
}
