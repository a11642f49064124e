"""The list of methods that gRPC must not repeat by itself is the contracts' own."""

from __future__ import annotations

import importlib
import pkgutil

from google.protobuf.descriptor import FileDescriptor

import petitbleu
from petitbleu_kit.rpc import REQUEST_STREAMS


def test_every_method_that_takes_a_stream_is_named() -> None:
    found = []
    for module in pkgutil.walk_packages(petitbleu.__path__, "petitbleu."):
        if not module.name.endswith("_pb2"):
            continue
        file: FileDescriptor = importlib.import_module(module.name).DESCRIPTOR
        found += [
            (service.full_name, method.name)
            for service in file.services_by_name.values()
            for method in service.methods
            if method.client_streaming
        ]
    assert len(found) >= 4
    assert sorted(found) == sorted(REQUEST_STREAMS)
