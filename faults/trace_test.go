package faults

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/protocol"
)

// trace keeps the changesets that a phone has sent and received, to tell what
// happened to an object on it.
type trace struct {
	mu    sync.Mutex
	lines []traced
}

// traced is a changeset, or something else that happened.
type traced struct {
	what      string
	changeset []byte // nil: it concerns every object
}

func (t *trace) add(sent bool, m protocol.Message) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch m := m.(type) {
	case *protocol.Upload:
		for _, e := range m.Entries {
			t.lines = append(t.lines, traced{fmt.Sprintf("sent version %d, made on %v", e.ClientVersion, version(e.ServerVersion)), bytes.Clone(e.Changeset)})
		}
	case *protocol.Download:
		what := fmt.Sprintf("received, up to %v with client version %d and upload cursor %d/%v, query version %d, batch state %d: ",
			version(m.DownloadServer), m.DownloadClient, m.UploadClient, version(m.UploadServer), m.QueryVersion, m.Batch)
		if m.QueryVersion > 0 && len(m.Entries) == 0 {
			t.lines = append(t.lines, traced{what + "nothing", nil})
		}
		for _, e := range m.Entries {
			t.lines = append(t.lines, traced{what + fmt.Sprintf("version %v of file %d, after client version %d", version(e.ServerVersion), e.Origin, e.ClientVersion), bytes.Clone(e.Changeset)})
		}
	case *protocol.Bind, *protocol.Query, *protocol.JSONError:
		direction := "received"
		if sent {
			direction = "sent"
		}
		t.lines = append(t.lines, traced{fmt.Sprintf("%s %s %+v", direction, m.Keyword(), m), nil})
	}
}

// of tells of an object.
func (t *trace) of(ref changeset.ObjectRef) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	for _, l := range t.lines {
		if l.changeset == nil {
			fmt.Fprintln(&b, l.what)
		} else if cs, err := changeset.Decode(l.changeset); err != nil {
			fmt.Fprintln(&b, l.what, err)
		} else if text := instructionsOn(cs, ref); text != "" {
			fmt.Fprint(&b, l.what, text, "\n")
		}
	}
	return b.String()
}

// version is a wire version, for people.
type version int64

func (v version) String() string {
	if in := v % history.Stride; in != 0 {
		return fmt.Sprintf("%d+%d", v/history.Stride, in)
	}
	return fmt.Sprint(int64(v / history.Stride))
}

func instructionsOn(cs changeset.Changeset, ref changeset.ObjectRef) string {
	var b strings.Builder
	for i := range cs {
		if !cs[i].Op.IsSchema() && cs[i].Object() == ref {
			fmt.Fprintf(&b, "\n    %v", cs[i].String())
		}
	}
	return b.String()
}

// entriesOn tells of what the history did to an object.
func (o *observer) entriesOn(ctx context.Context, ref changeset.ObjectRef) (string, error) {
	var b strings.Builder
	for after := uint64(0); ; {
		entries, err := o.file.Entries(ctx, after, 1000)
		if err != nil || len(entries) == 0 {
			return b.String(), err
		}
		for _, e := range entries {
			after = e.Version
			for i := range e.Objects {
				if t := &e.Objects[i]; t.Ref == ref {
					fmt.Fprintf(&b, "version %d is client version %d of file %d, made on %v at %d; %v to %v; refreshed %v, refused %q%s\n",
						e.Version, e.ClientVersion, e.Origin, version(e.Base), e.Timestamp, t.Before != nil, t.After != nil, t.Refresh, t.Refused,
						instructionsOn(e.Changeset, ref))
				}
			}
		}
	}
}
