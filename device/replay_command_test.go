package device

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/isthmus-sync/isthmus/protocol"
)

// command does what the app did.
func (r *replay) command(i int, c *recordedCommand) {
	r.t.Helper()
	d := r.devices[c.Client]
	if c.Op == "app" {
		r.app(c)
		return
	}
	if c.Realm == "" {
		c.Realm = "main"
	}
	realm := d.realm(c)
	check := func(err error) {
		r.t.Helper()
		if err != nil {
			r.t.Fatalf("event %d, %s: %v", i, c.Op, err)
		}
	}
	switch c.Op {
	case "login_anonymous":
		user, err := r.server.app().LoginAnonymous(context.Background())
		check(err)
		d.user = user
		r.users[user.ID] = d
	case "current_user":
	case "open_flx", "open_pbs":
		s, order := recordedSchema(r.t, c.Schema)
		cfg := Config{Schema: s, Order: order, Partition: c.Partition, DiscardOnReset: c.Resync == "discard_local"}
		for _, known := range d.realms {
			if realm == nil && !known.flexible && known.partition == c.Partition {
				realm = known // its file, under another name
			}
		}
		if realm == nil {
			r.open(i, d, c.Realm, cfg)
			return
		}
		reopened, err := d.client.OpenFile(d.user, realm.File, cfg.DiscardOnReset)
		check(err)
		d.realms[c.Realm] = reopened
		_, err = reopened.UpdateSchema(s, order)
		check(err)
	case "subscribe", "unsubscribe":
		d.sets++
		realm.Subscribe(d.queries[int64(d.sets)])
	case "write":
		want := r.writtenVersion(i, realm)
		write := func(force bool) bool {
			if want > realm.Version()+1 && !force {
				return false // the real client wrote after it had taken another message
			}
			check(r.write(i, realm, c.Ops))
			return true
		}
		if len(d.late) > 0 || !write(false) {
			d.late = append(d.late, write)
		}
	case "wait_download":
		// Connected, it shows in the MARK that the real client sends: wantMark.
		if s := realm.session; s != nil && !s.conn.connectedNow() {
			go func() { _ = realm.WaitDownload(d.client.ctx) }()
			eventually(r.t, func() bool {
				s.conn.mu.Lock()
				defer s.conn.mu.Unlock()
				return s.markTarget > 0
			})
		}
	case "pause":
		realm.Pause()
	case "resume":
		check(realm.Resume())
	case "close":
		realm.Pause()
	case "exit":
		d.client.Close()
		for _, s := range r.sockets {
			s.dead = s.dead || s.device == d
		}
	}
}

