package demo

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"strconv"
	"strings"
	"time"
)

// visitsKey is where the counter is kept: also `redis-cli get visits`.
const visitsKey = "visits"

func webMain(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("web", flag.ContinueOnError)
	addr := fs.String("listen", "127.0.0.1:8080", "`address` to listen on")
	kv := fs.String("kv", "127.0.0.1:6380", "`address` of the key-value server")
	if err := parse(fs, args, stderr, 0); err != nil {
		return err
	}
	ln, err := listen(ctx, "web", *addr, stdout)
	if err != nil {
		return err
	}
	w := &web{ctx: ctx, kv: *kv, started: time.Now()}
	return newHTTP(w.handle).serve(ctx, ln)
}

// web answers requests. ctx ends its calls to the back end.
type web struct {
	ctx     context.Context
	kv      string
	started time.Time
}

func (w *web) handle(req *httpRequest) httpResponse {
	key, isKey := strings.CutPrefix(req.path, "/kv/")
	switch {
	case isKey && key != "":
		return w.value(req, key)
	case req.method != "GET" && req.method != "HEAD":
		return notAllowed("GET, HEAD")
	case req.path == "/":
		return w.page(req, req.header["accept"])
	case req.path == "/json":
		return w.page(req, "application/json")
	case req.path == "/healthz":
		return text(200, "ok")
	}
	return text(404, "there is nothing here; try /, /json, /healthz or /kv/KEY")
}

func text(status int, s string) httpResponse {
	return httpResponse{status: status, kind: "text/plain; charset=utf-8", body: []byte(s + "\n")}
}

func notAllowed(allow string) httpResponse {
	resp := text(405, "only "+allow+" here")
	resp.header = "Allow: " + allow + "\r\n"
	return resp
}

// page shows the facts as a browser, a program or a terminal wants them. Only
// GET counts as a visit.
func (w *web) page(req *httpRequest, accept string) httpResponse {
	f := look(w.started)
	f.Backend = w.kv
	if req.method == "GET" {
		w.visit(f)
	}
	switch {
	case strings.Contains(accept, "text/html"):
		return httpResponse{
			kind: "text/html; charset=utf-8",
			header: "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; img-src data:\r\n" +
				"Vary: Accept\r\n",
			body: page(f),
		}
	case strings.Contains(accept, "application/json"):
		b, err := json.MarshalIndent(f, "", "  ")
		if err != nil { // strings and numbers only: cannot be
			return text(503, err.Error())
		}
		return httpResponse{kind: "application/json", header: "Vary: Accept\r\n", body: append(b, '\n')}
	}
	return httpResponse{kind: "text/plain; charset=utf-8", header: "Vary: Accept\r\n", body: plain(f)}
}

func (w *web) visit(f *facts) {
	reply, err := kvDo(w.ctx, w.kv, "INCR", visitsKey)
	if err != nil {
		f.VisitsError = err.Error()
		return
	}
	n, err := strconv.ParseInt(string(reply), 10, 64)
	if err != nil {
		f.VisitsError = "the back end's reply is not a number: " + err.Error()
		return
	}
	f.Visits = &n
}

// value reads or sets one key of the back end. A page of another origin can
// do neither: browsers ask first (CORS) and are not told that they may.
func (w *web) value(req *httpRequest, key string) httpResponse {
	var reply []byte
	var err error
	switch req.method {
	case "GET", "HEAD":
		if reply, err = kvDo(w.ctx, w.kv, "GET", key); err == nil && reply == nil {
			return text(404, "no such key: "+strconv.Quote(key))
		}
	case "PUT":
		_, err = kvDo(w.ctx, w.kv, "SET", key, string(req.body))
	default:
		return notAllowed("GET, HEAD, PUT")
	}
	var refused serverError
	switch {
	case errors.As(err, &refused):
		return text(400, err.Error())
	case err != nil:
		return text(502, "the back end is away: "+err.Error())
	case req.method == "PUT":
		return httpResponse{status: 204}
	}
	return httpResponse{kind: "application/octet-stream", body: reply}
}
