package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	utilexec "k8s.io/client-go/util/exec"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// transports are the two that kubectl and the kubelet have.
var transports = map[string]func(*url.URL) (remotecommand.Executor, error){
	"SPDY": func(u *url.URL) (remotecommand.Executor, error) {
		return remotecommand.NewSPDYExecutor(&rest.Config{}, http.MethodPost, u)
	},
	"WebSocket": func(u *url.URL) (remotecommand.Executor, error) {
		return remotecommand.NewWebSocketExecutor(&rest.Config{}, http.MethodGet, u.String())
	},
}

func parsed(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	must(t, err)
	return u
}

func stream(t *testing.T, transport, address string, options remotecommand.StreamOptions) error {
	t.Helper()
	executor, err := transports[transport](parsed(t, address))
	must(t, err)
	return executor.StreamWithContext(bounded(t), options)
}

func execURL(t *testing.T, request *v1.ExecRequest) string {
	t.Helper()
	answer, err := runtime.Exec(bounded(t), request)
	must(t, err)
	return answer.Url
}

func TestExec(t *testing.T) {
	id := runPod(t).start(t, "function")
	for name := range transports {
		t.Run(name, func(t *testing.T) {
			var out, errs bytes.Buffer
			address := execURL(t, &v1.ExecRequest{ContainerId: id, Stdin: true, Stdout: true, Stderr: true,
				Cmd: []string{"python3", "-c", "import sys; print(sys.stdin.read()); sys.exit('gone')"}})
			err := stream(t, name, address, remotecommand.StreamOptions{
				Stdin: strings.NewReader("to the program"), Stdout: &out, Stderr: &errs})
			var exit utilexec.CodeExitError
			if !errors.As(err, &exit) {
				t.Fatalf("no exit code: %v", err)
			}
			equal(t, "exit code", exit.Code, 1)
			equal(t, "standard output", out.String(), "to the program\n")
			equal(t, "standard error", errs.String(), "gone\n")
			if err := stream(t, name, address, remotecommand.StreamOptions{Stdout: io.Discard}); err == nil {
				t.Fatal("the URL was good twice")
			}
		})
	}
}

// oneSize is a terminal that never changes.
type oneSize struct{ told bool }

func (s *oneSize) Next() *remotecommand.TerminalSize {
	if s.told {
		return nil
	}
	s.told = true
	return &remotecommand.TerminalSize{Width: 77, Height: 33}
}

func TestTerminal(t *testing.T) {
	id := runPod(t).start(t, "function")
	for name := range transports {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			address := execURL(t, &v1.ExecRequest{ContainerId: id, Cmd: []string{"sh"}, Tty: true, Stdin: true, Stdout: true})
			err := stream(t, name, address, remotecommand.StreamOptions{
				Stdin: strings.NewReader("echo $((6 * 7))\nexit\n"), Stdout: &out, Tty: true,
				TerminalSizeQueue: &oneSize{}})
			must(t, err)
			if !strings.Contains(out.String(), "echo $((6 * 7))") || !strings.Contains(out.String(), "\r\n42\r\n") {
				t.Fatalf("neither echo nor answer in %q", out.String())
			}
		})
	}
}

func TestAttach(t *testing.T) {
	for name := range transports {
		t.Run(name, func(t *testing.T) {
			p := runPod(t)
			id := p.start(t, "function")
			answer, err := runtime.Attach(bounded(t), &v1.AttachRequest{ContainerId: id, Stdout: true, Stderr: true})
			must(t, err)
			reader, writer := io.Pipe()
			done := make(chan error, 1)
			executor, err := transports[name](parsed(t, answer.Url))
			must(t, err)
			ctx := bounded(t)
			go func() {
				err := executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: writer, Stderr: io.Discard})
				writer.CloseWithError(err)
				done <- err
			}()
			heard := make(chan string, 1)
			go func() {
				line := make([]byte, len("called\n"))
				_, err := io.ReadFull(reader, line)
				heard <- fmt.Sprint(string(line), err)
				_, _ = io.Copy(io.Discard, reader)
			}()
			// When the client has arrived is not told: ask until it hears.
			var line string
			eventually(t, "the client hears the function", func() bool {
				get(t, p.status(t).Network.Ip+":8080")
				select {
				case line = <-heard:
					return true
				default:
					return false
				}
			})
			equal(t, "line", line, "called\n<nil>")
			must(t, runtime.StopContainer(bounded(t), id, 10))
			must(t, <-done)
		})
	}
}

func TestPortForward(t *testing.T) {
	dialers := map[string]func(*url.URL) (httpstream.Dialer, error){
		"SPDY": func(u *url.URL) (httpstream.Dialer, error) {
			transport, upgrader, err := spdy.RoundTripperFor(&rest.Config{})
			return spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, u), err
		},
		"WebSocket": func(u *url.URL) (httpstream.Dialer, error) {
			return portforward.NewSPDYOverWebsocketDialer(u, &rest.Config{})
		},
	}
	p := runPod(t)
	p.start(t, "function")
	for name, makeDialer := range dialers {
		t.Run(name, func(t *testing.T) {
			answer, err := runtime.PortForward(bounded(t), &v1.PortForwardRequest{PodSandboxId: p.id})
			must(t, err)
			dialer, err := makeDialer(parsed(t, answer.Url))
			must(t, err)
			stop, ready, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
			forwarder, err := portforward.New(dialer, []string{"0:8080"}, stop, ready, io.Discard, io.Discard)
			must(t, err)
			go func() { done <- forwarder.ForwardPorts() }()
			select {
			case <-ready:
			case err := <-done:
				t.Fatal(err)
			}
			ports, err := forwarder.GetPorts()
			must(t, err)
			for range 2 {
				equal(t, "answer", get(t, fmt.Sprintf("127.0.0.1:%d", ports[0].Local)), "hello from image")
			}
			close(stop)
			must(t, <-done)
		})
	}
}
