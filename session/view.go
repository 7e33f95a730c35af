package session

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/query"
)

// view is what a session may see: the objects that its subscriptions ask for.
// Sessions with the same subscriptions share one. A nil *view is everything.
type view struct {
	key     string // of views with the same predicates
	classes map[string]*query.Predicate

	mu         sync.Mutex
	deliveries map[uint64]*delivery // by history version
	recent     []uint64             // their versions, in the order of arrival
	references int                  // under views.mu
}

var _ history.View = (*view)(nil)

// Contains reports whether an object is in the view.
func (v *view) Contains(ref changeset.ObjectRef, o *object.Object) bool {
	if o == nil {
		return false
	}
	if v == nil {
		return true
	}
	p := v.classes[ref.Class]
	return p != nil && p.Match(ref.Key, o)
}

// classNames returns the classes of one or both views, sorted.
func classNames(a, b *view) []string {
	var names []string
	for _, v := range []*view{a, b} {
		if v == nil {
			continue
		}
		for name := range v.classes {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// between returns the predicates on a class one of which every object satisfies
// that is in only one of two views; none if there is no such object.
func between(before, after *view, class string) []*query.Predicate {
	var where []*query.Predicate
	old, young := before.classes[class], after.classes[class]
	if old != nil {
		where = append(where, old.Without(young))
	}
	if young != nil {
		where = append(where, young.Without(old))
	}
	return slices.DeleteFunc(where, (*query.Predicate).MatchesNone)
}

// badQuery says that a subscription set is refused; its text is for the app.
type badQuery struct{ err error }

func (e *badQuery) Error() string { return e.err.Error() }
func (e *badQuery) Unwrap() error { return e.err }

// views decides what sessions may see. It is the one place where that is
// decided.
type views struct {
	mu    sync.Mutex
	byKey map[string]*view
}

func newViews() *views { return &views{byKey: make(map[string]*view)} }

// subscribe returns the view of a new subscription set, and makes the fields it
// asks for queryable or finds that they may not be. The error is a *badQuery
// when the set is at fault. The view is to be released.
func (vs *views) subscribe(ctx context.Context, f File, body string) (*view, error) {
	classes, err := predicates(f, body)
	if err != nil {
		return nil, err
	}
	for _, class := range sortedKeys(classes) {
		err := f.MakeQueryable(ctx, class, classes[class].Fields())
		var not *history.NotQueryable
		if errors.As(err, &not) {
			return nil, &badQuery{query.NotQueryable(not.Class, not.Field)}
		}
		if err != nil {
			return nil, fmt.Errorf("make fields of %s queryable: %w", class, err)
		}
	}
	return vs.share(classes), nil
}

// resume returns the view of a subscription set that a client already holds.
// Here fields must have been queryable all along, or the history does not tell
// what moved.
func (vs *views) resume(f File, body string) (*view, error) {
	classes, err := predicates(f, body)
	if err != nil {
		return nil, err
	}
	for _, class := range sortedKeys(classes) {
		for _, field := range classes[class].Fields() {
			if !f.IsQueryable(class, field) {
				return nil, &badQuery{query.NotQueryable(class, field)}
			}
		}
	}
	return vs.share(classes), nil
}

// predicates reads the body of a subscription set.
func predicates(f File, body string) (map[string]*query.Predicate, error) {
	texts, err := query.ParseBody([]byte(body))
	if err != nil {
		return nil, &badQuery{err}
	}
	s := f.Schema()
	classes := make(map[string]*query.Predicate, len(texts))
	for _, class := range sortedKeys(texts) {
		q, err := query.Parse(texts[class])
		if err != nil {
			return nil, &badQuery{err}
		}
		p, err := q.Bind(s, class)
		if errors.Is(err, query.ErrUnknownClass) {
			err = &query.MatchError{Class: class, Offset: -1, Reason: "the server knows no such class"}
		}
		if err != nil {
			return nil, &badQuery{err}
		}
		classes[class] = p
	}
	return classes, nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func (vs *views) share(classes map[string]*query.Predicate) *view {
	var key strings.Builder
	for _, class := range sortedKeys(classes) {
		key.WriteString(classes[class].Key())
	}
	vs.mu.Lock()
	defer vs.mu.Unlock()
	v := vs.byKey[key.String()]
	if v == nil {
		v = &view{key: key.String(), classes: classes, deliveries: make(map[uint64]*delivery)}
		vs.byKey[v.key] = v
	}
	v.references++
	return v
}

// release gives a view back.
func (vs *views) release(v *view) {
	if v == nil {
		return
	}
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if v.references--; v.references == 0 {
		delete(vs.byKey, v.key)
	}
}
