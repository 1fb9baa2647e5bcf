package conformance

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	remote "k8s.io/cri-client/pkg"
	utilexec "k8s.io/utils/exec"
)

// execOutput runs a program that has to succeed without a word on standard error.
func execOutput(t *testing.T, id string, words ...string) string {
	t.Helper()
	out, errors, err := runtime.ExecSync(bounded(t), id, words, patience)
	must(t, err)
	equal(t, "standard error", string(errors), "")
	return string(out)
}

func owner(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	stat := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%d:%d", stat.Uid, stat.Gid)
}

func TestExecSync(t *testing.T) {
	id := runPod(t).start(t, "function")
	equal(t, "output", execOutput(t, id, "echo", "-n", "hello"), "hello")
	out, errs, err := runtime.ExecSync(bounded(t), id, []string{"sh", "-c", "echo out; echo err >&2; exit 3"}, patience)
	var exit utilexec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("no exit code: %v", err)
	}
	equal(t, "exit code", exit.ExitStatus(), 3)
	equal(t, "standard output", string(out), "out\n")
	equal(t, "standard error", string(errs), "err\n")
}

func TestExecSyncTimesOut(t *testing.T) {
	id := runPod(t).start(t, "function")
	ctx := bounded(t)
	const most = 8 // programs at a time in a container: the next one shows that they are gone
	ends := make(chan error, most)
	for range most {
		go func() {
			_, _, err := runtime.ExecSync(ctx, id, []string{"sleep", "4321"}, time.Second)
			ends <- err
		}()
	}
	for range most {
		if err := <-ends; !errors.Is(err, remote.ErrCommandTimedOut) {
			t.Fatalf("it did not time out: %v", err)
		}
	}
	equal(t, "output", execOutput(t, id, "echo", "next"), "next\n")
}

func TestExecSyncWantsARunningContainer(t *testing.T) {
	id := runPod(t).create(t, "function")
	if _, _, err := runtime.ExecSync(bounded(t), id, []string{"true"}, patience); err == nil {
		t.Fatal("a program ran in a container that does not")
	}
}
