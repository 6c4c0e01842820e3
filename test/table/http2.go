package table

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
)

// http2 does a unary call by hand: a gRPC library would refuse to send some
// of the headers.
func (s *scene) http2(text string) (string, error) {
	path, rest, _ := strings.Cut(text, " ")
	headers, body, err := quotedPairs(rest)
	if err != nil {
		return "", err
	}
	host := s.conn.CanonicalTarget()
	host = host[strings.LastIndex(host, "/")+1:]
	conn, err := net.DialTimeout("tcp", host, patience)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := writeRequest(conn, framer, host, path, headers, body); err != nil {
		return "", err
	}
	return s.readStatus(framer)
}

// writeRequest opens the connection and sends stream 1 in full.
func writeRequest(conn net.Conn, framer *http2.Framer, host, path string, headers [][2]string, body []byte) error {
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		return err
	}
	if err := framer.WriteSettings(); err != nil {
		return err
	}
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	all := [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", path}, {":authority", host},
		{"content-type", "application/grpc"}, {"te", "trailers"},
	}
	for _, h := range headers {
		i := slices.IndexFunc(all[:6], func(usual [2]string) bool { return usual[0] == h[0] })
		if i >= 0 {
			all[i] = h
		} else {
			all = append(all, h)
		}
	}
	for _, h := range all {
		if err := encoder.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}); err != nil {
			return err
		}
	}
	if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true}); err != nil {
		return err
	}
	message := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body)))
	return framer.WriteData(1, true, append(message, body...))
}

// readStatus waits for the headers that end the stream.
func (s *scene) readStatus(framer *http2.Framer) (string, error) {
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return "", err
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				if err := framer.WriteSettingsAck(); err != nil {
					return "", err
				}
			}
		case *http2.RSTStreamFrame:
			return "reset " + f.ErrCode.String(), nil
		case *http2.GoAwayFrame:
			return "goaway " + f.ErrCode.String(), nil
		case *http2.MetaHeadersFrame:
			var code, message, http string
			for _, h := range f.Fields {
				switch h.Name {
				case ":status":
					http = h.Value
				case "grpc-status":
					code = h.Value
				case "grpc-message":
					message = h.Value
				}
			}
			if code == "" && !f.StreamEnded() {
				continue
			}
			if code == "" {
				return "http " + http, nil
			}
			if code == "0" {
				return "ok", nil
			}
			n, _ := strconv.Atoi(code)
			if text, err := url.PathUnescape(message); err == nil {
				message = text
			}
			return s.statusText(codes.Code(n), message), nil
		}
	}
}

// quotedPairs reads key="value" pairs; the one called body is the message.
func quotedPairs(text string) (headers [][2]string, body []byte, err error) {
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		key, rest, _ := strings.Cut(text, "=")
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return nil, nil, fmt.Errorf("value of %s: %w", key, err)
		}
		value, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, nil, fmt.Errorf("value of %s: %w", key, err)
		}
		if text = rest[len(quoted):]; key == "body" {
			body = []byte(value)
		} else {
			headers = append(headers, [2]string{key, value})
		}
	}
	return headers, body, nil
}
