"""DER as a tree that a test can change and write again: a second reader, plain and slow, and a source of damage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from hypothesis import strategies as st

CONSTRUCTED = 0x20


@dataclass(frozen=True, slots=True)
class Node:
    """One value: its identifier octets and either its content or the values in it."""

    tag: bytes
    content: bytes = b""
    children: tuple[Node, ...] | None = None

    def encode(self) -> bytes:
        content = self.content if self.children is None else b"".join(one.encode() for one in self.children)
        return self.tag + encode_length(len(content)) + content

    def child(self, tag: int) -> Node | None:
        """The first child with this one-octet tag."""
        return next((one for one in self.children or () if one.tag == bytes([tag])), None)


def encode_length(size: int) -> bytes:
    if size < 0x80:
        return bytes([size])
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(octets)]) + octets


def split_tlv(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Tag, content and what follows. Raises ValueError for what is no definite length or does not fit."""
    end = 1
    if data[:1] and data[0] & 0x1F == 0x1F:
        while end < len(data) and data[end] & 0x80:
            end += 1
        end += 1
    if end >= len(data) or data[end] == 0x80:
        raise ValueError("no definite length")
    start = end + 1 + (data[end] & 0x7F if data[end] & 0x80 else 0)
    size = int.from_bytes(data[end + 1 : start], "big") if data[end] & 0x80 else data[end]
    if len(data) < start + size:
        raise ValueError("truncated")
    return data[:end], data[start : start + size], data[start + size :]


def read_nodes(data: bytes) -> tuple[Node, ...]:
    """The values that `data` is. Raises ValueError."""
    nodes = []
    while data:
        tag, content, data = split_tlv(data)
        nodes.append(Node(tag, content, read_children(content) if tag[0] & CONSTRUCTED else None))
    return tuple(nodes)


def read_children(content: bytes) -> tuple[Node, ...] | None:
    """None for content that nobody has looked into, such as a requestorName's: it need not be DER."""
    try:
        return read_nodes(content)
    except ValueError:
        return None


def read_tree(data: bytes) -> Node:
    """The one value that `data` is. Raises ValueError."""
    (node,) = read_nodes(data)
    return node


# Damage.

Path = tuple[int, ...]
Draw = st.DrawFn


def paths(node: Node, here: Path = ()) -> list[Path]:
    """Where every value of a tree is, itself first."""
    below = [path for index, one in enumerate(node.children or ()) for path in paths(one, (*here, index))]
    return [here, *below]


def at(node: Node, path: Path) -> Node:
    for index in path:
        node = (node.children or ())[index]
    return node


def put(node: Node, path: Path, new: Sequence[Node]) -> Node:
    """The tree with the value at `path` (not the root) replaced by `new`, which may be none or several."""
    children = list(node.children or ())
    if len(path) == 1:
        children[path[0] : path[0] + 1] = new
    else:
        children[path[0]] = put(children[path[0]], path[1:], new)
    return replace(node, children=tuple(children))


TAGS = [
    0x01,
    0x02,
    0x03,
    0x04,
    0x05,
    0x06,
    0x0A,
    0x0C,
    0x16,
    0x17,
    0x18,
    0x30,
    0x31,
    0x80,
    0x81,
    0x82,
    0x86,
    0xA0,
]
TAGS += [0xA1, 0xA2, 0xA4]
CONTENTS = [
    "",
    "00",
    "01",
    "ff",
    "80",
    "0080",
    "0005",
    "ff85",
    "55" * 20,
    "55" * 21,
    "11" * 32,
    "11" * 33,
    "0500",
]
CONTENTS += [
    "2a0304",
    "2b0e03021a",
    "608648016503040201",
    "2a8001",
    "551d15",
    "551d14",
    "551d1c",
    "551d23",
    "551d18",
]
CONTENTS += ["2b0601050507300102", "2b0601050507300104", b"20491231235959Z".hex(), "0a0100", "0a0107"]
CONTENTS += [
    text.encode().hex() for text in ("491231235959Z", "500101000000Z", "20500101000000Z", "20261301000000Z")
]

tags = st.sampled_from([bytes([tag]) for tag in TAGS] + [b"\x1f\x22", b"\xbf\x81\x00"])
contents = st.sampled_from([bytes.fromhex(one) for one in CONTENTS]) | st.binary(max_size=40)
new_nodes = st.builds(Node, tags, contents)


def change_content(draw: Draw, node: Node) -> list[Node]:
    return [Node(node.tag, draw(contents))]


def change_tag(draw: Draw, node: Node) -> list[Node]:
    return [replace(node, tag=draw(tags))]


def remove_node(draw: Draw, node: Node) -> list[Node]:
    return []


def repeat(draw: Draw, node: Node) -> list[Node]:
    return [node, node]


def follow(draw: Draw, node: Node) -> list[Node]:
    return [node, draw(new_nodes)]


def precede(draw: Draw, node: Node) -> list[Node]:
    return [draw(new_nodes), node]


def wrap(draw: Draw, node: Node) -> list[Node]:
    return [Node(draw(tags), b"", (node,))]


def unwrap(draw: Draw, node: Node) -> list[Node]:
    return list(node.children or ())


NODE_CHANGES = [change_content, change_tag, remove_node, repeat, follow, precede, wrap, unwrap]


def change_tree(draw: Draw, data: bytes) -> bytes:
    """One value changed, and every length around it right again; what is no tree stays as it is."""
    try:
        tree = read_tree(data)
    except ValueError:
        return data
    places = paths(tree)[1:]
    if not places:
        return data
    path = draw(st.sampled_from(places))
    return put(tree, path, draw(st.sampled_from(NODE_CHANGES))(draw, at(tree, path))).encode()


def flip_bit(draw: Draw, data: bytes) -> bytes:
    position = draw(st.integers(0, 8 * len(data) - 1))
    octets = bytearray(data)
    octets[position // 8] ^= 1 << position % 8
    return bytes(octets)


def cut(draw: Draw, data: bytes) -> bytes:
    return data[: draw(st.integers(0, len(data)))]


def insert(draw: Draw, data: bytes) -> bytes:
    position = draw(st.integers(0, len(data)))
    return data[:position] + draw(st.binary(min_size=1, max_size=4)) + data[position:]


def remove(draw: Draw, data: bytes) -> bytes:
    position = draw(st.integers(0, len(data) - 1))
    return data[:position] + data[position + draw(st.integers(1, 4)) :]


def change_length(draw: Draw, data: bytes) -> bytes:
    """The length of one value changed, or spelled in another way, and nothing else."""
    starts = [index for index, octet in enumerate(data[:-1]) if octet in TAGS]
    if not starts:
        return data
    position = draw(st.sampled_from(starts)) + 1
    size = data[position]
    spelled = [
        [size ^ 1],
        [(size + 1) & 0xFF],
        [0x80],
        [0x81, size],
        [0x82, 0, size],
        [0x84, 0xFF, 0xFF, 0xFF, 0xFF],
    ]
    return data[:position] + bytes(draw(st.sampled_from(spelled))) + data[position + 1 :]


OCTET_CHANGES: list[Callable[[Draw, bytes], bytes]] = [flip_bit, cut, insert, remove, change_length]


@st.composite
def damaged(draw: Draw, originals: Sequence[bytes]) -> bytes:
    """One of the originals after one to three changes, more of them to values than to octets."""
    data = draw(st.sampled_from(originals))
    for _ in range(draw(st.integers(1, 3))):
        change = draw(st.sampled_from([change_tree, change_tree, *OCTET_CHANGES]))
        data = change(draw, data) if data else data
    return data
