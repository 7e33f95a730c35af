package protocol

import (
	"bytes"
	"strconv"
	"testing"
)

func benchmarkMessages(entries, size int) (*Upload, *Download) {
	up := &Upload{Session: 1, ProgressClient: int64(entries) + 1}
	down := &Download{Session: 1, Progress: Progress{LatestSalt: 1}, Batch: SteadyState, Estimate: 1}
	for i := range entries {
		c := bytes.Repeat([]byte("changeset "+strconv.Itoa(i)), size/10)[:size]
		up.Entries = append(up.Entries, UploadEntry{ClientVersion: int64(i + 1), Timestamp: 300000001000, Changeset: c})
		down.Entries = append(down.Entries, DownloadEntry{ServerVersion: int64(i+1) * 1024, Timestamp: 300000001000, Origin: 2, Changeset: c})
	}
	return up, down
}

var benchmarkSizes = []struct {
	name          string
	entries, size int
}{
	{"1x100B", 1, 100},
	{"100x100B", 100, 100},
	{"1x1MB", 1, 1 << 20},
}

func BenchmarkParseUpload(b *testing.B) {
	for _, s := range benchmarkSizes {
		b.Run(s.name, func(b *testing.B) {
			up, _ := benchmarkMessages(s.entries, s.size)
			data, err := flexible.Append(nil, up)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(s.entries * s.size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := flexible.ParseClient(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkFormatDownload(b *testing.B) {
	for _, s := range benchmarkSizes {
		b.Run(s.name, func(b *testing.B) {
			_, down := benchmarkMessages(s.entries, s.size)
			b.SetBytes(int64(s.entries * s.size))
			b.ReportAllocs()
			var buf []byte
			for b.Loop() {
				var err error
				if buf, err = flexible.Append(buf[:0], down); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
