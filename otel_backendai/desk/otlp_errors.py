# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""What can be wrong with an export request: one exception, and the ways to make it."""

# Of the decoded body. The Collector's default for a whole OTLP/HTTP request is 20 MiB; exporters that batch large log
# bodies exceed it, and a desk serves one person.
MAX_BODY = 64 * 1024 * 1024

# Fields of a binary body; in JSON commas and brackets, which are some more. A batch of 10,000 spans has half of it. A
# body of empty messages, two bytes each, would take hundreds of times its size, and the loop for as long.
MAX_FIELDS = 2_000_000
# Of a gzip body: files of several members are rare, thousands of empty ones an attack.
MAX_MEMBERS = 1_000


class OtlpError(Exception):
    """An export request that cannot be accepted.

    Its text goes to the sender and never repeats what was sent. ``http_status`` is the answer's status and
    ``grpc_code`` the code in its google.rpc.Status.
    """

    def __init__(self, message: str, http_status: int, grpc_code: int) -> None:
        super().__init__(message)
        self.http_status = http_status
        self.grpc_code = grpc_code


def bad_request(message: str) -> OtlpError:
    """400, INVALID_ARGUMENT: not to be sent again."""
    return OtlpError(message, 400, 3)


def too_large(max_size: int) -> OtlpError:
    """413, RESOURCE_EXHAUSTED."""
    return OtlpError(f"the body exceeds {max_size} bytes", 413, 8)


def too_many() -> OtlpError:
    """413, RESOURCE_EXHAUSTED."""
    return OtlpError(f"the body has more than {MAX_FIELDS} fields", 413, 8)


def unsupported(message: str) -> OtlpError:
    """415, UNIMPLEMENTED: an encoding that is not read here."""
    return OtlpError(message, 415, 12)
