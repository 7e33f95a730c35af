package appservices

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// MemoryStore is a Store that forgets everything at its end: for tests of what
// lies above a Store.
type MemoryStore struct {
	mu       sync.Mutex
	users    map[string]User
	owners   map[[2]string]string // user id by provider and identity id
	sessions map[string]Session
	keys     []Key
}

var _ Store = (*MemoryStore)(nil)

// NewMemoryStore returns an empty store.
func NewMemoryStore() *MemoryStore {
	return &MemoryStore{users: map[string]User{}, owners: map[[2]string]string{}, sessions: map[string]Session{}}
}

// clone keeps what is stored apart from what callers hold.
func (u User) clone() User {
	u.Identities = slices.Clone(u.Identities)
	for i := range u.Identities {
		u.Identities[i].Data = maps.Clone(u.Identities[i].Data)
	}
	return u
}

// UserWith implements Store.
func (m *MemoryStore) UserWith(_ context.Context, identity Identity, fresh User) (User, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	owner := [2]string{identity.Provider, identity.ID}
	u, ok := m.users[m.owners[owner]]
	if !ok {
		u = fresh.clone()
		u.Identities = []Identity{identity}
		m.owners[owner] = u.ID
	}
	u.LastLogIn = fresh.LastLogIn
	m.users[u.ID] = u.clone()
	return u.clone(), nil
}

// User implements Store.
func (m *MemoryStore) User(_ context.Context, id string) (User, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u, ok := m.users[id]
	if !ok {
		return User{}, ErrNotFound
	}
	return u.clone(), nil
}

// SetDisabled implements Store.
func (m *MemoryStore) SetDisabled(_ context.Context, id string, disabled bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	u, ok := m.users[id]
	if !ok {
		return ErrNotFound
	}
	u.Disabled = disabled
	m.users[id] = u
	return nil
}

// AddSession implements Store.
func (m *MemoryStore) AddSession(_ context.Context, s Session) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sessions[s.ID] = s
	return nil
}

// Session implements Store.
func (m *MemoryStore) Session(_ context.Context, id string) (Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.sessions[id]
	if !ok {
		return Session{}, ErrNotFound
	}
	return s, nil
}

// UseSession implements Store.
func (m *MemoryStore) UseSession(_ context.Context, id string, used, expires time.Time) (Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.sessions[id]
	if !ok || !s.Revoked.IsZero() || !s.Expires.After(used) {
		return Session{}, ErrNotFound
	}
	s.Used = used
	if !expires.IsZero() {
		s.Expires = expires
	}
	m.sessions[id] = s
	return s, nil
}

// RevokeSession implements Store.
func (m *MemoryStore) RevokeSession(_ context.Context, id string, at time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, ok := m.sessions[id]; ok && s.Revoked.IsZero() {
		s.Revoked = at
		m.sessions[id] = s
	}
	return nil
}

// Keys implements Store.
func (m *MemoryStore) Keys(_ context.Context, first Key) ([]Key, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.keys) == 0 {
		m.keys = []Key{first}
	}
	return slices.Clone(m.keys), nil
}

// ReplaceKeys implements Store.
func (m *MemoryStore) ReplaceKeys(_ context.Context, signing string, keys []Key) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.keys) == 0 || m.keys[0].ID != signing {
		return errKeysMoved
	}
	m.keys = slices.Clone(keys)
	return nil
}
