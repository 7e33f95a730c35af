package history

import "sort"

// entryCache holds the newest entries of a history.
type entryCache struct {
	after uint64 // entries above this version are here
	list  []*Entry
	bytes int
	limit int

	touches touches       // of the first of list: who looks at them brings them up first
	older   *olderTouches // of what is not in list any more; nil if nobody has asked
}

func newEntryCache(limit int) entryCache { return entryCache{limit: limit, touches: newTouches()} }

// reachesBackTo reports whether all entries above a version are here.
func (c *entryCache) reachesBackTo(after uint64) bool { return after >= c.after }

func (c *entryCache) append(entries []*Entry) {
	for _, e := range entries {
		c.list = append(c.list, e)
		c.bytes += e.size()
	}
	for c.bytes > c.limit && len(c.list) > 0 {
		e := c.list[0]
		c.bytes -= e.size()
		c.after = e.Version
		c.touches.dropOldest(e)
		if c.older != nil && !c.older.addEntry(e) {
			c.older = nil
		}
		c.list[0] = nil // so that it can be collected
		c.list = c.list[1:]
	}
}

// entries returns at most limit entries above a version, false if the cache
// doesn't reach back to it.
func (c *entryCache) entries(after uint64, limit int) ([]*Entry, bool) {
	if !c.reachesBackTo(after) {
		return nil, false
	}
	i := sort.Search(len(c.list), func(i int) bool { return c.list[i].Version > after })
	rest := c.list[i:]
	if len(rest) > limit {
		rest = rest[:limit]
	}
	return append([]*Entry(nil), rest...), true
}
