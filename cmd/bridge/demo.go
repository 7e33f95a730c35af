package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/config"
	"github.com/isthmus-sync/isthmus/device"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
)

const (
	demoClass    = "Item"
	demoPace     = 1500 * time.Millisecond // before each step, for people to follow
	demoPatience = 30 * time.Second        // for a step to reach everyone
	demoLook     = 2 * time.Millisecond    // between two looks at MongoDB
)

func newDemo() *cobra.Command {
	var mongoURI string
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show two devices and MongoDB agreeing",
		Long: "demo runs a server of its own, as dev does, and shows what it is for: two devices and\n" +
			"somebody who writes to MongoDB change the same objects, one device goes off line and\n" +
			"comes back, and all three hold the same in the end. It takes a few seconds, and leaves\n" +
			"nothing behind.",
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			return demo(c.Context(), cmp.Or(mongoURI, os.Getenv(mongoEnv)), c.OutOrStdout())
		},
	}
	c.Flags().StringVar(&mongoURI, "mongodb", "", "connection string of a replica set (default: a mongod of its own)")
	return c
}

// demo runs a server and the show beside it.
func demo(ctx context.Context, mongoURI string, out io.Writer) error {
	data, err := os.MkdirTemp("", "bridge-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the demo's data: %w", err)
	}
	defer os.RemoveAll(data)
	name := fmt.Sprintf("demo-%05x", rand.N(1<<20)) // the databases go by it
	flags := config.Flags{Listen: "127.0.0.1:0", AppID: name, Database: "isthmus_" + name, MongoDB: mongoURI}

	serving, stop := context.WithCancel(ctx)
	defer stop()
	ready, log := &readyLine{line: make(chan string, 1)}, &demoLog{}
	ended := make(chan error, 1)
	started := time.Now()
	fmt.Fprintln(out, "Starting a bridge and its MongoDB …")
	go func() { ended <- dev(serving, flags, data, ready, log) }()
	select {
	case line := <-ready.line:
		err = show(ctx, out, line, mongoURI, flags, time.Since(started))
	case err = <-ended:
		return cmp.Or(err, ctx.Err())
	}
	stop()
	if devErr := <-ended; err == nil {
		err = devErr
	}
	if err != nil && ctx.Err() == nil {
		fmt.Fprintf(out, "\nThe bridge's log:\n%s", log)
	}
	return err
}

// show plays the demonstration on a bridge that is ready.
func show(ctx context.Context, out io.Writer, ready, mongoURI string, flags config.Flags, took time.Duration) error {
	at := map[string]string{}
	for _, field := range strings.Fields(ready) {
		key, value, _ := strings.Cut(field, "=")
		at[key] = value
	}
	client, err := mongo.Connect(options.Client().ApplyURI(cmp.Or(mongoURI, at["mongodb"])))
	if err != nil {
		return fmt.Errorf("connect to MongoDB: %w", err)
	}
	defer func() { _ = client.Disconnect(context.WithoutCancel(ctx)) }()
	if mongoURI != "" {
		defer dropDemo(context.WithoutCancel(ctx), client, flags)
	}
	d := &demonstration{out: out, documents: client.Database(flags.Database).Collection(demoClass)}
	if isTerminal(out) {
		d.pace, d.colour = demoPace, os.Getenv("NO_COLOR") == ""
	}
	fmt.Fprintf(out, "The bridge is ready after %.1f s: %s, app %s, MongoDB %s\n\n", took.Seconds(), at["url"], flags.AppID, at["mongodb"])
	for _, device := range []struct {
		name string
		to   **demoDevice
	}{{"phone", &d.phone}, {"tablet", &d.tablet}} {
		opened, err := openDemoDevice(ctx, device.name, at["url"], flags.AppID)
		if err != nil {
			return fmt.Errorf("open the %s: %w", device.name, err)
		}
		defer opened.client.Close()
		*device.to = opened
	}
	return d.run(ctx)
}

// dropDemo removes what the demonstration left in somebody's MongoDB.
func dropDemo(ctx context.Context, client *mongo.Client, flags config.Flags) {
	ctx, cancel := context.WithTimeout(ctx, demoPatience)
	defer cancel()
	// What cannot be dropped stays; its names say where it is from.
	_ = client.Database(flags.Database).Drop(ctx)
	_ = client.Database("__bridge_" + flags.AppID).Drop(ctx)
}

