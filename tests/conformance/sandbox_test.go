package conformance

import (
	"maps"
	"net"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func listPods(t *testing.T, filter *v1.PodSandboxFilter) []*v1.PodSandbox {
	t.Helper()
	pods, err := runtime.ListPodSandbox(bounded(t), filter)
	must(t, err)
	return pods
}

func TestVersion(t *testing.T) {
	version, err := runtime.Version(bounded(t), "")
	must(t, err)
	equal(t, "version", version.Version, "0.1.0") // the kubelet wants this one
	equal(t, "runtime_api_version", version.RuntimeApiVersion, "v1")
}

func TestConditions(t *testing.T) {
	answer, err := runtime.Status(bounded(t), true)
	must(t, err)
	for _, name := range []string{v1.RuntimeReady, v1.NetworkReady} {
		found := false
		for _, condition := range answer.Status.Conditions {
			found = found || condition.Type == name && condition.Status
		}
		equal(t, name, found, true)
	}
	found := false
	for _, one := range answer.RuntimeHandlers {
		found = found || one.Name == handler
	}
	equal(t, "handler among runtime_handlers", found, true)
	config, err := runtime.RuntimeConfig(bounded(t))
	must(t, err)
	equal(t, "cgroup driver", config.Linux.CgroupDriver, v1.CgroupDriver_CGROUPFS)
	must(t, runtime.UpdateRuntimeConfig(bounded(t), &v1.RuntimeConfig{
		NetworkConfig: &v1.NetworkConfig{PodCidr: "10.78.0.0/24"}}))
}

func TestPodComesAndGoes(t *testing.T) {
	p := runPod(t)
	mine := &v1.PodSandboxFilter{Id: p.id}
	equal(t, "count", len(listPods(t, mine)), 1)
	equal(t, "state", p.status(t).State, v1.PodSandboxState_SANDBOX_READY)
	must(t, runtime.StopPodSandbox(bounded(t), p.id))
	equal(t, "state of a stopped pod", p.status(t).State, v1.PodSandboxState_SANDBOX_NOTREADY)
	ready := &v1.PodSandboxStateValue{State: v1.PodSandboxState_SANDBOX_READY}
	equal(t, "count of ready ones", len(listPods(t, &v1.PodSandboxFilter{Id: p.id, State: ready})), 0)
	must(t, runtime.StopPodSandbox(bounded(t), p.id)) // again
	must(t, runtime.RemovePodSandbox(bounded(t), p.id))
	equal(t, "count of removed ones", len(listPods(t, mine)), 0)
	_, err := runtime.PodSandboxStatus(bounded(t), p.id, false)
	equal(t, "code", status.Code(err), codes.NotFound)
}

func TestPodIsEchoed(t *testing.T) {
	labels := map[string]string{"foo": "bar", "io.kubernetes.pod.name": "a"}
	annotations := map[string]string{"x": "y"}
	p := runPod(t, func(config *v1.PodSandboxConfig) {
		config.Labels, config.Annotations = labels, annotations
		config.Linux.SecurityContext = &v1.LinuxSandboxSecurityContext{NamespaceOptions: &v1.NamespaceOption{
			Pid: v1.NamespaceMode_CONTAINER}}
	})
	got := p.status(t)
	equal(t, "metadata", got.Metadata.String(), p.config.Metadata.String())
	equal(t, "labels", maps.Equal(got.Labels, labels), true)
	equal(t, "annotations", maps.Equal(got.Annotations, annotations), true)
	equal(t, "pid", got.Linux.Namespaces.Options.Pid, v1.NamespaceMode_CONTAINER)
	listed := listPods(t, &v1.PodSandboxFilter{LabelSelector: labels})
	equal(t, "count by labels", len(listed), 1)
	equal(t, "id", listed[0].Id, p.id)
	equal(t, "created_at", listed[0].CreatedAt, got.CreatedAt)
}

func TestPodHasAnAddress(t *testing.T) {
	p := runPod(t)
	address := net.ParseIP(p.status(t).Network.Ip)
	if address == nil {
		t.Fatal("no address")
	}
}

func TestNameIsReserved(t *testing.T) {
	p := runPod(t)
	if _, err := runtime.RunPodSandbox(bounded(t), p.config, handler); err == nil {
		t.Fatal("two pods have one name")
	}
	_, err := runtime.RunPodSandbox(bounded(t), podConfig(t), "no-such-handler")
	equal(t, "code", status.Code(err), codes.InvalidArgument)
}

func TestHostnameAndDNS(t *testing.T) {
	p := runPod(t, func(config *v1.PodSandboxConfig) {
		config.Hostname = "conformance-host"
		config.DnsConfig = &v1.DNSConfig{Servers: []string{"10.10.10.10"}, Searches: []string{"example.com", "b.example"},
			Options: []string{"ndots:8"}}
	})
	id := p.start(t, "function")
	equal(t, "hostname", execOutput(t, id, "hostname"), "conformance-host\n")
	equal(t, "uname", execOutput(t, id, "python3", "-c", "import os; print(os.uname().nodename)"), "conformance-host\n")
	equal(t, "resolv.conf", execOutput(t, id, "cat", "/etc/resolv.conf"),
		"search example.com b.example\nnameserver 10.10.10.10\noptions ndots:8\n")
}

func TestUnknownIds(t *testing.T) {
	const nobody = "0123456789abcdef"
	must(t, runtime.StopPodSandbox(bounded(t), nobody))
	must(t, runtime.RemovePodSandbox(bounded(t), nobody))
	must(t, runtime.StopContainer(bounded(t), nobody, 1))
	must(t, runtime.RemoveContainer(bounded(t), nobody))
	must(t, images.RemoveImage(bounded(t), &v1.ImageSpec{Image: image("nobody:1")}))
	_, err := runtime.ContainerStatus(bounded(t), nobody, false)
	equal(t, "code", status.Code(err), codes.NotFound)
	_, err = runtime.ContainerStats(bounded(t), nobody)
	equal(t, "code", status.Code(err), codes.NotFound)
}
