# What holdfast uses of msgpack, which ships no types.
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

class ExtType(NamedTuple):
    code: int
    data: bytes

class UnpackException(Exception): ...

def packb(
    o: object,
    *,
    default: Callable[[Any], object] | None = ...,
    use_bin_type: bool = ...,
    datetime: bool = ...,
    unicode_errors: str | None = ...,
) -> bytes: ...
def unpackb(
    packed: bytes,
    *,
    raw: bool = ...,
    timestamp: Literal[0, 1, 2, 3] = ...,
    strict_map_key: bool = ...,
    unicode_errors: str | None = ...,
    ext_hook: Callable[[int, bytes], object] = ...,
    **more: Any,
) -> object: ...

class Unpacker:
    def __init__(self, *, max_buffer_size: int = ..., **more: Any) -> None: ...
    def feed(self, next_bytes: bytes) -> None: ...
    def read_map_header(self) -> int: ...
    def skip(self) -> None: ...
    def unpack(self) -> Any: ...
    def tell(self) -> int: ...
