package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// edit changes a request on its way to the API server, and the answer on its way
// back. An error of the answer resets the client's connection.
type edit struct {
	request  func(*http.Request)
	response func(*http.Response) error
	// timeout ends the exchange, answered or not; 0: never.
	timeout time.Duration
	// detached finishes what the client has begun though it may have left.
	detached bool
}

func editFor(f fate, r Request) edit {
	switch f.fault {
	case FaultResetAfter:
		return edit{detached: true, response: func(resp *http.Response) error {
			_, _ = io.Copy(io.Discard, resp.Body) // all that matters is that it was done
			return errors.New("the request was done, its client is not to know")
		}}
	case FaultEmptyList:
		if r.InitialEvents {
			return edit{request: asJSON, response: dropInitialEvents}
		}
		return edit{request: asJSON, response: dropItems}
	case FaultIncompleteList:
		return edit{request: firstItemOnly}
	case FaultTruncated:
		return edit{request: asJSON, response: truncate}
	case FaultCutWatch:
		return edit{timeout: f.cutAfter}
	}
	return edit{}
}

// asJSON asks for an answer that can be read here, however the client wants it:
// clients understand JSON even if they asked for something else.
func asJSON(r *http.Request) {
	accept := r.Header.Get("Accept")
	for _, other := range []string{"application/vnd.kubernetes.protobuf", "application/cbor-seq", "application/cbor"} {
		accept = strings.ReplaceAll(accept, other, "application/json")
	}
	r.Header.Set("Accept", accept)
	r.Header.Del("Accept-Encoding") // the transport compresses on its own, and undoes it
}

// firstItemOnly asks for pages of one item. An API server pages only what it
// reads at the latest resource version.
func firstItemOnly(r *http.Request) {
	q := r.URL.Query()
	q.Set("limit", "1")
	q.Del("resourceVersion")
	q.Del("resourceVersionMatch")
	r.URL.RawQuery = q.Encode()
}

func dropItems(resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		return nil
	}
	var list map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		return err
	}
	items := "items"
	if list["kind"] == "Table" {
		items = "rows"
	}
	list[items] = []any{}
	if meta, ok := list["metadata"].(map[string]any); ok {
		delete(meta, "continue")
		delete(meta, "remainingItemCount")
	}
	b, err := json.Marshal(list)
	if err != nil {
		return err
	}
	return replaceBody(resp, bytes.NewReader(b), len(b))
}

func truncate(resp *http.Response) error {
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	return replaceBody(resp, io.MultiReader(bytes.NewReader(b[:len(b)/2]), brokenReader{}), len(b))
}

// replaceBody gives an answer another body, of a length that is announced.
func replaceBody(resp *http.Response, body io.Reader, length int) error {
	err := resp.Body.Close()
	resp.Body, resp.ContentLength = io.NopCloser(body), int64(length)
	resp.Header.Set("Content-Length", strconv.Itoa(length))
	return err
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// dropInitialEvents takes what exists out of a watch, up to the bookmark that
// ends it.
func dropInitialEvents(resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		return nil
	}
	in := resp.Body
	reader, writer := io.Pipe()
	resp.Body = struct {
		io.Reader
		io.Closer
	}{reader, closers{reader, in}}
	go func() { writer.CloseWithError(copyLaterEvents(writer, in)) }() // ends when the watch does
	return nil
}

func copyLaterEvents(out io.Writer, in io.Reader) error {
	events, initial := json.NewDecoder(in), true
	for {
		var raw json.RawMessage
		if err := events.Decode(&raw); err != nil {
			return err
		}
		var e struct {
			Type   string                       `json:"type"`
			Object metav1.PartialObjectMetadata `json:"object"`
		}
		if initial {
			if err := json.Unmarshal(raw, &e); err != nil {
				return err
			}
			if e.Type == "ADDED" {
				continue
			}
			initial = e.Object.Annotations[metav1.InitialEventsAnnotationKey] != "true"
		}
		if _, err := out.Write(append(raw, '\n')); err != nil {
			return err
		}
	}
}

type closers []io.Closer

func (c closers) Close() error {
	var err error
	for _, one := range c {
		err = errors.Join(err, one.Close())
	}
	return err
}

// context wraps that of a request as the edit says.
func (e edit) context(ctx context.Context) (context.Context, context.CancelFunc) {
	if e.detached {
		ctx = context.WithoutCancel(ctx)
	}
	if e.timeout > 0 {
		return context.WithTimeout(ctx, e.timeout)
	}
	return ctx, func() {}
}
