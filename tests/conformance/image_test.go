package conformance

import (
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// image is the full name of an image that run.py has put into the registry.
func image(name string) string {
	return registry + "/conformance/" + name
}

// pull brings an image unless it is there, as the kubelet does, and gives its id.
func pull(t *testing.T, name string) string {
	t.Helper()
	if found := imageStatus(t, name); found != nil {
		return found.Id
	}
	id, err := images.PullImage(bounded(t), &v1.ImageSpec{Image: name}, nil, podConfig(t))
	must(t, err)
	return id
}

func imageStatus(t *testing.T, name string) *v1.Image {
	t.Helper()
	answer, err := images.ImageStatus(bounded(t), &v1.ImageSpec{Image: name}, false)
	must(t, err)
	return answer.Image
}

func remove(t *testing.T, name string) {
	t.Helper()
	must(t, images.RemoveImage(bounded(t), &v1.ImageSpec{Image: name}))
}

func listImages(t *testing.T) []*v1.Image {
	t.Helper()
	found, err := images.ListImages(bounded(t), nil)
	must(t, err)
	return found
}

func withTag(t *testing.T, tag string) []*v1.Image {
	t.Helper()
	return slices.DeleteFunc(listImages(t), func(one *v1.Image) bool { return !slices.Contains(one.RepoTags, tag) })
}

func TestImageComesAndGoes(t *testing.T) {
	for name, tag := range map[string]string{"one:tag": "one:tag", "one": "one:latest"} {
		remove(t, image(name))
		id := pull(t, image(name))
		found := imageStatus(t, image(name))
		equal(t, "id", found.Id, id)
		equal(t, "count with tag", len(withTag(t, image(tag))), 1)
		for _, reference := range []string{id, strings.TrimPrefix(id, "sha256:"), found.RepoDigests[0]} {
			equal(t, "id of "+reference, imageStatus(t, reference).GetId(), id)
		}
		remove(t, image(name))
		equal(t, "gone", imageStatus(t, image(name)) == nil, true)
		equal(t, "gone by id", imageStatus(t, id) == nil, true)
		remove(t, id) // again
	}
}

func TestImageByDigest(t *testing.T) {
	pull(t, image("two:tag"))
	name := imageStatus(t, image("two:tag")).RepoDigests[0]
	remove(t, image("two:tag"))
	id := pull(t, name)
	found := imageStatus(t, name)
	equal(t, "id", found.Id, id)
	equal(t, "tags", len(found.RepoTags), 0)
	equal(t, "digests", slices.Contains(found.RepoDigests, name), true)
	remove(t, name)
	equal(t, "gone", imageStatus(t, name) == nil, true)
}

func TestThreeImages(t *testing.T) {
	ids := map[string]bool{}
	for _, name := range []string{"one:tag", "two:tag", "three:tag"} {
		ids[pull(t, image(name))] = true
		equal(t, "count with tag", len(withTag(t, image(name))), 1)
	}
	equal(t, "ids", len(ids), 3)
}

func TestThreeTagsOfOneImage(t *testing.T) {
	tags := []string{image("same:1"), image("same:2"), image("same:3")}
	ids := map[string]bool{}
	for _, tag := range tags {
		ids[pull(t, tag)] = true
	}
	equal(t, "ids", len(ids), 1)
	got := slices.Sorted(slices.Values(imageStatus(t, tags[0]).RepoTags))
	equal(t, "tags", slices.Equal(got, tags), true)
	remove(t, tags[1]) // takes all of them
	for _, tag := range tags {
		equal(t, "gone", imageStatus(t, tag) == nil, true)
	}
}

func TestImageUsers(t *testing.T) {
	equal(t, "id", pull(t, image("uid:1")) != "", true)
	found := imageStatus(t, image("uid:1"))
	equal(t, "uid", found.Uid.GetValue(), 1002)
	equal(t, "username", found.Username, "")
	pull(t, image("username:1"))
	found = imageStatus(t, image("username:1"))
	equal(t, "username", found.Username, "www-data")
	equal(t, "uid", found.Uid == nil, true)
}

func TestOneIdentifierEverywhere(t *testing.T) {
	id := runPod(t).start(t, "function")
	image := imageStatus(t, image("function:1"))
	got := containerStatus(t, id)
	equal(t, "image_id of the status", got.ImageId, image.Id)
	listed := listContainers(t, &v1.ContainerFilter{Id: id})[0]
	equal(t, "image_id of the list", listed.ImageId, image.Id)
	equal(t, "size", image.Size > 0, true)
	usage, err := images.ImageFsInfo(bounded(t))
	must(t, err)
	equal(t, "bytes", usage.ImageFilesystems[0].UsedBytes.Value > 0, true)
}