// demoDevice is one of the two devices.
type demoDevice struct {
	name   string
	client *device.Client
	realm  *device.Realm
}

// openDemoDevice logs a new user in, opens a realm and subscribes to all items.
func openDemoDevice(ctx context.Context, name, url, app string) (*demoDevice, error) {
	user, err := device.NewApp(url, app).LoginAnonymous(ctx)
	if err != nil {
		return nil, err
	}
	d := &demoDevice{name: name, client: device.NewClient(device.Options{})}
	d.realm, err = d.client.Open(user, device.Config{Schema: demoSchema()})
	if err == nil {
		d.realm.Subscribe(map[string]string{demoClass: "TRUEPREDICATE"})
		err = d.realm.WaitSubscriptions(ctx)
	}
	if err != nil {
		d.client.Close()
		return nil, err
	}
	return d, nil
}

// demoSchema has one class: an item of a shopping list.
func demoSchema() *schema.Schema {
	return &schema.Schema{Classes: map[string]*schema.Class{demoClass: {
		Name: demoClass, KeyType: changeset.String,
		Properties: map[string]*schema.Property{
			"name":  {Name: "name", Type: changeset.String},
			"count": {Name: "count", Type: changeset.Int},
			"tags":  {Name: "tags", Type: changeset.String, Collection: changeset.ListOf},
			"done":  {Name: "done", Type: changeset.Bool},
		},
	}}}
}

func (d *demoDevice) write(fn func(*device.Tx) error) error {
	if _, err := d.realm.Write(fn); err != nil {
		return fmt.Errorf("write on the %s: %w", d.name, err)
	}
	return nil
}

// demoItem is an item, wherever it is.
type demoItem struct {
	ID    string   `bson:"_id"`
	Name  string   `bson:"name"`
	Count int64    `bson:"count"`
	Tags  []string `bson:"tags"`
	Done  bool     `bson:"done"`
}

func (i demoItem) String() string {
	text := fmt.Sprintf("%s ×%d", i.Name, i.Count)
	if len(i.Tags) > 0 {
		text += " [" + strings.Join(i.Tags, ", ") + "]"
	}
	if i.Done {
		text += " ✓"
	}
	return text
}

// items are what the device holds, as text by primary key.
func (d *demoDevice) items() map[string]string {
	out := map[string]string{}
	c := d.realm.Schema().Class(demoClass)
	for key, o := range d.realm.Objects(demoClass) {
		value := func(name string) changeset.Value {
			v, _ := o.Get(c.Properties[name]).(changeset.Value)
			return v
		}
		item := demoItem{ID: key.Str, Name: value("name").Str, Count: value("count").Num, Done: value("done").Bool()}
		if tags, ok := o.Get(c.Properties["tags"]).(*object.List); ok {
			for _, tag := range tags.Items {
				v, _ := tag.(changeset.Value)
				item.Tags = append(item.Tags, v.Str)
			}
		}
		out[key.Str] = item.String()
	}
	return out
}

// demonstration is the show: what is written, and what the three of them hold.
type demonstration struct {
	out           io.Writer
	colour        bool
	pace          time.Duration
	phone, tablet *demoDevice
	documents     *mongo.Collection
	steps         int
}

// demoStep is one thing that happens.
type demoStep struct {
	title string
	lines []string // what each of them does
	act   func(context.Context) error
	apart bool // they do not agree afterwards
}

func (d *demonstration) run(ctx context.Context) error {
	for _, step := range d.script() {
		if err := d.play(ctx, step); err != nil {
			return err
		}
	}
	const want = "bread: Rye bread ×3 ✓; eggs: Eggs ×12 [free range] ✓; jam: Jam ×1; " +
		"milk: Whole milk ×9 [lactose-free, dairy, cold, 2 l]; tea: Green tea ×1"
	if got := listing(d.phone.items()); got != want {
		return fmt.Errorf("they agree, but on the wrong thing:\n got %s\nwant %s", got, want)
	}
	d.say(bold, "All three hold the same: nothing was lost, nothing was written twice.")
	fmt.Fprintln(d.out, "See the milk: everybody's counts add up, everybody's tags are there, and MongoDB's new name stands.\n"+
		"For your own app: bridge dev")
	return nil
}

