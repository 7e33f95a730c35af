package mongod

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"strings"
)

func (s *Server) logSize() int64 {
	info, err := os.Stat(s.LogPath())
	if err != nil {
		return 0
	}
	return info.Size()
}

// complaint is what the log says after offset of the reason for an early end:
// the texts of the errors, or its last line.
func (s *Server) complaint(offset int64) string {
	f, err := os.Open(s.LogPath())
	if err != nil {
		return "no log"
	}
	defer f.Close()
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return "no log"
	}
	var errs []string
	last := "it logged nothing"
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		last = lines.Text()
		var entry struct {
			Severity string          `json:"s"`
			Message  string          `json:"msg"`
			Attr     json.RawMessage `json:"attr"`
		}
		if json.Unmarshal(lines.Bytes(), &entry) == nil && (entry.Severity == "E" || entry.Severity == "F") {
			errs = append(errs, entry.Message+" "+string(entry.Attr))
		}
	}
	if len(errs) == 0 {
		return last
	}
	return strings.Join(errs, "; ")
}
