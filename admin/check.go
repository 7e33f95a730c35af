package admin

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Check is one thing that has to be well for the node to do its work.
type Check interface {
	// Name is what the check is called in answers, such as mongodb.
	Name() string
	// Check returns why the thing is not well, or nil. It is called from several
	// goroutines; the context ends when an answer would come too late.
	Check(ctx context.Context) error
}

// CheckFunc makes a Check of a function.
func CheckFunc(name string, check func(ctx context.Context) error) Check {
	return checkFunc{name, check}
}

type checkFunc struct {
	name  string
	check func(ctx context.Context) error
}

func (c checkFunc) Name() string                    { return c.name }
func (c checkFunc) Check(ctx context.Context) error { return c.check(ctx) }

const (
	// checkTimeout bounds one round of checks.
	checkTimeout = 3 * time.Second

	// checkAge is how old an answer may be: asking often costs nothing.
	checkAge = time.Second
)

// Status is what a check found.
type Status struct {
	Name     string `json:"name"`
	Required bool   `json:"required"` // the node is not ready without it
	OK       bool   `json:"ok"`
	Error    string `json:"error,omitempty"`
}

// Readiness is what all checks together say.
type Readiness struct {
	Ready    bool     `json:"ready"`
	Draining bool     `json:"draining,omitempty"` // the node is shutting down
	Checks   []Status `json:"checks"`
}

// round runs checks and keeps the result for a moment.
type round struct {
	required, advisory []Check

	mu     sync.Mutex
	at     time.Time
	result []Status
}

// look returns what the checks say, at most checkAge ago.
func (r *round) look(ctx context.Context) []Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.result != nil && time.Since(r.at) < checkAge {
		return r.result
	}
	// Whoever asks may go away; the result is for the others, too.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTimeout)
	defer cancel()
	checks := append(append([]Check(nil), r.required...), r.advisory...)
	result := make([]Status, len(checks))
	var wg sync.WaitGroup
	for i, c := range checks {
		wg.Go(func() {
			err := c.Check(ctx)
			result[i] = Status{Name: c.Name(), Required: i < len(r.required), OK: err == nil}
			if errors.Is(err, context.DeadlineExceeded) {
				result[i].Error = "no answer within " + checkTimeout.String()
			} else if err != nil {
				result[i].Error = err.Error()
			}
		})
	}
	wg.Wait()
	r.at, r.result = time.Now(), result
	return result
}
