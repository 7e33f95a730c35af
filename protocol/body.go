package protocol

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zlib"
)

// compressAbove is the size in bytes up to which a body is not worth compressing.
const compressAbove = 1024

// maxRatio is more than what zlib can make of one byte.
const maxRatio = 1040

// zlibFirstByte announces deflate with a window of 32 KiB. Apple's builds of
// the client accept no other.
const zlibFirstByte = 0x78

// Compression costs the writer's latency for each message, so it is the fast one.
var zlibWriters = sync.Pool{New: func() any {
	w, err := zlib.NewWriterLevel(nil, zlib.BestSpeed)
	if err != nil {
		panic("protocol: " + err.Error())
	}
	return w
}}

var zlibReaders sync.Pool

// compressedBody reads the three fields that describe a body which may be
// compressed. What it returns takes the body and inflates it, and is to be
// called after the rest of the header has been read.
func (h *header) compressedBody() func() []byte {
	compressed := h.bool("is compressed")
	plainSize := h.size("uncompressed size")
	wireSize := h.size("compressed size")
	return func() []byte {
		if h.err != nil {
			return nil
		}
		if plainSize > h.codec.maxBody() {
			h.fail(BadSyntax, "uncompressed size", fmt.Sprintf("%d bytes are more than the limit of %d", plainSize, h.codec.maxBody()))
			return nil
		}
		if !compressed {
			return h.take("body", plainSize)
		}
		stream := h.take("compressed body", wireSize)
		if h.err != nil {
			return nil
		}
		body, err := inflate(stream, plainSize)
		if err != nil {
			h.fail(BadDecompression, "compressed body", err.Error())
		}
		return body
	}
}

// inflate inflates exactly size bytes from exactly one zlib stream.
func inflate(stream []byte, size int) ([]byte, error) {
	if len(stream) == 0 || stream[0] != zlibFirstByte {
		return nil, fmt.Errorf("not a zlib stream with a window of 32 KiB")
	}
	if size/maxRatio > len(stream) {
		return nil, fmt.Errorf("%d bytes cannot inflate to %d", len(stream), size)
	}
	in := bytes.NewReader(stream)
	r, err := zlibReader(in)
	if err != nil {
		return nil, fmt.Errorf("read zlib header: %w", err)
	}
	defer zlibReaders.Put(r)
	out := bytes.NewBuffer(make([]byte, 0, min(size, 4*len(stream)+bytes.MinRead)))
	n, err := io.Copy(out, io.LimitReader(r, int64(size)+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("inflate: %w", err)
	case n > int64(size):
		return nil, fmt.Errorf("inflates to more than the %d bytes announced", size)
	case n < int64(size):
		return nil, fmt.Errorf("inflates to %d bytes, announced were %d", n, size)
	case in.Len() > 0:
		return nil, fmt.Errorf("%d bytes follow the zlib stream", in.Len())
	}
	return out.Bytes(), nil
}

func zlibReader(in *bytes.Reader) (io.Reader, error) {
	if r, ok := zlibReaders.Get().(io.Reader); ok {
		return r, r.(zlib.Resetter).Reset(in, nil)
	}
	return zlib.NewReader(in)
}

// deflate returns the body as a zlib stream, or nil if that is not smaller.
func deflate(body []byte) []byte {
	out := bytes.NewBuffer(make([]byte, 0, len(body)))
	w := zlibWriters.Get().(*zlib.Writer)
	defer zlibWriters.Put(w)
	w.Reset(out)
	// Writing into a buffer does not fail.
	_, _ = w.Write(body)
	_ = w.Close()
	if out.Len() >= len(body) {
		return nil
	}
	return out.Bytes()
}

// encodedBody is a body with the three header fields that describe it.
type encodedBody struct {
	plainSize  int
	compressed []byte // nil if the body goes as it is
	plain      []byte
}

func encodeBody(plain []byte) encodedBody {
	b := encodedBody{plainSize: len(plain), plain: plain}
	if len(plain) > compressAbove {
		b.compressed = deflate(plain)
	}
	return b
}

func (w *writer) bodyFields(b encodedBody) {
	w.bool(b.compressed != nil)
	w.size(b.plainSize)
	w.size(len(b.compressed))
}

func (w *writer) bodyBytes(b encodedBody) {
	if b.compressed != nil {
		w.dst = append(w.dst, b.compressed...)
	} else {
		w.dst = append(w.dst, b.plain...)
	}
}

// entryReader reads the entries of a body: numbers, each followed by a space,
// then as many bytes as the last number says.
type entryReader struct {
	h    *header
	body []byte
}

func (r *entryReader) more() bool { return r.h.err == nil && len(r.body) > 0 }

func (r *entryReader) number(field string) int64 {
	const longest = 20 // digits of 2^63, and a space
	end := bytes.IndexByte(r.body[:min(len(r.body), longest)], ' ')
	if r.h.err != nil {
		return 0
	}
	if end < 0 {
		r.h.fail(BadChangesetHeaderSyntax, field, "missing, or no space after it")
		return 0
	}
	n, ok := parseDigits(r.body[:end])
	if !ok {
		r.h.fail(BadChangesetHeaderSyntax, field, "not a number of 0 to 2^63-1")
		return 0
	}
	r.body = r.body[end+1:]
	return n
}

func (r *entryReader) changeset(size int64) []byte {
	if r.h.err != nil {
		return nil
	}
	if size > int64(len(r.body)) {
		r.h.fail(BadChangesetSize, "changeset size", fmt.Sprintf("%d bytes, but %d are left of the body", size, len(r.body)))
		return nil
	}
	taken := r.body[:size:size]
	r.body = r.body[size:]
	return taken
}
