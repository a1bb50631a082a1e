// Package demo has the programs behind the image "builtin:demo", in which the
// peapod binary itself is the only file: a web server that shows what its
// container looks like from inside, the key-value server that keeps its
// counter, and two helpers to look around with. A container runs them as
//
//	/bin/peapod demo web --listen :8080 --kv 127.0.0.1:6380
//	/bin/peapod demo kv --listen 127.0.0.1:6380
//	/bin/peapod demo env
//	/bin/peapod demo sleep 10s
//
// It needs no privileges. It is made to be looked at, not for production: no
// TLS, no authentication, and all that clients can make it hold is bounded.
//
// The HTTP server is written on package net alone. Linking net/http costs
// every peapod command 0.4 ms at its start and 3.5 MB of binary, html/template
// a further 0.4 ms and 2.6 MB; a container starts in less than 3 ms.
package demo
