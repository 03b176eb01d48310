# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""How an ID of a session, a kernel or a vfolder may be spelled by whoever asks, and how spans spell it."""

import re
from collections.abc import Sequence
from uuid import UUID

# The owner of a vfolder, in front of its ID.
_QUOTA_SCOPE = re.compile(r"(?:user|project):[^/]+/")


def entity_spellings(identifier: str) -> Sequence[str]:
    """What to search for, the text as it is first.

    Spans have UUIDs in lower case with dashes. Backend.AI's API and command line give a vfolder's without them, and
    the log lines and tokens of the storage-proxy as ``user:OWNER/FOLDER``.
    """
    try:
        usual = str(UUID(hex=_QUOTA_SCOPE.sub("", identifier, count=1)))
    except ValueError:
        return (identifier,)
    return tuple(dict.fromkeys((identifier, usual)))
