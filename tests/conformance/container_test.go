package conformance

import (
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func listContainers(t *testing.T, filter *v1.ContainerFilter) []*v1.Container {
	t.Helper()
	containers, err := runtime.ListContainers(bounded(t), filter)
	must(t, err)
	return containers
}

// get asks a pod's address and gives the answer's body.
func get(t *testing.T, address string) string {
	t.Helper()
	client := http.Client{Timeout: patience}
	answer, err := client.Get("http://" + address + "/")
	must(t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	must(t, err)
	equal(t, "HTTP status", answer.StatusCode, http.StatusOK)
	return string(body)
}

func TestContainerLives(t *testing.T) {
	p := runPod(t)
	id := p.create(t, "function")
	equal(t, "state", containerStatus(t, id).State, v1.ContainerState_CONTAINER_CREATED)
	must(t, runtime.StartContainer(bounded(t), id))
	got := containerStatus(t, id)
	equal(t, "state", got.State, v1.ContainerState_CONTAINER_RUNNING)
	if got.CreatedAt <= p.status(t).CreatedAt || got.StartedAt <= got.CreatedAt {
		t.Fatal("times are out of order")
	}
	if err := runtime.StartContainer(bounded(t), id); err == nil {
		t.Fatal("it started twice")
	}
	equal(t, "answer", get(t, p.status(t).Network.Ip+":8080"), "hello from image")
	must(t, runtime.StopContainer(bounded(t), id, 10))
	got = containerStatus(t, id)
	equal(t, "state", got.State, v1.ContainerState_CONTAINER_EXITED)
	equal(t, "exit code", got.ExitCode, 0)
	equal(t, "reason", got.Reason, "Completed")
	must(t, runtime.StopContainer(bounded(t), id, 10)) // again
	must(t, runtime.RemoveContainer(bounded(t), id))
	equal(t, "count", len(listContainers(t, &v1.ContainerFilter{Id: id})), 0)
}

func TestContainersAreRemoved(t *testing.T) {
	p := runPod(t)
	created := p.create(t, "created")
	must(t, runtime.RemoveContainer(bounded(t), created))
	running := p.start(t, "running")
	must(t, runtime.RemoveContainer(bounded(t), running))
	for _, id := range []string{created, running} {
		_, err := runtime.ContainerStatus(bounded(t), id, false)
		equal(t, "code", status.Code(err), codes.NotFound)
	}
}

func TestContainerIsEchoed(t *testing.T) {
	p := runPod(t)
	annotations := map[string]string{"io.kubernetes.container.hash": "ab", "x": "y"}
	var config *v1.ContainerConfig
	id := p.create(t, "function", func(c *v1.ContainerConfig) { c.Annotations, config = annotations, c })
	got := containerStatus(t, id)
	equal(t, "metadata", got.Metadata.String(), config.Metadata.String())
	equal(t, "labels", maps.Equal(got.Labels, config.Labels), true)
	equal(t, "annotations", maps.Equal(got.Annotations, annotations), true)
	equal(t, "log_path", got.LogPath, filepath.Join(p.config.LogDirectory, "function.log"))
	state := &v1.ContainerStateValue{State: v1.ContainerState_CONTAINER_CREATED}
	listed := listContainers(t, &v1.ContainerFilter{PodSandboxId: p.id, State: state,
		LabelSelector: map[string]string{"name": "function"}})
	equal(t, "count", len(listed), 1)
	equal(t, "id", listed[0].Id, id)
	equal(t, "id by its beginning", listContainers(t, &v1.ContainerFilter{Id: id[:13]})[0].Id, id)
	equal(t, "count of others", len(listContainers(t, &v1.ContainerFilter{PodSandboxId: p.id,
		LabelSelector: map[string]string{"name": "other"}})), 0)
}

func TestJobsEnd(t *testing.T) {
	p := runPod(t)
	for name, want := range map[string]int32{"good": 0, "bad": 3} {
		id := p.start(t, name, job(map[string]string{"good": "0", "bad": "3"}[name]))
		got := waitExited(t, id)
		equal(t, "exit code", got.ExitCode, want)
		equal(t, "reason", got.Reason, map[int32]string{0: "Completed", 3: "Error"}[want])
		if got.FinishedAt < got.StartedAt {
			t.Fatal("it ended before it began")
		}
		lines := logLines(t, id)
		for _, line := range []string{"stdout F hello World", "stderr F an error"} {
			if !slices.Contains(lines, line) {
				t.Fatalf("no line %q in %q", line, lines)
			}
		}
	}
}

func TestExitCodes(t *testing.T) {
	p := runPod(t)
	for code, want := range map[string]int32{"0": 0, "1": 1, "42": 42, "127": 127, "255": 255, "256": 0} {
		got := waitExited(t, p.start(t, "job"+code, job(code)))
		equal(t, "exit code of "+code, got.ExitCode, want)
		equal(t, "reason of "+code, got.Reason == "Completed", want == 0)
	}
	id := p.start(t, "killed")
	must(t, runtime.StopContainer(bounded(t), id, 0))
	got := containerStatus(t, id)
	equal(t, "exit code of one that was killed", got.ExitCode, 137)
	equal(t, "reason", got.Reason, "Error")
	id = p.create(t, "missing", func(config *v1.ContainerConfig) { config.Command = []string{"python3", "missing.py"} })
	if err := runtime.StartContainer(bounded(t), id); err == nil {
		t.Fatal("a program that is not there was started")
	}
	got = containerStatus(t, id)
	equal(t, "state", got.State, v1.ContainerState_CONTAINER_EXITED)
	equal(t, "exit code of one that did not start", got.ExitCode, 128)
	equal(t, "reason", got.Reason, "StartError")
}

func TestReadOnlyRoot(t *testing.T) {
	readOnly := func(config *v1.ContainerConfig) {
		config.Linux.SecurityContext = &v1.LinuxContainerSecurityContext{ReadonlyRootfs: true}
	}
	p := runPod(t)
	for _, path := range []string{"/new", "/tmp/new", "/function/new"} {
		name := strings.ReplaceAll(path, "/", "-")
		id := p.start(t, "readonly"+name, readOnly, job("0", path))
		equal(t, "exit code", waitExited(t, id).ExitCode, 1)
		want := "stderr F OSError: [Errno 30] Read-only file system: '" + path + "'"
		equal(t, "the function was told", slices.Contains(logLines(t, id), want), true)
		equal(t, "exit code", waitExited(t, p.start(t, "writable"+name, job("0", path))).ExitCode, 0)
	}
	volume := t.TempDir()
	id := p.start(t, "volume", readOnly, job("0", "/tmp/new"), func(config *v1.ContainerConfig) {
		config.Mounts = []*v1.Mount{{ContainerPath: "/tmp", HostPath: volume}}
	})
	equal(t, "exit code", waitExited(t, id).ExitCode, 0)
	_, err := os.Stat(filepath.Join(volume, "new"))
	must(t, err)
}

// TestCallsTwice: the kubelet repeats calls whose answers it has missed.
func TestCallsTwice(t *testing.T) {
	p := runPod(t)
	for _, id := range []string{p.create(t, "created"), p.start(t, "running"), p.start(t, "ended", job("3"))} {
		for range 2 {
			must(t, runtime.StopContainer(bounded(t), id, 5))
		}
		for range 2 {
			must(t, runtime.RemoveContainer(bounded(t), id))
		}
		must(t, runtime.StopContainer(bounded(t), id, 5))
	}
	last := p.start(t, "last")
	for range 2 {
		must(t, runtime.StopPodSandbox(bounded(t), p.id))
	}
	equal(t, "state", containerStatus(t, last).State, v1.ContainerState_CONTAINER_EXITED)
	for range 2 {
		must(t, runtime.RemovePodSandbox(bounded(t), p.id))
	}
	must(t, runtime.StopPodSandbox(bounded(t), p.id))
	_, err := runtime.ContainerStatus(bounded(t), last, false)
	equal(t, "code", status.Code(err), codes.NotFound)
}

func TestLogIsReopened(t *testing.T) {
	p := runPod(t)
	id := p.start(t, "function")
	path := containerStatus(t, id).LogPath
	must(t, os.Rename(path, path+".1"))
	must(t, runtime.ReopenContainerLog(bounded(t), id))
	get(t, p.status(t).Network.Ip+":8080")
	eventually(t, "the new log has the line", func() bool { return slices.Contains(logLines(t, id), "stdout F called") })
	must(t, runtime.StopContainer(bounded(t), id, 10))
	must(t, os.Remove(path))
	if err := runtime.ReopenContainerLog(bounded(t), id); err == nil {
		t.Fatal("the log of a stopped container was opened")
	}
	if _, err := os.Stat(path); err == nil {
		t.Fatal("the error left a file")
	}
}

func TestVolumes(t *testing.T) {
	host := t.TempDir()
	real := filepath.Join(host, "real")
	must(t, os.Mkdir(real, 0o777))
	must(t, os.Chmod(real, 0o777))
	must(t, os.WriteFile(filepath.Join(real, "there"), []byte("text"), 0o644))
	link := filepath.Join(host, "link")
	must(t, os.Symlink(real, link))
	p := runPod(t)
	id := p.start(t, "writer", job("0", "/volume/new"), func(config *v1.ContainerConfig) {
		config.Linux.SecurityContext = &v1.LinuxContainerSecurityContext{
			RunAsUser: &v1.Int64Value{Value: 1234}, RunAsGroup: &v1.Int64Value{Value: 2345}}
		config.Mounts = []*v1.Mount{{ContainerPath: "/volume", HostPath: link}}
	})
	equal(t, "exit code", waitExited(t, id).ExitCode, 0)
	equal(t, "mount", containerStatus(t, id).Mounts[0].HostPath, link)
	equal(t, "owner", owner(t, filepath.Join(real, "new")), "1234:2345")
	id = p.start(t, "reader", func(config *v1.ContainerConfig) {
		config.Mounts = []*v1.Mount{{ContainerPath: "/volume", HostPath: real, Readonly: true}}
	})
	equal(t, "names", execOutput(t, id, "ls", "-A", "/volume"), "new\nthere\n")
}

func TestTwoContainers(t *testing.T) {
	p := runPod(t)
	first, second := p.start(t, "first", onPort("8081")), p.start(t, "second", onPort("8082"))
	for port, id := range map[string]string{"8081": first, "8082": second} {
		get(t, p.status(t).Network.Ip+":"+port)
		equal(t, "port", execOutput(t, id, "sh", "-c", "echo $PORT"), port+"\n")
		eventually(t, "the log has the line", func() bool { return slices.Contains(logLines(t, id), "stdout F called") })
	}
}

func TestHostPort(t *testing.T) {
	p := runPod(t, func(config *v1.PodSandboxConfig) {
		config.PortMappings = []*v1.PortMapping{{ContainerPort: 8080, HostPort: 12000}}
	})
	p.start(t, "function")
	equal(t, "answer", get(t, os.Getenv("USETL_GATEWAY")+":12000"), "hello from image")
}

func TestMemoryLimit(t *testing.T) {
	limit := func(bytes int64) func(*v1.ContainerConfig) {
		return func(config *v1.ContainerConfig) {
			config.Linux.Resources = &v1.LinuxContainerResources{MemoryLimitInBytes: bytes}
		}
	}
	p := runPod(t)
	config := containerConfig("small")
	limit(15 << 20)(config)
	_, err := runtime.CreateContainer(bounded(t), p.id, config, p.config)
	equal(t, "code", status.Code(err), codes.InvalidArgument)
	id := p.start(t, "full", limit(96<<20), job("fill"))
	end := waitExited(t, id)
	equal(t, "exit code", end.ExitCode, 137)
	equal(t, "reason", end.Reason, "OOMKilled")
	equal(t, "the function was told", slices.Contains(logLines(t, id), "stderr F MemoryError"), true)
}
