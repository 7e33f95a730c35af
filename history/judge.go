package history

import (
	"fmt"
)

// judge decides whether an upload's part on one object stands. It returns the
// reason for people when it doesn't, and "" when it does. This is the one place
// where uploads are judged.
func (w *work) judge(u *uploadJob, s *seen, o *objectWork, p *part) string {
	refuse := func(reason string) string {
		return fmt.Sprintf("write to %s in table %q not allowed; %s", keyText(p.ref.Key), p.ref.Class, reason)
	}
	if o.frozen != nil {
		return refuse("its document can't be synced: " + o.frozen.Reason)
	}
	if o.now == nil && o.doc != nil && o.state.object == nil {
		return refuse("a document with this key exists and is not synced yet")
	}
	if reason := w.batch.refused[p.ref]; reason != "" {
		return refuse(reason)
	}
	inView := contains(u.View, p.ref, o.now) || u.Next != nil && contains(u.Next, p.ref, o.now)
	if o.now != nil && !inView && !s.of(p.ref).held {
		return refuse("object is outside of the current query view")
	}
	return ""
}
