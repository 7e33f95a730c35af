package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/session"
	"github.com/isthmus-sync/isthmus/translator"
)

const (
	// surveyEvery is how often the deployment is looked at unasked, for the log.
	surveyEvery = 30 * time.Second

	// surveyAge is how old an answer may be.
	surveyAge = 5 * time.Second

	// surveyTimeout bounds a look.
	surveyTimeout = 3 * time.Second

	// assumedWindow is how far the oplog is taken to reach back where MongoDB does
	// not say.
	assumedWindow = 24 * time.Hour

	// leastTokenAge never alarms: a new oplog reaches back minutes only, and the
	// token is stored every half minute when nothing happens.
	leastTokenAge = 2 * time.Minute
)

// survey looks at what concerns the deployment as a whole, whichever node does
// the work.
type survey struct {
	mongo    *mongo.Client
	store    *history.Store
	file     *history.File
	presence session.Presence
	logger   *slog.Logger

	mu      sync.Mutex
	at      time.Time
	found   findings
	alarmed bool // the log says so
	blind   bool // the log says that the oplog is not known
}

// findings are what a survey found. What could not be read stays as it was.
type findings struct {
	unsynced map[string]int64 // documents, by class
	sessions int              // on all nodes
	token    time.Time        // that the stored resume token stands for; zero: none
	read     time.Time        // when that was read
	oldest   time.Time        // operation in the oplog; zero: unknown
}

// tokenAge is how far the resume token was back when it was last read, false if
// there is none: while MongoDB can't be asked nobody knows how far it is.
func (f findings) tokenAge() (time.Duration, bool) {
	return f.read.Sub(f.token), !f.token.IsZero()
}

// window is how far the oplog reaches back, false if that is unknown.
func (f findings) window() (time.Duration, bool) {
	return time.Since(f.oldest), !f.oldest.IsZero()
}

// endangered returns why the resume token may soon lead nowhere, nil if it won't:
// a third of the way to the oplog's end is time enough to do something.
func (f findings) endangered() error {
	age, known := f.tokenAge()
	if !known || age < leastTokenAge {
		return nil
	}
	window, known := f.window()
	reach := "reaches back " + coarse(window)
	if !known {
		window, reach = assumedWindow, "is taken to reach back "+coarse(assumedWindow)
	}
	if age < window/3 {
		return nil
	}
	return fmt.Errorf("the change stream is read up to %s ago, the oplog %s: when the one falls out of the other, every collection is compared anew", coarse(age), reach)
}

// coarse is a duration for people.
func coarse(d time.Duration) string {
	if d < time.Hour {
		return d.Round(time.Second).String()
	}
	return d.Round(time.Minute).String()
}

// run looks now and then, until ctx ends.
func (s *survey) run(ctx context.Context) {
	t := time.NewTicker(surveyEvery)
	defer t.Stop()
	for {
		s.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// look returns what there is to be seen, at most surveyAge ago.
func (s *survey) look(ctx context.Context) findings {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.at) < surveyAge {
		return s.found
	}
	// Whoever asks may go away; the answer is for the others, too.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), surveyTimeout)
	defer cancel()
	// What fails here fails in the check of MongoDB, which tells it.
	if unsynced, err := s.file.CountUnsynced(ctx); err == nil {
		s.found.unsynced = unsynced
	}
	if n, err := s.presence.Count(ctx); err == nil || errors.Is(err, session.ErrPresenceDegraded) {
		s.found.sessions = n
	}
	if token, err := s.store.IngestToken(ctx); err == nil {
		s.found.token, _ = translator.TokenTime(token)
		s.found.read = time.Now()
	}
	s.lookAtOplog(ctx)
	s.at = time.Now()
	s.tell()
	return s.found
}

func (s *survey) lookAtOplog(ctx context.Context) {
	oldest, err := oldestOperation(ctx, s.mongo)
	switch {
	case err == nil:
		s.found.oldest = oldest
	case errors.Is(err, errOplogUnknown):
		s.found.oldest = time.Time{}
		if !s.blind {
			s.logger.Info("how far the oplog reaches back is not known; a day is assumed for the alarm of the resume token",
				"hint", "in a replica set, give the user of mongodb.uri the role clusterMonitor on admin")
			s.blind = true
		}
	}
}

// tell logs an alarm once, and its end.
func (s *survey) tell() {
	danger := s.found.endangered()
	if alarm := danger != nil; alarm != s.alarmed {
		s.alarmed = alarm
		if alarm {
			s.logger.Error("the place in the change stream is about to be lost", "reason", danger,
				"hint", "see why no node reads it, or why it is read so slowly (bridge_ingest_lag_seconds); make the oplog larger meanwhile")
		} else {
			s.logger.Info("the place in the change stream is safe again")
		}
	}
}

// checkToken is the readiness check of the resume token.
func (s *survey) checkToken(ctx context.Context) error { return s.look(ctx).endangered() }

// checkHolds is the readiness check of held classes.
func (s *survey) checkHolds(context.Context) error {
	var held []string
	for _, h := range sortedHolds(s.file.Holds()) {
		held = append(held, fmt.Sprintf("class %s is held since %s (%s): %s", h.Class, h.Since.UTC().Format(time.RFC3339), h.Reason, holdState(h)))
	}
	if held == nil {
		return nil
	}
	return errors.New(strings.Join(held, "; "))
}
