package session

import (
	"fmt"

	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/protocol"
)

// mark is a MARK that was not answered yet.
type mark struct {
	request int64
	head    uint64 // the head when it came
	query   int64  // the newest query version received before it
}

func (s *session) takeMark(m *protocol.Mark) error {
	if m.Request <= s.newestMark {
		return &connectionError{protocol.BadMessageOrder, fmt.Sprintf("mark %d after mark %d", m.Request, s.newestMark)}
	}
	s.newestMark = m.Request
	// What other nodes have committed counts, too.
	if err := s.file.Refresh(s.ctx); err != nil {
		return err
	}
	head, _ := s.file.Head()
	s.marks = append(s.marks, mark{m.Request, head, s.newestQuery})
	return nil
}

// answerMarks answers the newest MARK for which all is sent: the history up to
// the head at its time, and the bootstraps of the queries before it. Answering
// it answers those before it.
func (s *session) answerMarks() error {
	n := 0
	for n < len(s.marks) && s.marks[n].head <= s.cursor/history.Stride && s.marks[n].query <= s.resolved && s.floor <= s.cursor {
		n++
	}
	if n == 0 {
		return nil
	}
	if s.sent.downloads == 0 || s.sent.cursor < s.cursor {
		if err := s.flush(); err != nil {
			return err
		}
	}
	request := s.marks[n-1].request
	s.marks = s.marks[n:]
	return s.send(&protocol.Mark{Session: s.ident, Request: request})
}
