package conformance

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func digestOf(data []byte) string {
	return fmt.Sprintf("sha256:%x", sha256.Sum256(data))
}

// slowRegistry serves an image of one layer, of which it holds the second half back while it is slow.
type slowRegistry struct {
	host     string
	manifest []byte
	blobs    map[string][]byte
	layer    string
	slow     atomic.Bool
	asked    chan struct{} // of the layer, while it is slow
	left     chan struct{} // whoever asked did not wait
}

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

func newSlowRegistry(t *testing.T) *slowRegistry {
	t.Helper()
	r := &slowRegistry{blobs: map[string][]byte{}, asked: make(chan struct{}, 1), left: make(chan struct{}, 1)}
	keep := func(kind string, data []byte) map[string]any {
		r.blobs[digestOf(data)] = data
		return map[string]any{"mediaType": kind, "digest": digestOf(data), "size": len(data)}
	}
	var plain, packed bytes.Buffer
	files := tar.NewWriter(&plain)
	must(t, files.WriteHeader(&tar.Header{Name: "slow", Mode: 0o644, Size: 5}))
	_, err := files.Write([]byte("bytes"))
	must(t, err)
	must(t, files.Close())
	compressor := gzip.NewWriter(&packed)
	_, err = compressor.Write(plain.Bytes())
	must(t, err)
	must(t, compressor.Close())
	config, err := json.Marshal(map[string]any{"os": "linux", "architecture": "amd64",
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digestOf(plain.Bytes())}}})
	must(t, err)
	layer := keep(layerType, packed.Bytes())
	r.layer = digestOf(packed.Bytes())
	r.manifest, err = json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": manifestType,
		"config": keep(configType, config), "layers": []any{layer}})
	must(t, err)
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.host = strings.TrimPrefix(server.URL, "http://")
	return r
}

func (r *slowRegistry) ServeHTTP(answer http.ResponseWriter, request *http.Request) {
	name := request.URL.Path[strings.LastIndex(request.URL.Path, "/")+1:]
	data, found := r.blobs[name]
	switch {
	case strings.Contains(request.URL.Path, "/manifests/"):
		answer.Header().Set("Content-Type", manifestType)
		_, _ = answer.Write(r.manifest)
	case !found:
		answer.WriteHeader(http.StatusOK) // of /v2/
	case name == r.layer && r.slow.Load():
		answer.Header().Set("Content-Length", fmt.Sprint(len(data)))
		_, _ = answer.Write(data[:len(data)/2])
		answer.(http.Flusher).Flush()
		r.asked <- struct{}{}
		<-request.Context().Done()
		r.left <- struct{}{}
	default:
		http.ServeContent(answer, request, "", time.Time{}, bytes.NewReader(data)) // which knows Range
	}
}

func TestPullIsCancelled(t *testing.T) {
	r := newSlowRegistry(t)
	spec := &v1.ImageSpec{Image: r.host + "/slow/image:1"}
	r.slow.Store(true)
	ctx, cancel := context.WithCancel(bounded(t))
	failed := make(chan error, 1)
	go func() {
		_, err := images.PullImage(ctx, spec, nil, podConfig(t))
		failed <- err
	}()
	<-r.asked
	cancel()
	equal(t, "code", status.Code(<-failed), codes.Canceled)
	<-r.left // the runtime has given up, too
	equal(t, "there", imageStatus(t, spec.Image) != nil, false)
	r.slow.Store(false)
	id := pull(t, spec.Image)
	equal(t, "id", imageStatus(t, spec.Image).GetId(), id)
	remove(t, spec.Image)
}
