package session

import (
	"bufio"
	"fmt"
	"io"
	"os"
)

// spool keeps messages in a temporary file. The zero value is empty.
type spool struct {
	file  *os.File
	sizes []int // of the messages, in bytes
}

func (s *spool) isEmpty() bool { return len(s.sizes) == 0 }

// add appends a message.
func (s *spool) add(data []byte) error {
	if s.file == nil {
		f, err := os.CreateTemp("", "bridge-bootstrap-*")
		if err != nil {
			return fmt.Errorf("spool: %w", err)
		}
		s.file = f
		// Where an open file can be removed, none is left when the process is killed.
		_ = os.Remove(f.Name())
	}
	if _, err := s.file.Write(data); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	s.sizes = append(s.sizes, len(data))
	return nil
}

// each calls fn with the messages in order. What it is given is valid during the
// call. An error of fn ends it and is returned.
func (s *spool) each(fn func(data []byte) error) error {
	if s.isEmpty() {
		return nil
	}
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	r := bufio.NewReader(s.file)
	var data []byte
	for _, size := range s.sizes {
		if cap(data) < size {
			data = make([]byte, size)
		}
		data = data[:size]
		if _, err := io.ReadFull(r, data); err != nil {
			return fmt.Errorf("spool: %w", err)
		}
		if err := fn(data); err != nil {
			return err
		}
	}
	return nil
}

// close removes the file: the spool is empty then.
func (s *spool) close() {
	if s.file != nil {
		_ = s.file.Close()
		_ = os.Remove(s.file.Name())
	}
	*s = spool{}
}
