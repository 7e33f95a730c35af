package main

/*
#include <stdlib.h>
#include "capi.h"
*/
import "C"

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"time"
	"unsafe"
)

// httpClient carries the HTTP requests that the library hands out.
var httpClient = &http.Client{
	// The library follows redirects itself.
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

//export goHTTP
func goHTTP(r *C.rc_http_request, ctx unsafe.Pointer) {
	method := [...]string{"GET", "POST", "PATCH", "PUT", "DELETE"}[r.method]
	url := C.GoString(r.url)
	body := C.GoBytes(unsafe.Pointer(r.body), C.int(r.body_size))
	header := http.Header{}
	for _, h := range unsafe.Slice(r.headers, r.n_headers) {
		header.Add(C.GoString(h.name), C.GoString(h.value))
	}
	timeout := time.Duration(r.timeout_ms) * time.Millisecond
	go func() {
		status, custom, rh, rb := doHTTP(method, url, header, body, timeout)
		complete(ctx, status, custom, rh, rb)
	}()
}

// Custom status codes of a request that got no answer; any but zero means a
// failure of the transport to the library.
const (
	noAnswer   = 1000
	badRequest = 1001
)

func doHTTP(method, url string, header http.Header, body []byte, timeout time.Duration) (int, int, http.Header, []byte) {
	ctx := context.Background()
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, badRequest, nil, []byte(err.Error())
	}
	req.Header = header
	resp, err := httpClient.Do(req)
	if err != nil {
		return 0, noAnswer, nil, []byte(err.Error())
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, noAnswer, nil, []byte(err.Error())
	}
	return resp.StatusCode, 0, resp.Header, b
}

// complete gives the library the answer to its request ctx.
func complete(ctx unsafe.Pointer, status, custom int, h http.Header, body []byte) {
	var a arena
	defer a.free()
	n := 0
	for _, v := range h {
		n += len(v)
	}
	hs := (*C.rc_header)(C.calloc(C.size_t(n+1), C.size_t(unsafe.Sizeof(C.rc_header{}))))
	defer C.free(unsafe.Pointer(hs))
	arr := unsafe.Slice(hs, n+1)
	i := 0
	for k, vs := range h {
		for _, v := range vs {
			arr[i].name, arr[i].value = a.str(k), a.str(v)
			i++
		}
	}
	resp := (*C.rc_http_response)(C.calloc(1, C.size_t(unsafe.Sizeof(C.rc_http_response{}))))
	defer C.free(unsafe.Pointer(resp))
	resp.status, resp.custom_status = C.int32_t(status), C.int32_t(custom)
	resp.headers, resp.n_headers = hs, C.size_t(n)
	resp.body, resp.body_size = (*C.char)(a.bytes(body)), C.size_t(len(body))
	C.rc_http_transport_complete_request(ctx, resp)
}
