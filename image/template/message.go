package template

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Parent and child are the same executable, so that their messages need no
// version. A message is its kind (one byte), its length (four bytes, big endian)
// and its body.
//
// The parent sends one messageJob and a messageText for each template; the child
// answers with a messageOutput for each, or with one messageFailure and no more.
const (
	messageJob     = 'j' // a job, as JSON
	messageText    = 't' // the text of a template
	messageOutput  = 'o' // the rendered text
	messageFailure = 'f' // a report, as JSON
)

const messageHeader = 1 + 4

// job is what the child is to do.
type job struct {
	Limits    Limits `json:"limits"`
	Scope     string `json:"scope"`
	Templates int    `json:"templates"`
}

// report is an Error without the path, which the child does not know. Reason is
// an index of reasons.
type report struct {
	Reason  int    `json:"reason"`
	Line    int    `json:"line"`
	Source  string `json:"source"`
	Message string `json:"message"`
}

func writeMessage(w io.Writer, kind byte, body []byte) error {
	header := make([]byte, messageHeader, messageHeader+len(body))
	header[0] = kind
	binary.BigEndian.PutUint32(header[1:], uint32(len(body)))
	_, err := w.Write(append(header, body...))
	return err
}

func writeJSON(w io.Writer, kind byte, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writeMessage(w, kind, body)
}

// readMessage reads a message of at most limit bytes.
func readMessage(r io.Reader, limit int) (kind byte, body []byte, err error) {
	var header [messageHeader]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, nil, err
	}
	length := binary.BigEndian.Uint32(header[1:])
	if int64(length) > int64(limit) {
		return 0, nil, fmt.Errorf("a message of %d bytes, expected at most %d", length, limit)
	}
	body = make([]byte, length)
	_, err = io.ReadFull(r, body)
	return header[0], body, err
}

// encodeJob returns the messages that ask for a render.
func encodeJob(limits Limits, scope []byte, templates []Template) ([]byte, error) {
	var b bytes.Buffer
	if err := writeJSON(&b, messageJob, job{limits, string(scope), len(templates)}); err != nil {
		return nil, err
	}
	for _, t := range templates {
		if err := writeMessage(&b, messageText, t.Text); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// maxJob bounds the messages that the child reads, in bytes.
const maxJob = 1 << 30

// decodeJob reads what encodeJob wrote.
func decodeJob(r io.Reader) (j job, texts [][]byte, err error) {
	_, body, err := readMessage(r, maxJob)
	if err != nil {
		return j, nil, err
	}
	if err := json.Unmarshal(body, &j); err != nil {
		return j, nil, err
	}
	for range j.Templates {
		_, text, err := readMessage(r, maxJob)
		if err != nil {
			return j, nil, err
		}
		texts = append(texts, text)
	}
	return j, texts, nil
}

// newReport makes the message of a failure.
func newReport(e *Error) report {
	r := report{Line: e.Line, Source: e.Source, Message: e.Message}
	for i, reason := range reasons {
		if errors.Is(e.Reason, reason) {
			r.Reason = i
		}
	}
	return r
}

// failure returns the Error of a template that a report describes.
func (r report) failure(path string, secrets []string) *Error {
	if r.Reason < 0 || r.Reason >= len(reasons) {
		r.Reason = 0
	}
	return &Error{
		Path:    path,
		Line:    r.Line,
		Source:  r.Source,
		Reason:  reasons[r.Reason],
		Message: printable(redact(r.Message, secrets), maxMessage),
	}
}
