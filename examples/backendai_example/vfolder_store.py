# Copyright The otel-backendai Authors
# SPDX-License-Identifier: Apache-2.0

"""The files of the storage-proxy: a temporary directory of bounded size."""

import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MAX_FILES = 100


class VFolderStore:
    """Files by folder and path; the oldest is deleted when there are too many."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files: OrderedDict[tuple[str, str], Path] = OrderedDict()
        self._written = 0

    def new_file(self) -> Path:
        """A path below the root that nothing uses yet. Names of clients never become names of files."""
        self._written += 1
        return self._root / f"{self._written:08d}"

    def keep(self, folder: str, path: str, file: Path) -> None:
        """Make a written file the content of `path`, in place of what was there."""
        self.delete(folder, path)
        self._files[folder, path] = file
        while len(self._files) > MAX_FILES:
            _, oldest = self._files.popitem(last=False)
            oldest.unlink(missing_ok=True)

    def delete(self, folder: str, path: str) -> bool:
        """Delete a file; tells whether there was one."""
        file = self._files.pop((folder, path), None)
        if file is None:
            return False
        file.unlink(missing_ok=True)
        return True


@contextmanager
def temporary_store() -> Iterator[VFolderStore]:
    """A store whose directory is gone when the context closes."""
    with tempfile.TemporaryDirectory(prefix="backendai-example-") as directory:
        yield VFolderStore(Path(directory))