func (d *demonstration) script() []demoStep {
	at := func(key, field string, steps ...any) device.Place {
		return device.At(demoClass, changeset.StringKey(key), field, steps...)
	}
	create := func(tx *device.Tx, key, name string, count int, tags ...any) error {
		return tx.Create(demoClass, changeset.StringKey(key),
			map[string]any{"name": name, "count": count, "tags": device.List(tags)})
	}
	update := func(ctx context.Context, key string, change bson.M) error {
		_, err := d.documents.UpdateByID(ctx, key, change)
		return err
	}
	phone := func(fn func(*device.Tx) error) error { return d.phone.write(fn) }
	tablet := func(fn func(*device.Tx) error) error { return d.tablet.write(fn) }
	return []demoStep{
		{
			title: "The phone writes a shopping list",
			lines: []string{"phone    adds milk, bread and eggs"},
			act: func(context.Context) error {
				return phone(func(tx *device.Tx) error {
					return errors.Join(create(tx, "milk", "Milk", 2, "dairy"), create(tx, "bread", "Bread", 1), create(tx, "eggs", "Eggs", 12))
				})
			},
		},
		{
			title: "Another program writes to MongoDB",
			lines: []string{`MongoDB  updateOne({_id: "milk"}, {$inc: {count: 1}, $push: {tags: "cold"}})`,
				`MongoDB  insertOne({_id: "tea", name: "Tea", count: 1, …})`},
			act: func(ctx context.Context) error {
				_, err := d.documents.InsertOne(ctx, demoItem{ID: "tea", Name: "Tea", Count: 1, Tags: []string{}})
				return errors.Join(err, update(ctx, "milk", bson.M{"$inc": bson.M{"count": int64(1)}, "$push": bson.M{"tags": "cold"}}))
			},
		},
		{
			title: "Both devices change the same objects at the same moment",
			lines: []string{`phone    bread: name = "Rye bread"; eggs: add the tag "free range"`, "tablet   bread: count += 2; eggs: done"},
			act: func(context.Context) error {
				return errors.Join(
					phone(func(tx *device.Tx) error {
						return errors.Join(tx.Set(at("bread", "name"), "Rye bread"), tx.Append(at("eggs", "tags"), "free range"))
					}),
					tablet(func(tx *device.Tx) error {
						return errors.Join(tx.Add(at("bread", "count"), 2), tx.Set(at("eggs", "done"), true))
					}))
			},
		},
		{
			title: "The tablet is in a tunnel, and everybody goes on writing",
			lines: []string{
				`tablet   milk: count += 5, first tag "lactose-free"; tea: name = "Green tea"; adds jam`,
				`phone    milk: count += 1, last tag "2 l"`,
				`MongoDB  milk: {$set: {name: "Whole milk"}}; bread: {$set: {done: true}}`,
			},
			act: func(ctx context.Context) error {
				d.tablet.client.GoOffline()
				return errors.Join(
					tablet(func(tx *device.Tx) error {
						return errors.Join(tx.Add(at("milk", "count"), 5), tx.Insert(at("milk", "tags", 0), "lactose-free"),
							tx.Set(at("tea", "name"), "Green tea"), create(tx, "jam", "Jam", 1))
					}),
					phone(func(tx *device.Tx) error {
						return errors.Join(tx.Add(at("milk", "count"), 1), tx.Append(at("milk", "tags"), "2 l"))
					}),
					update(ctx, "milk", bson.M{"$set": bson.M{"name": "Whole milk"}}),
					update(ctx, "bread", bson.M{"$set": bson.M{"done": true}}))
			},
			apart: true,
		},
		{
			title: "The tablet comes out of the tunnel",
			lines: []string{"tablet   connects again, uploads what it wrote, gets what it missed; all of it is merged"},
			act: func(context.Context) error {
				d.tablet.client.GoOnline()
				return nil
			},
		},
	}
}

// play does a step, waits until it has reached everyone it can reach, and shows
// what each of them holds.
func (d *demonstration) play(ctx context.Context, step demoStep) error {
	select {
	case <-time.After(d.pace):
	case <-ctx.Done():
		return ctx.Err()
	}
	d.steps++
	d.say(bold, "%d. %s", d.steps, step.title)
	for _, line := range step.lines {
		fmt.Fprintln(d.out, "   "+line)
	}
	ctx, cancel := context.WithTimeout(ctx, demoPatience)
	defer cancel()
	started := time.Now()
	if err := step.act(ctx); err != nil {
		return err
	}
	views, err := d.await(ctx, step.apart)
	if err != nil {
		return fmt.Errorf("step %d: %w", d.steps, err)
	}
	took := time.Since(started).Round(time.Millisecond)
	if step.apart {
		d.say(yellow, "   phone and MongoDB agree after %v; the tablet knows nothing of it", took)
	} else {
		d.say(green, "   all three agree after %v", took)
	}
	d.table(views)
	return nil
}