// write does an app's operations.
func (r *replay) write(i int, realm *Realm, ops []recordedOp) error {
	for _, op := range ops {
		if op.Op == "remove_all" || op.Op == "delete_query" || op.Op == "delete_all" {
			// Which objects these delete, in which order, only the recording says.
			return r.writeRecorded(i, realm)
		}
	}
	_, err := realm.Write(func(tx *Tx) error {
		for i := range ops {
			if err := ops[i].do(tx); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

// wantMark makes an app wait for a download when the real client sent a MARK
// that nothing else asks for.
func (r *replay) wantMark(s *replayedSocket, m *protocol.Mark) {
	for _, realm := range s.device.realms {
		realm.mu.Lock()
		ours := realm.session
		realm.mu.Unlock()
		if ours == nil || ours.ident != m.Session {
			continue
		}
		r.settle()
		ours.conn.mu.Lock()
		asked := ours.markTarget >= m.Request
		ours.conn.mu.Unlock()
		if !asked {
			// The recording may end before the answer.
			go func() { _ = realm.WaitDownload(s.device.client.ctx) }()
		}
	}
}

// app starts a device's process. One that starts again has its files.
func (r *replay) app(c *recordedCommand) {
	d := r.devices[c.Client]
	if d == nil {
		d = &replayedDevice{name: c.Client, realms: map[string]*Realm{}, queries: r.queries(c.Client)}
		r.devices[c.Client] = d
	}
	d.client = NewClient(Options{
		Multiplex: c.Multiplex == nil || *c.Multiplex,
		Second:    10 * time.Millisecond,
		Clock:     func() time.Time { return r.start.Add(time.Duration(r.now.Load()) * time.Millisecond) },
		Trace: func(sent bool, _ protocol.Message) {
			if !sent {
				d.received.Add(1)
			}
		},
	})
	r.t.Cleanup(d.client.Close)
}

// open opens a new realm. The version that its schema gets depends on how far
// the session has got by then, which differed between runs of the real client:
// the recording says.
func (r *replay) open(i int, d *replayedDevice, name string, cfg Config) {
	r.t.Helper()
	want := r.schemaVersion(i)
	file, err := NewFile(Config{Partition: cfg.Partition}, d.client.opts)
	if err != nil {
		r.t.Fatal(err)
	}
	add := func(bool) bool {
		if file.Version()+1 != want {
			return false
		}
		if _, err := file.UpdateSchema(cfg.Schema, cfg.Order); err != nil {
			r.t.Fatal(err)
		}
		return true
	}
	internal := int64(0)
	if file.flexible && want == firstFlexibleVersion {
		internal = 1 // one of the client's own commits came after the schema
		file.history = newHistory(firstFlexibleVersion - internal)
	}
	if !add(false) {
		d.late = append(d.late, add)
	}
	for range internal {
		file.history.commit()
	}
	realm, err := d.client.OpenFile(d.user, file, cfg.DiscardOnReset)
	if err != nil {
		r.t.Fatal(err)
	}
	d.realms[name] = realm
}

// schemaVersion finds the version of the first changeset of the session that
// is bound next.
func (r *replay) schemaVersion(i int) int64 {
	conn, session := 0, ""
	for _, e := range r.events[i:] {
		head := strings.Fields(e.Head)
		if e.Dir != "C->S" || len(head) == 0 {
			continue
		}
		switch {
		case head[0] == "bind" && session == "":
			conn, session = e.Conn, head[1]
		case head[0] == "upload" && e.Conn == conn && head[1] == session && e.Hex != nil && *e.Hex != "":
			m, err := protocol.Codec{Version: protocol.MaxVersion, Flexible: true}.ParseClient([]byte(e.message(r.t)))
			if err != nil {
				r.t.Fatal(err)
			}
			return m.(*protocol.Upload).Entries[0].ClientVersion
		}
	}
	return firstFlexibleVersion + 1
}

// lateWork does what the apps did later than the recording says.
func (r *replay) lateWork() {
	for _, d := range r.devices {
		if len(d.late) == 0 {
			continue
		}
		r.settle()
		for len(d.late) > 0 && d.late[0](false) {
			d.late = d.late[1:]
		}
	}
}

// queries finds the subscription sets of a device in its QUERYs, as the real
// client printed them.
func (r *replay) queries(client string) map[int64]map[string]string {
	out := map[int64]map[string]string{}
	users := map[string]string{} // by token's user
	conns := map[int]string{}
	var last, user string
	for _, e := range r.events {
		switch {
		case e.Command != nil:
			last = e.Command.Client
		case e.Kind == "http" && strings.Contains(e.Body, "access_token") && strings.Contains(e.Body, "user_id"):
			var login struct {
				User string `json:"user_id"`
			}
			if json.Unmarshal([]byte(e.Body), &login) == nil {
				users[login.User] = last
			}
		case e.Upgrade:
			_, access, _ := strings.Cut(e.URL, "baas_at=")
			user = tokenUser(access)
		case e.Kind == "ws_open":
			conns[e.Conn] = users[user]
		case e.Kind == "ws" && strings.HasPrefix(e.Head, "query ") && conns[e.Conn] == client:
			var session, version int64
			if _, err := fmt.Sscanf(e.Head, "query %d %d", &session, &version); err != nil {
				r.t.Fatal(err)
			}
			set := map[string]string{}
			if err := json.Unmarshal([]byte(e.Body), &set); err != nil {
				r.t.Fatal(err)
			}
			for class, rql := range set {
				set[class] = strings.TrimSuffix(strings.TrimPrefix(rql, "("), ")")
			}
			out[version] = set
		}
	}
	return out
}

// writeRecorded writes the changeset that the real client uploaded next.
func (r *replay) writeRecorded(i int, realm *Realm) error {
	for _, e := range r.events[i:] {
		if e.Dir != "C->S" || !strings.HasPrefix(e.Head, "upload ") || e.Hex == nil || *e.Hex == "" {
			continue
		}
		m, err := protocol.Codec{Version: 14, Flexible: realm.flexible}.ParseClient([]byte(e.message(r.t)))
		if err != nil {
			return err
		}
		cs := decoded(r.t, hex.EncodeToString(m.(*protocol.Upload).Entries[0].Changeset))
		_, err = realm.Write(func(tx *Tx) error { return tx.Instruct(cs...) })
		return err
	}
	return fmt.Errorf("no upload follows")
}
