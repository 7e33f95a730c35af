package appservices

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/isthmus-sync/isthmus/internal/mongotest"
)

func TestMain(m *testing.M) { mongotest.Main(m) }

// stores are the implementations that the contract holds for.
var stores = map[string]func(t *testing.T) Store{
	"memory": func(*testing.T) Store { return NewMemoryStore() },
	"mongo":  func(t *testing.T) Store { return mongoStore(t) },
}

func mongoStore(t *testing.T) *MongoStore {
	t.Helper()
	db := mongotest.Database(t)
	s, err := OpenMongoStore(context.Background(), db.Client(), db.Name())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStoreContract(t *testing.T) {
	ctx := context.Background()
	now := time.Now().UTC().Truncate(time.Millisecond)
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			t.Run("users", func(t *testing.T) {
				s := open(t)
				anna := Identity{Provider: "local-userpass", ID: "anna@example.com", Data: map[string]string{"email": "anna@example.com"}}
				want := User{ID: newID(), Created: now, LastLogIn: now, Identities: []Identity{anna}}
				got, err := s.UserWith(ctx, anna, User{ID: want.ID, Created: now, LastLogIn: now})
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Fatalf("first log-in: %+v, %v; want %+v", got, err, want)
				}
				want.LastLogIn = now.Add(time.Hour)
				got, err = s.UserWith(ctx, anna, User{ID: newID(), Created: want.LastLogIn, LastLogIn: want.LastLogIn})
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Fatalf("second log-in: %+v, %v; want %+v", got, err, want)
				}
				// The same id with another provider is another identity.
				other, err := s.UserWith(ctx, Identity{Provider: "custom-token", ID: anna.ID}, User{ID: newID(), Created: now, LastLogIn: now})
				if err != nil || other.ID == want.ID {
					t.Fatalf("another provider: %+v, %v", other, err)
				}
				if got, err = s.User(ctx, want.ID); err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("read: %+v, %v; want %+v", got, err, want)
				}
				if _, err := s.User(ctx, "nobody"); !errors.Is(err, ErrNotFound) {
					t.Errorf("an unknown user: %v, want ErrNotFound", err)
				}
				if err := s.SetDisabled(ctx, want.ID, true); err != nil {
					t.Fatal(err)
				}
				if got, err = s.User(ctx, want.ID); err != nil || !got.Disabled {
					t.Errorf("disabled: %+v, %v", got, err)
				}
				if err := s.SetDisabled(ctx, want.ID, false); err != nil {
					t.Fatal(err)
				}
				if got, err = s.User(ctx, want.ID); err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("enabled again: %+v, %v", got, err)
				}
				if err := s.SetDisabled(ctx, "nobody", true); !errors.Is(err, ErrNotFound) {
					t.Errorf("disable an unknown user: %v, want ErrNotFound", err)
				}
			})
			t.Run("one user for an identity", func(t *testing.T) {
				s := open(t)
				var wg sync.WaitGroup
				ids := make([]string, 8)
				for i := range ids {
					wg.Go(func() {
						u, err := s.UserWith(ctx, Identity{Provider: "custom-token", ID: "same"}, User{ID: newID(), Created: now, LastLogIn: now})
						if err != nil {
							t.Error(err)
						}
						ids[i] = u.ID
					})
				}
				wg.Wait()
				for _, id := range ids {
					if id == "" || id != ids[0] {
						t.Fatalf("several users have one identity: %v", ids)
					}
				}
			})
			t.Run("sessions", func(t *testing.T) {
				s := open(t)
				want := Session{
					ID: newID(), User: newID(), Identity: Identity{Provider: "anon-user", ID: newID()},
					Device:  Device{ID: newID(), SDK: "Kotlin", SDKVersion: "2.3.0"},
					Created: now, Used: now, Expires: now.Add(time.Hour),
				}
				if err := s.AddSession(ctx, want); err != nil {
					t.Fatal(err)
				}
				if got, err := s.Session(ctx, want.ID); err != nil || !reflect.DeepEqual(got, want) {
					t.Fatalf("read: %+v, %v; want %+v", got, err, want)
				}
				want.Used = now.Add(time.Minute)
				if got, err := s.UseSession(ctx, want.ID, want.Used, time.Time{}); err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("use: %+v, %v; want %+v", got, err, want)
				}
				want.Used, want.Expires = now.Add(2*time.Minute), now.Add(2*time.Hour)
				if got, err := s.UseSession(ctx, want.ID, want.Used, want.Expires); err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("renew: %+v, %v; want %+v", got, err, want)
				}
				if _, err := s.UseSession(ctx, want.ID, want.Expires, time.Time{}); !errors.Is(err, ErrNotFound) {
					t.Errorf("use at its end: %v, want ErrNotFound", err)
				}
				for range 2 {
					if err := s.RevokeSession(ctx, want.ID, now.Add(3*time.Minute)); err != nil {
						t.Fatal(err)
					}
				}
				want.Revoked = now.Add(3 * time.Minute)
				if got, err := s.Session(ctx, want.ID); err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("revoked: %+v, %v; want %+v", got, err, want)
				}
				if _, err := s.UseSession(ctx, want.ID, now.Add(4*time.Minute), time.Time{}); !errors.Is(err, ErrNotFound) {
					t.Errorf("use a revoked session: %v, want ErrNotFound", err)
				}
				if err := s.RevokeSession(ctx, "nothing", now); err != nil {
					t.Errorf("revoke an unknown session: %v", err)
				}
				if _, err := s.Session(ctx, "nothing"); !errors.Is(err, ErrNotFound) {
					t.Errorf("an unknown session: %v, want ErrNotFound", err)
				}
			})
			t.Run("keys", func(t *testing.T) {
				s := open(t)
				if err := s.ReplaceKeys(ctx, "k0", []Key{newKey(now)}); !errors.Is(err, errKeysMoved) {
					t.Errorf("replace keys that are not there: %v, want errKeysMoved", err)
				}
				var wg sync.WaitGroup
				got := make([][]Key, 8)
				for i := range got {
					wg.Go(func() {
						var err error
						if got[i], err = s.Keys(ctx, newKey(now)); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				for _, keys := range got {
					if len(keys) != 1 || !reflect.DeepEqual(keys, got[0]) {
						t.Fatalf("nodes got different keys: %v", got)
					}
				}
				first := got[0][0]
				next := []Key{newKey(now), first}
				if err := s.ReplaceKeys(ctx, first.ID, next); err != nil {
					t.Fatal(err)
				}
				if err := s.ReplaceKeys(ctx, first.ID, []Key{newKey(now)}); !errors.Is(err, errKeysMoved) {
					t.Errorf("replace moved keys: %v, want errKeysMoved", err)
				}
				if keys, err := s.Keys(ctx, newKey(now)); err != nil || !reflect.DeepEqual(keys, next) {
					t.Errorf("keys are %v, %v; want %v", keys, err, next)
				}
			})
		})
	}
}

// Opening a store that is there finds what it held.
func TestMongoStoreReopened(t *testing.T) {
	ctx := context.Background()
	db := mongotest.Database(t)
	var ids []string
	for i := range 2 {
		s, err := OpenMongoStore(ctx, db.Client(), db.Name())
		if err != nil {
			t.Fatalf("open, time %d: %v", i, err)
		}
		keys, err := s.Keys(ctx, newKey(time.Now()))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, fmt.Sprint(len(keys), keys[0].ID))
	}
	if ids[0] != ids[1] {
		t.Errorf("the key of the first start is %s, of the second %s", ids[0], ids[1])
	}
}
