"""Asks a container runtime as the kubelet does, over CRI (gRPC), without generated code.

    cri.py SOCKET run-pod JSON           prints the sandbox's id
    cri.py SOCKET run-container JSON     creates and starts it, prints its id
    cri.py SOCKET exec ID COMMAND...     runs a command in it to its end
    cri.py SOCKET remove-pod ID
"""
import json
import sys

import grpc

POD, NODE = 0, 2


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


def field(number, value):
    """A field of a message: text, bytes, a list of them, a map, or a number."""
    if isinstance(value, list):
        return b"".join(field(number, one) for one in value)
    if isinstance(value, dict):
        return b"".join(field(number, field(1, k) + field(2, v)) for k, v in value.items())
    if isinstance(value, int):
        return varint(number << 3) + varint(value) if value else b""
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def first_text(message):
    """The text of field 1, which is all that these answers begin with."""
    assert message[0] == 0x0A, message
    return message[2 : 2 + message[1]].decode()


def pod(spec):
    metadata = field(1, spec["name"]) + field(2, spec["uid"]) + field(3, spec["namespace"])
    namespaces = field(1, NODE) + field(2, POD)
    linux = field(1, spec["cgroup_parent"]) + field(2, field(1, namespaces))
    return (
        field(1, metadata)
        + field(3, spec["log_directory"])
        + field(6, spec["labels"])
        + field(7, spec["annotations"])
        + field(8, linux)
    )


def container(spec):
    namespaces = field(1, NODE) + field(2, 1)
    return (
        field(1, field(1, spec["name"]) + field(2, spec["attempt"]))
        + field(2, field(1, spec["image"]))
        + field(3, spec["command"])
        + field(9, spec["labels"])
        + field(10, spec["annotations"])
        + field(11, spec["log_path"])
        + field(15, field(2, field(3, namespaces)))
    )


def main():
    socket, verb, *arguments = sys.argv[1:]
    channel = grpc.insecure_channel("unix://" + socket)

    def call(name, request):
        whole = "/runtime.v1.RuntimeService/" + name
        return channel.unary_unary(whole)(request, timeout=60)

    if verb == "run-pod":
        spec = json.loads(arguments[0])
        print(first_text(call("RunPodSandbox", field(1, pod(spec)))))
    elif verb == "run-container":
        spec = json.loads(arguments[0])
        request = field(1, spec["sandbox"]) + field(2, container(spec)) + field(3, pod(spec["pod"]))
        made = first_text(call("CreateContainer", request))
        call("StartContainer", field(1, made))
        print(made)
    elif verb == "exec":
        call("ExecSync", field(1, arguments[0]) + field(2, arguments[1:]) + field(3, 30))
    elif verb == "remove-pod":
        call("StopPodSandbox", field(1, arguments[0]))
        call("RemovePodSandbox", field(1, arguments[0]))
    else:
        sys.exit(__doc__)


main()
