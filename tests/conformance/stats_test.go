package conformance

import (
	"context"
	"testing"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func statsOf(t *testing.T, filter *v1.ContainerStatsFilter) map[string]*v1.ContainerStats {
	t.Helper()
	list, err := runtime.ListContainerStats(bounded(t), filter)
	must(t, err)
	byID := map[string]*v1.ContainerStats{}
	for _, one := range list {
		byID[one.Attributes.Id] = one
	}
	return byID
}

func TestContainerStats(t *testing.T) {
	p := runPod(t)
	started := []string{p.start(t, "a", onPort("8081")), p.start(t, "b", onPort("8082")), p.start(t, "c", onPort("8083"))}
	all := statsOf(t, nil)
	for _, id := range started {
		one := all[id]
		if one == nil || one.Cpu.Timestamp == 0 || one.Memory.Timestamp == 0 || one.Memory.WorkingSetBytes.Value == 0 {
			t.Fatalf("no figures of %s: %v", id, one)
		}
		again, err := runtime.ContainerStats(bounded(t), id)
		must(t, err)
		equal(t, "later", again.Cpu.Timestamp > one.Cpu.Timestamp, true)
		equal(t, "more", again.Cpu.UsageCoreNanoSeconds.Value >= one.Cpu.UsageCoreNanoSeconds.Value, true)
	}
	some := statsOf(t, &v1.ContainerStatsFilter{PodSandboxId: p.id, LabelSelector: map[string]string{"name": "b"}})
	equal(t, "count by label", len(some), 1)
	equal(t, "the one", some[started[1]] != nil, true)
}

func TestPodStats(t *testing.T) {
	p := runPod(t)
	id := p.start(t, "function")
	get(t, p.status(t).Network.Ip+":8080")
	stats, err := runtime.PodSandboxStats(bounded(t), p.id)
	must(t, err)
	equal(t, "containers", len(stats.Linux.Containers), 1)
	equal(t, "container", stats.Linux.Containers[0].Attributes.Id, id)
	equal(t, "received", stats.Linux.Network.DefaultInterface.RxBytes.Value > 0, true)
	list, err := runtime.ListPodSandboxStats(bounded(t), &v1.PodSandboxStatsFilter{Id: p.id})
	must(t, err)
	equal(t, "count", len(list), 1)
}

func TestMetrics(t *testing.T) {
	descriptors, err := runtime.ListMetricDescriptors(bounded(t))
	must(t, err)
	labels := map[string]int{}
	for _, one := range descriptors {
		if one.Name == "" || one.Help == "" || len(one.LabelKeys) == 0 {
			t.Fatalf("incomplete: %v", one)
		}
		labels[one.Name] = len(one.LabelKeys)
	}
	p := runPod(t)
	p.start(t, "function")
	pods, err := runtime.ListPodSandboxMetrics(bounded(t))
	must(t, err)
	seen := map[string]bool{}
	for _, one := range pods {
		if one.PodSandboxId != p.id {
			continue
		}
		for _, container := range one.ContainerMetrics {
			for _, metric := range container.Metrics {
				count, described := labels[metric.Name]
				equal(t, metric.Name+" is described", described, true)
				equal(t, "labels of "+metric.Name, len(metric.LabelValues), count)
				seen[metric.Name] = true
			}
		}
	}
	for _, name := range []string{"container_cpu_usage_seconds_total", "container_memory_working_set_bytes"} {
		equal(t, name+" is there", seen[name], true)
	}
}

func TestEvents(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	events := make(chan *v1.ContainerEventResponse, 1000)
	done := make(chan error, 1)
	go func() { done <- runtime.GetContainerEvents(ctx, events, nil) }()
	// The stream has no history, and its begin is not told: make pods until one is seen.
	eventually(t, "an event", func() bool {
		t.Run("pod", func(t *testing.T) { runPod(t) })
		return len(events) > 0
	})
	var types []v1.ContainerEventType
	t.Run("seen", func(t *testing.T) {
		p := runPod(t)
		id := p.start(t, "function")
		must(t, runtime.StopContainer(bounded(t), id, 10))
		must(t, runtime.RemoveContainer(bounded(t), id))
		eventually(t, "the container is deleted", func() bool {
			for len(events) > 0 {
				event := <-events
				equal(t, "pod_sandbox_status", event.PodSandboxStatus != nil, true)
				if event.ContainerId == id {
					types = append(types, event.ContainerEventType)
				}
			}
			return len(types) == 4
		})
	})
	cancel()
	if err := <-done; err == nil {
		t.Fatal("the stream ended by itself")
	}
	for i, want := range []v1.ContainerEventType{v1.ContainerEventType_CONTAINER_CREATED_EVENT,
		v1.ContainerEventType_CONTAINER_STARTED_EVENT, v1.ContainerEventType_CONTAINER_STOPPED_EVENT,
		v1.ContainerEventType_CONTAINER_DELETED_EVENT} {
		equal(t, "event", types[i], want)
	}
}
