//go:build unix

package faults

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/internal/mongod"
)

// MongoDB stands still for a while, and goes on where it was: for devices
// everything takes longer.
func TestMongoDBStandsStill(t *testing.T) {
	t.Parallel()
	seed := newSeed(t)
	server, err := mongod.Start(t.Context(), mongod.Options{Dir: t.TempDir(), CacheMB: 256})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Kill)
	w := newWorld(t, plan{uri: server.URI, nodes: 1, phones: 3, writers: 2, seed: seed})
	var status struct {
		Pid int `bson:"pid"`
	}
	if err := w.client.Database("admin").RunCommand(w.ctx, bson.D{{Key: "serverStatus", Value: 1}}).Decode(&status); err != nil {
		t.Fatal(err)
	}
	w.writersMayFail.Store(true)
	rng := w.rng(1)
	began := time.Now()
	var slowest time.Duration
	for range *roundsFlag {
		w.begin()
		w.wait(rng, time.Second, 2*time.Second)
		if err := standStill(w.ctx, status.Pid, *pauseFlag); err != nil {
			t.Fatal(err)
		}
		slowest = max(slowest, w.progress(time.Minute))
		w.wait(rng, 0, 2*time.Second)
		w.agree()
	}
	w.report(began, fmt.Sprintf("%d times %v (at work again %v later at most)", *roundsFlag, *pauseFlag, slowest.Round(time.Millisecond)))
}

// standStill stops a process for so long, or until the context ends.
func standStill(ctx context.Context, pid int, d time.Duration) error {
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-ctx.Done()
	return syscall.Kill(pid, syscall.SIGCONT)
}
