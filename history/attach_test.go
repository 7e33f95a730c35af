package history_test

import (
	"sync"
	"testing"

	"github.com/isthmus-sync/isthmus/history"
)

func TestAllocate(t *testing.T) {
	b := newBed(t)
	nodes := []*bed{b, b.node()}
	var mu sync.Mutex
	seen := map[uint64]bool{}
	salts := map[uint64]bool{}
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			id, err := nodes[i%2].file.Allocate(b.ctx, "user")
			mu.Lock()
			defer mu.Unlock()
			if err != nil || seen[id.Ident] || salts[id.Salt] || id.Ident < 2 || id.Salt == 0 || id.Salt >= 1<<63 {
				t.Errorf("allocated %+v, %v", id, err)
			}
			seen[id.Ident], salts[id.Salt] = true, true
		})
	}
	wg.Wait()
	for i := range uint64(40) {
		if !seen[i+2] {
			t.Errorf("ident %d was skipped", i+2)
		}
	}
}

// The checks of IDENT, in the specified order.
func TestAttachChecks(t *testing.T) {
	b := newBed(t)
	d := b.device()
	d.mustSend(ops(dogSchema))
	d.catchUp()
	d.mustSend(ops(`[{"op":"CreateObject","class":"Dog","pk":1}]`))
	head, salt := b.file.Head()
	ok := history.Cursors{Ident: d.ident, Download: head * history.Stride, DownloadClient: 3, Latest: head * history.Stride, LatestSalt: salt}
	for _, test := range []struct {
		name   string
		user   string
		change func(c *history.Cursors)
		code   int
	}{
		{"all is well", "user", func(*history.Cursors) {}, 0},
		{"private part of a stride", "user", func(c *history.Cursors) { c.Download += 3; c.Latest += 3 }, 0},
		{"bundled: no client version", "user", func(c *history.Cursors) { c.DownloadClient = 0 }, 0},
		{"unknown ident", "user", func(c *history.Cursors) { c.Ident.Ident = 99 }, 208},
		{"the server's ident", "user", func(c *history.Cursors) { c.Ident.Ident = 1 }, 208},
		{"ident above 2^63", "user", func(c *history.Cursors) { c.Ident.Ident = 1 << 63 }, 208},
		{"wrong salt", "user", func(c *history.Cursors) { c.Salt++ }, 211},
		{"below the upload cursor", "user", func(c *history.Cursors) { c.Download = 0 }, 209},
		{"above the head", "user", func(c *history.Cursors) { c.Download += history.Stride; c.Latest = c.Download }, 209},
		{"client version from nowhere", "user", func(c *history.Cursors) { c.DownloadClient = 4 }, 210},
		{"latest below download", "user", func(c *history.Cursors) { c.Latest -= history.Stride }, 209},
		{"latest above the head", "user", func(c *history.Cursors) { c.Latest += history.Stride }, 209},
		{"another history's salt", "user", func(c *history.Cursors) { c.LatestSalt++ }, 211},
		{"another user", "other", func(*history.Cursors) {}, 223},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := ok
			test.change(&c)
			_, err := b.file.Attach(b.ctx, test.user, c)
			if test.code == 0 && err != nil || test.code != 0 && rejection(err) != test.code {
				t.Errorf("got %v, want code %d", err, test.code)
			}
		})
	}
}

// Private numbers rise, survive a restart, and never fall to one that the client
// may have from elsewhere.
func TestPrivateVersions(t *testing.T) {
	b := newBed(t)
	d := b.device()
	next := func(version uint64) uint64 {
		t.Helper()
		w, err := d.client.Private(b.ctx, version, &history.ViewSwitch{Query: `{"Dog":"(TRUEPREDICATE)"}`, Messages: true})
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	if got := []uint64{next(0), next(0), next(0)}; got[0] != 1 || got[1] != 2 || got[2] != 3 {
		t.Errorf("private versions after version 0: %v", got)
	}
	if !d.client.Unfinished(2) || d.client.Unfinished(3) {
		t.Error("a bootstrap of several messages is unfinished until the cursor reaches it")
	}
	_, salt := b.file.Head()
	d.b = b.node()
	d.attach(history.Cursors{Ident: d.ident, Download: 7, Latest: 7, LatestSalt: salt})
	if got := next(0); got != 8 {
		t.Errorf("after a restart, at cursor 7: %d, want 8", got)
	}
	d.mustSend(ops(dogSchema))
	if got := next(1); got != history.Stride+1 {
		t.Errorf("after version 1: %d", got)
	}

	// A client file that has used up the numbers of a version gets a new version.
	full := b.device()
	full.attach(history.Cursors{Ident: full.ident, Download: history.Stride - 1, Latest: history.Stride - 1, LatestSalt: salt})
	before, _ := b.file.Head()
	if _, err := full.client.Private(b.ctx, 0, nil); err == nil {
		t.Error("a number of the next version was handed out")
	}
	if after, _ := b.file.Head(); after != before+1 {
		t.Errorf("head moved from %d to %d", before, after)
	}
}
