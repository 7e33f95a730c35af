package redisd_test

import (
	"errors"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/isthmus-sync/isthmus/internal/redisd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestServerAnswersAndComesBackEmpty(t *testing.T) {
	s := redisd.Run(t)
	client := redis.NewClient(&redis.Options{Addr: s.Addr})
	t.Cleanup(func() { client.Close() })
	if err := client.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if got, err := client.Get(t.Context(), "k").Result(); got != "v" || err != nil {
		t.Errorf("got %q, %v; want the value set", got, err)
	}
	if err := s.Restart(t.Context()); err == nil {
		t.Error("Restart of a running server returned no error")
	}
	s.Kill()
	if err := client.Get(t.Context(), "k").Err(); err == nil {
		t.Error("a killed server answered")
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := client.Get(t.Context(), "k").Err(); !errors.Is(err, redis.Nil) {
		t.Errorf("after a restart got %v, want an empty server", err)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}

func TestMissingProgramIsSaid(t *testing.T) {
	t.Setenv(redisd.EnvPath, "/nonexistent/redis-server")
	if _, err := redisd.Start(t.Context()); !errors.Is(err, redisd.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}
