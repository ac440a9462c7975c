package provider

import (
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/converter"
)

// job is a render under way.
type job struct {
	key        jobKey
	parameters string // canonical
	request    api.RenderRequest
	planned    chan struct{} // closed when the output can be read, or never will
	done       chan struct{} // closed at the end

	mu     sync.Mutex
	output []converter.File // none until planned
	render api.Render
	err    error
}

func newJob(k jobKey, parameters string, req api.RenderRequest) *job {
	return &job{
		key: k, parameters: parameters, request: req,
		planned: make(chan struct{}), done: make(chan struct{}),
		render: api.Render{Key: k.derivation, State: api.RenderPlanning, Content: contentPath(k.repository, k.derivation)},
	}
}

// setPlan tells the job its output, or why there is none.
func (j *job) setPlan(p planned, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	defer close(j.planned)
	if err != nil {
		j.fail(err)
		close(j.done)
		return
	}
	j.output = p.output.Files
	j.render.State = api.RenderPlanned
	j.render.Files = describeFiles(j.render.Content, p.output.Files)
	j.render.Size = j.render.Files[0].Size
	j.render.Boot, j.render.Notes = p.output.Boot, p.notes()
	j.render.CommandLine = p.output.Report.CommandLine
}

// notes tells in words what a person should know.
func (p planned) notes() []string {
	notes := slices.Clone(p.output.Notes)
	for _, part := range p.unused {
		notes = append(notes, "the part "+part+" of the configuration has no effect: no template of the image uses it")
	}
	return notes
}

// finish ends a job whose output was planned.
func (j *job) finish(blobs []digest.Digest, artifact digest.Digest, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	defer close(j.done)
	if err != nil {
		j.fail(err)
		return
	}
	j.render.State, j.render.Blob, j.render.Artifact = api.RenderDone, blobs[0], artifact
	j.render.Files = slices.Clone(j.render.Files) // others read the slice
	for i, d := range blobs {
		j.render.Files[i].Blob = d
	}
}

func (j *job) fail(err error) {
	j.err = err
	j.render.State, j.render.Error = api.RenderFailed, err.Error()
}

// Write counts the bytes of the output that were hashed.
func (j *job) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.render.Hashed += int64(len(p))
	return len(p), nil
}

// state returns the state of the render.
func (j *job) state() api.Render {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.render
}

// failure returns why the job failed.
func (j *job) failure() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

// planError returns why there is no output.
func (j *job) planError() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.output == nil {
		return j.err
	}
	return nil
}

// plan returns the files of the output, none while there are none.
func (j *job) plan() []converter.File {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.output
}

// describeFiles tells of the files of an output. content is the path at which
// the first can be read.
func describeFiles(content string, files []converter.File) []api.RenderFile {
	described := make([]api.RenderFile, len(files))
	for i, f := range files {
		described[i] = api.RenderFile{
			Name: f.Name, MediaType: f.MediaType, Size: f.Map.Size(), Content: content + "/" + f.Name,
		}
	}
	return described
}

// wait waits for the end of the job, at most for a time.
func (j *job) wait(end <-chan struct{}, atMost time.Duration) {
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-j.done:
	case <-timer.C:
	case <-end:
	}
}
