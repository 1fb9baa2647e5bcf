"""A client of the CRI: messages by protoc, calls by name."""

import os
import pathlib
import sys

import grpc

BUILD = pathlib.Path(os.environ["USETL_BUILD"])
sys.path.insert(0, str(BUILD / "python"))
import runtime_pb2 as cri  # noqa: E402

_SERVICES = {method.name: (service, method)
             for service in cri.DESCRIPTOR.services_by_name.values() for method in service.methods}


class Client:
    """`client.Version()`; `client.ListContainers(filter=...)`. Errors are grpc.RpcError."""

    def __init__(self, socket: str):
        self._channel = grpc.insecure_channel(f"unix://{socket}")

    def _stub(self, name: str):
        service, method = _SERVICES[name]
        request = getattr(cri, method.input_type.name)
        call = self._channel.unary_unary
        if method.server_streaming:
            call = self._channel.unary_stream
        return request, call(f"/{service.full_name}/{name}", request_serializer=request.SerializeToString,
                             response_deserializer=getattr(cri, method.output_type.name).FromString)

    def __getattr__(self, name: str):
        request, run = self._stub(name)

        def invoke(seconds: float = 60, **fields):
            return run(request(**fields), timeout=seconds)

        return invoke

    def begin(self, name: str, seconds: float = 60, **fields) -> "grpc.Future":
        """A call on its way, which can be cancelled."""
        request, run = self._stub(name)
        return run.future(request(**fields), timeout=seconds)

    def close(self) -> None:
        self._channel.close()


def pod_config(name: str, directory: str, **fields) -> "cri.PodSandboxConfig":
    fields.setdefault("metadata", cri.PodSandboxMetadata(name=name, namespace="default", uid=f"uid-{name}"))
    return cri.PodSandboxConfig(log_directory=f"{directory}/logs/{name}", hostname=name, **fields)


def container_config(name: str, image: str, **fields) -> "cri.ContainerConfig":
    fields.setdefault("metadata", cri.ContainerMetadata(name=name))
    return cri.ContainerConfig(image=cri.ImageSpec(image=image), log_path=f"{name}.log", **fields)
