package client

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/blobstore/frame"
)

// framesOpener opens some frames of a blob, as they are stored and one after the
// other. The runs have the same ones as the set.
type framesOpener func(wanted frame.Set, runs []api.FrameRange) (io.ReadCloser, error)

// sendFrames sees that a cloudlets registry holds a blob of frames: the frames are
// offered, and those are sent that it lacks. held is false where it lacks all, and
// nothing would be gained by that. The encoded index is sent as it is.
func (r *Repository) sendFrames(ctx context.Context, doing string, d digest.Digest, index *frame.Index, encoded []byte, open framesOpener) (held bool, err error) {
	at := r.extension(api.ComponentFrames, d.String())
	var offer api.Offer
	if err := r.call(ctx, http.MethodPost, at, api.MediaTypeFrameIndex, bytes.NewReader(encoded), &offer); err != nil {
		return false, fmt.Errorf("offer frames: %w", err)
	}
	if offer.Exists || offer.Bytes == index.StoredSize() {
		return offer.Exists, nil
	}
	wanted, err := wantedFrames(index, offer.Missing)
	if err != nil {
		return false, err
	}
	body, err := open(wanted, offer.Missing)
	if err != nil {
		return false, err
	}
	defer body.Close()
	step := r.client.step(doing, offer.Bytes)
	err = r.putFrames(ctx, at, encoded, io.MultiReader(bytes.NewReader(wanted), io.TeeReader(body, &counter{step: step})))
	step.End(err)
	if err != nil {
		return false, fmt.Errorf("send frames: %w", err)
	}
	return true, nil
}

func (r *Repository) putFrames(ctx context.Context, at string, index []byte, body io.Reader) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, at, io.MultiReader(bytes.NewReader(index), body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", api.MediaTypeFrames)
	req.Header.Set(api.HeaderIndexSize, strconv.Itoa(len(index)))
	resp, err := r.do(req, push)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return answerError(resp)
	}
	return nil
}

// wantedFrames returns the frames of an index that are in one of the runs.
func wantedFrames(x *frame.Index, runs []api.FrameRange) (frame.Set, error) {
	wanted := x.NewSet()
	for _, m := range runs {
		if m.First < 0 || m.Count <= 0 || m.First > x.Len() || m.Count > x.Len()-m.First {
			return nil, fmt.Errorf("the registry lacks frames %d+%d of %d", m.First, m.Count, x.Len())
		}
		for i := m.First; i < m.First+m.Count; i++ {
			wanted.Add(i)
		}
	}
	return wanted, nil
}