// demoView is what one of the three holds.
type demoView struct {
	name  string
	items map[string]string
}

// await waits until all hold the same, or all but the tablet.
func (d *demonstration) await(ctx context.Context, apart bool) ([]demoView, error) {
	for {
		mongoItems, err := d.mongoItems(ctx)
		if err != nil {
			return nil, err
		}
		views := []demoView{{"phone", d.phone.items()}, {"tablet", d.tablet.items()}, {"MongoDB", mongoItems}}
		agreed := maps.Equal(views[0].items, mongoItems) && (apart || maps.Equal(views[1].items, mongoItems))
		if agreed && !d.phone.realm.Unacknowledged(d.phone.realm.Version()) {
			return views, nil
		}
		if err := errors.Join(d.phone.realm.Failure(), d.tablet.realm.Failure()); err != nil {
			return nil, err
		}
		select {
		case <-time.After(demoLook):
		case <-ctx.Done():
			d.table(views)
			return nil, fmt.Errorf("they do not agree: %w", ctx.Err())
		}
	}
}

func (d *demonstration) mongoItems(ctx context.Context) (map[string]string, error) {
	cursor, err := d.documents.Find(ctx, bson.M{})
	if err != nil {
		return nil, fmt.Errorf("read the documents: %w", err)
	}
	var items []demoItem
	if err := cursor.All(ctx, &items); err != nil {
		return nil, fmt.Errorf("read the documents: %w", err)
	}
	out := make(map[string]string, len(items))
	for _, item := range items {
		out[item.ID] = item.String()
	}
	return out, nil
}

// table shows the views side by side. What not all agree on is marked.
func (d *demonstration) table(views []demoView) {
	keys := map[string]bool{}
	widths := make([]int, len(views))
	for i, v := range views {
		widths[i] = utf8.RuneCountInString(v.name)
		for key, text := range v.items {
			keys[key] = true
			widths[i] = max(widths[i], utf8.RuneCountInString(text))
		}
	}
	row := func(key, mark string, style style, cells []string) {
		var line strings.Builder
		fmt.Fprintf(&line, "   %s %-6s", mark, key)
		for i, cell := range cells {
			line.WriteString(" │ " + cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)))
		}
		d.say(style, "%s", strings.TrimRight(line.String(), " "))
	}
	names := make([]string, len(views))
	for i, v := range views {
		names[i] = v.name
	}
	row("", " ", bold, names)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		cells := make([]string, len(views))
		for i, v := range views {
			cells[i] = v.items[key]
		}
		mark, style := " ", plain
		if slices.ContainsFunc(cells, func(cell string) bool { return cell != cells[0] }) {
			mark, style = "≠", yellow
		}
		row(key, mark, style, cells)
	}
	fmt.Fprintln(d.out)
}

// listing is a view on one line.
func listing(items map[string]string) string {
	var out []string
	for _, key := range slices.Sorted(maps.Keys(items)) {
		out = append(out, key+": "+items[key])
	}
	return strings.Join(out, "; ")
}

// style is how a line looks on a terminal that shows colours.
type style string

const (
	plain  style = ""
	bold   style = "\x1b[1m"
	green  style = "\x1b[32m"
	yellow style = "\x1b[33m"
)

func (d *demonstration) say(s style, format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if d.colour && s != plain {
		line = string(s) + line + "\x1b[0m"
	}
	fmt.Fprintln(d.out, line)
}

// readyLine is where dev writes its line.
type readyLine struct{ line chan string }

func (r *readyLine) Write(p []byte) (int, error) {
	if bytes.HasPrefix(p, []byte("ready ")) {
		select {
		case r.line <- strings.TrimSpace(string(p)):
		default:
		}
	}
	return len(p), nil
}

// demoLog keeps the bridge's log until somebody wants to see it.
type demoLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *demoLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *demoLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
