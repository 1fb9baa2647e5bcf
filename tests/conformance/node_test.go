// Package conformance walks the calls of the Container Runtime Interface as the kubelet makes them, with the
// client that the kubelet has, against a node that run.py has started.
package conformance

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"
	remote "k8s.io/cri-client/pkg"
)

const (
	handler = "usetl"
	// However slow the machine: it only keeps a broken flow from hanging.
	patience = 60 * time.Second
)

var (
	runtime cri.RuntimeService
	images  cri.ImageManagerService
	// Where pods keep their logs and tests their files.
	directory string
	// HOST:PORT of the registry that has the images which run.py made.
	registry string
)

func TestMain(m *testing.M) {
	os.Exit(connectAndRun(m))
}

func connectAndRun(m *testing.M) int {
	endpoint := os.Getenv("USETL_ENDPOINT")
	directory = os.Getenv("USETL_DIRECTORY")
	registry = os.Getenv("USETL_REGISTRY")
	if endpoint == "" || directory == "" || registry == "" {
		fmt.Fprintln(os.Stderr, "these tests are started by run.py")
		return 2
	}
	var err error // no logger: it would tell what fails, and here much is meant to
	if runtime, err = remote.NewRemoteRuntimeService(endpoint, patience, nil, nil); err == nil {
		images, err = remote.NewRemoteImageService(endpoint, patience, nil, nil)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	return m.Run()
}

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s is %v, not %v", what, got, want)
	}
}

// eventually asks until the answer is yes.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it did not happen: %s", what)
		}
	}
}

// pod is a sandbox that ends with its test.
type pod struct {
	id     string
	config *v1.PodSandboxConfig
}

func podConfig(t *testing.T) *v1.PodSandboxConfig {
	t.Helper()
	name := strings.NewReplacer("/", "-", "_", "-").Replace(strings.ToLower(t.Name()))
	return &v1.PodSandboxConfig{
		Metadata:     &v1.PodSandboxMetadata{Name: name, Namespace: "conformance", Uid: "uid-" + name, Attempt: 2},
		LogDirectory: filepath.Join(directory, "logs", name),
		Labels:       map[string]string{"test": name},
		Linux:        &v1.LinuxPodSandboxConfig{},
	}
}

func runPod(t *testing.T, change ...func(*v1.PodSandboxConfig)) pod {
	t.Helper()
	config := podConfig(t)
	for _, one := range change {
		one(config)
	}
	must(t, os.MkdirAll(config.LogDirectory, 0o755))
	id, err := runtime.RunPodSandbox(bounded(t), config, handler)
	must(t, err)
	t.Cleanup(func() {
		if err := runtime.StopPodSandbox(context.Background(), id); err != nil {
			t.Error(err)
		}
		if err := runtime.RemovePodSandbox(context.Background(), id); err != nil {
			t.Error(err)
		}
	})
	return pod{id, config}
}

func (p pod) status(t *testing.T) *v1.PodSandboxStatus {
	t.Helper()
	response, err := runtime.PodSandboxStatus(bounded(t), p.id, false)
	must(t, err)
	return response.Status
}

func containerConfig(name string) *v1.ContainerConfig {
	return &v1.ContainerConfig{
		Metadata: &v1.ContainerMetadata{Name: name, Attempt: 2},
		Image:    &v1.ImageSpec{Image: image("function:1")},
		LogPath:  name + ".log",
		Labels:   map[string]string{"name": name},
		Linux:    &v1.LinuxContainerConfig{},
	}
}

// job is a container that runs job.py of the image, and ends by itself.
func job(arguments ...string) func(*v1.ContainerConfig) {
	return func(config *v1.ContainerConfig) {
		config.Command = []string{"python3", "job.py"}
		config.Args = arguments
	}
}

func onPort(port string) func(*v1.ContainerConfig) {
	return func(config *v1.ContainerConfig) {
		config.Envs = append(config.Envs, &v1.KeyValue{Key: "PORT", Value: []byte(port)})
	}
}

func (p pod) create(t *testing.T, name string, change ...func(*v1.ContainerConfig)) string {
	t.Helper()
	config := containerConfig(name)
	for _, one := range change {
		one(config)
	}
	pull(t, config.Image.Image)
	id, err := runtime.CreateContainer(bounded(t), p.id, config, p.config)
	must(t, err)
	return id
}

func (p pod) start(t *testing.T, name string, change ...func(*v1.ContainerConfig)) string {
	t.Helper()
	id := p.create(t, name, change...)
	must(t, runtime.StartContainer(bounded(t), id))
	return id
}

func containerStatus(t *testing.T, id string) *v1.ContainerStatus {
	t.Helper()
	response, err := runtime.ContainerStatus(bounded(t), id, false)
	must(t, err)
	return response.Status
}

func waitExited(t *testing.T, id string) *v1.ContainerStatus {
	t.Helper()
	eventually(t, "the container exits", func() bool {
		return containerStatus(t, id).State == v1.ContainerState_CONTAINER_EXITED
	})
	return containerStatus(t, id)
}

// logLines are those of a container's log, without their times: "stdout F text".
func logLines(t *testing.T, id string) []string {
	t.Helper()
	text, err := os.ReadFile(containerStatus(t, id).LogPath)
	must(t, err)
	var lines []string
	for _, line := range bytes.SplitAfter(text, []byte("\n")) {
		if len(line) == 0 {
			continue // behind the last one; the log may be empty yet
		}
		line = bytes.TrimSuffix(line, []byte("\n"))
		stamp, rest, found := strings.Cut(string(line), " ")
		if _, err := time.Parse(time.RFC3339Nano, stamp); err != nil || !found {
			t.Fatalf("no line of a log: %q", line)
		}
		lines = append(lines, rest)
	}
	return lines
}
