"""SHA-256 of many messages that lie side by side in an array, with no Python object for any of them.

Column-wise counterpart of `shared.adapters.crypto.hashing`, which hashes lists of bytes; needs the extra `archive`.
"""

from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from stringzilla import Sha256s, Strs

Hashes = NDArray[np.uint8]
"""32 bytes a row."""
_HASH: Final = 32
_NODE_PREFIX: Final = 1


def hash_rows(messages: NDArray[np.generic]) -> Hashes:
    """The hash of each element of a contiguous array of any element type: the element's bytes are the message."""
    count = len(messages)
    hashes = np.empty((count, _HASH), np.uint8)
    if count:
        ends = np.arange(count + 1, dtype=np.int64) * (messages.nbytes // count)
        data = [None, pa.py_buffer(ends), pa.py_buffer(messages)]
        Sha256s(count).update(Strs(pa.Array.from_buffers(pa.large_binary(), count, data))).digest(out=hashes)
    return hashes


def merkle_root(leaves: Hashes) -> bytes:
    """The root that `shared.domain.evidence.merkle.root` gives for these leaf hashes, at least one."""
    level = leaves
    while len(level) > 1:
        pairs = len(level) // 2
        nodes = np.empty((pairs, 1 + 2 * _HASH), np.uint8)
        nodes[:, 0] = _NODE_PREFIX
        nodes[:, 1:] = level[: 2 * pairs].reshape(pairs, 2 * _HASH)
        level = np.concatenate((hash_rows(nodes), level[2 * pairs :]))
    root: bytes = level[0].tobytes()
    return root
