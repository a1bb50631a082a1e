package main

import (
	"net"
	"net/http"
	"os"
	"strings"
)

// health answers gRPC health checks with what the file args[1] holds: the number of
// a status; NOT_SERVING while there is none.
func health(args []string) (string, error) {
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		return "", err
	}
	s := &http.Server{Protocols: &http.Protocols{}, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		status, err := os.ReadFile(args[1])
		if err != nil {
			status = []byte("2")
		}
		w.Write([]byte{0, 0, 0, 0, 2, 8, strings.TrimSpace(string(status))[0] - '0'})
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	})}
	s.Protocols.SetUnencryptedHTTP2(true)
	go s.Serve(l)
	return "serving", nil
}
