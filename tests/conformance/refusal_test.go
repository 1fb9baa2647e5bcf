package conformance

import (
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestPodRefusals(t *testing.T) {
	options := func(change func(*v1.NamespaceOption)) func(*v1.PodSandboxConfig) {
		return func(config *v1.PodSandboxConfig) {
			config.Linux.SecurityContext = &v1.LinuxSandboxSecurityContext{NamespaceOptions: &v1.NamespaceOption{}}
			change(config.Linux.SecurityContext.NamespaceOptions)
		}
	}
	for word, change := range map[string]func(*v1.PodSandboxConfig){
		"hostNetwork": options(func(o *v1.NamespaceOption) { o.Network = v1.NamespaceMode_NODE }),
		"hostPID":     options(func(o *v1.NamespaceOption) { o.Pid = v1.NamespaceMode_NODE }),
		"hostIPC":     options(func(o *v1.NamespaceOption) { o.Ipc = v1.NamespaceMode_NODE }),
		"sysctl": func(config *v1.PodSandboxConfig) {
			config.Linux.Sysctls = map[string]string{"kernel.shm_rmid_forced": "1"}
		},
	} {
		config := podConfig(t)
		change(config)
		must(t, os.MkdirAll(config.LogDirectory, 0o755))
		_, err := runtime.RunPodSandbox(bounded(t), config, handler)
		equal(t, "code for "+word, status.Code(err), codes.InvalidArgument)
		if !strings.Contains(err.Error(), word) {
			t.Fatalf("%q does not say %s", err, word)
		}
	}
}

func TestContainerRefusals(t *testing.T) {
	context := func(change func(*v1.LinuxContainerSecurityContext)) func(*v1.ContainerConfig) {
		return func(config *v1.ContainerConfig) {
			config.Linux.SecurityContext = &v1.LinuxContainerSecurityContext{}
			change(config.Linux.SecurityContext)
		}
	}
	p := runPod(t)
	pull(t, image("function:1"))
	for word, change := range map[string]func(*v1.ContainerConfig){
		"privileged": context(func(c *v1.LinuxContainerSecurityContext) { c.Privileged = true }),
		"capabilities": context(func(c *v1.LinuxContainerSecurityContext) {
			c.Capabilities = &v1.Capability{AddCapabilities: []string{"NET_ADMIN"}}
		}),
		"runAsUser": context(func(c *v1.LinuxContainerSecurityContext) { c.RunAsGroup = &v1.Int64Value{Value: 1} }),
		"devices":   func(c *v1.ContainerConfig) { c.Devices = []*v1.Device{{HostPath: "/dev/null"}} },
		"stdin":     func(c *v1.ContainerConfig) { c.Stdin = true },
		"propagation": func(c *v1.ContainerConfig) {
			c.Mounts = []*v1.Mount{{ContainerPath: "/a", HostPath: "/tmp",
				Propagation: v1.MountPropagation_PROPAGATION_BIDIRECTIONAL}}
		},
		"command": func(c *v1.ContainerConfig) { c.Command = []string{"/bin/sh", "-c", "true"} },
	} {
		config := containerConfig("refused")
		change(config)
		_, err := runtime.CreateContainer(bounded(t), p.id, config, p.config)
		equal(t, "code for "+word, status.Code(err), codes.InvalidArgument)
		if !strings.Contains(err.Error(), word) {
			t.Fatalf("%q does not say %s", err, word)
		}
	}
}

func TestDropsAreAccepted(t *testing.T) {
	p := runPod(t)
	id := p.start(t, "function", func(config *v1.ContainerConfig) {
		config.Linux.SecurityContext = &v1.LinuxContainerSecurityContext{
			Capabilities:   &v1.Capability{DropCapabilities: []string{"ALL"}},
			ReadonlyRootfs: true, NoNewPrivs: true,
			Seccomp: &v1.SecurityProfile{ProfileType: v1.SecurityProfile_RuntimeDefault},
		}
	})
	equal(t, "state", containerStatus(t, id).State, v1.ContainerState_CONTAINER_RUNNING)
}
