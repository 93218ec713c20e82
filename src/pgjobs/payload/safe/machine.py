"""A pickle's machine with its dangerous parts left open: `unpickle` decides what they may do.

Here is what needs no list: numbers, text, tuples and containers are made; items go only into what this payload has made
itself; and opcodes that `pickle` does not write in protocol 5 are refused.
"""

from __future__ import annotations

import io
import pickle
from abc import abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar

from pgjobs.core.errors import NotAllowedError, PayloadError
from pgjobs.payload.safe.lookup import home_of

_DEEPEST = 200  # tuples in one another: the hash of a deeper one could overflow the stack
_HEAVIEST = 1_000_000  # items that hashing a tuple visits, nested ones each time they occur
_AS_THEY_ARE = (
    *(pickle.PROTO, pickle.FRAME, pickle.STOP, pickle.MARK, pickle.POP, pickle.POP_MARK),
    *(pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.BINFLOAT),
    *(pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.LONG1, pickle.LONG4),
    *(pickle.SHORT_BINUNICODE, pickle.BINUNICODE, pickle.BINUNICODE8),
    *(pickle.SHORT_BINBYTES, pickle.BINBYTES, pickle.BINBYTES8),
    *(pickle.EMPTY_TUPLE, pickle.FROZENSET),
    *(pickle.MEMOIZE, pickle.BINGET, pickle.LONG_BINGET, pickle.STACK_GLOBAL),
)


# `pickle._Unpickler` is the same as `pickle.Unpickler`, in Python. It is private, but the other one, in C, does not
# allow checking BUILD, items that are set, or calls. What is used of it here is reading (frames and scalars),
# the stack, and `dispatch`, which are the same in Python 3.11 to 3.14; the tests would see if they were not.
class Machine(pickle._Unpickler):
    """Reads one payload. Every call and every change goes through one of the abstract methods at the end."""

    # What typeshed does not know of it.
    stack: list[Any]
    append: Callable[[Any], None]
    read: Callable[[int], bytes]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, payload: bytes) -> None:
        super().__init__(io.BytesIO(payload))
        self._size = len(payload)
        # By identity, and with the objects themselves, so that none of them ends and leaves its id to another one.
        self._made: dict[int, object] = {}
        self._nested: dict[int, tuple[object, int, int]] = {}  # tuples with tuples in them: depth and weight

    def own(self, made: Any) -> Any:
        """Note that this payload has made it: it may be changed."""
        self._made[id(made)] = made
        return made

    def check_own(self, target: Any, kind: Any = object) -> None:
        """Refuse to change an object that this payload has not made, or that is not of this type."""
        if id(target) not in self._made or not issubclass(type(target), kind):
            raise NotAllowedError(
                f"the payload wants to change a {home_of(type(target))} that it has not made, or that others may have."
            )

    # -- tuples ------------------------------------------------------------------------------------------------------

    def measure(self, made: tuple[Any, ...]) -> None:
        """Refuse a tuple whose hash, which looks at all that is in it, would overflow the stack, or never end."""
        depth, weight, nested = 1, len(made), False
        for item in tuple.__iter__(made):
            if isinstance(item, tuple):
                nested = True
                _, below, more = self._nested.get(id(item), (None, 1, len(item)))
                depth, weight = max(depth, below + 1), weight + more
        if depth > _DEEPEST or weight > _HEAVIEST:
            raise PayloadError("the payload cannot be loaded: its tuples are too deep in one another.")
        if nested:
            self._nested[id(made)] = (made, depth, weight)

    def _tuple(self) -> None:
        made = tuple(self.pop_mark())
        self.measure(made)
        self.append(made)

    def _tuple_of(self, count: int) -> None:
        made = tuple(self.stack[-count:])
        if len(made) < count:
            raise IndexError("pop from empty list")
        self.measure(made)
        self.stack[-count:] = [made]

    # -- containers --------------------------------------------------------------------------------------------------

    def _bytearray(self) -> None:
        size = int.from_bytes(self.read(8), "little")
        if size > self._size:
            raise pickle.UnpicklingError("a bytearray is longer than the payload")
        self.append(bytearray(self.read(size)))

    def _append(self) -> None:
        item = self.stack.pop()
        self._extend([item])

    def _extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        self.check_own(target, list | deque)
        type(target).extend(target, items)

    def _set_item(self) -> None:
        value = self.stack.pop()
        key = self.stack.pop()
        self._set_items([key, value])

    def _set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        self.check_own(target, dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[key] = value

    def _add_items(self) -> None:
        items = self.pop_mark()
        target = self.stack[-1]
        self.check_own(target, set)
        set.update(target, items)  # `pickle` adds to none but sets themselves

    # -- what has to be decided --------------------------------------------------------------------------------------

    def _reduce(self) -> None:
        args = self.stack.pop()
        self.stack[-1] = self.call(self.stack[-1], args)

    def _new_object(self) -> None:
        args = self.stack.pop()
        self.stack[-1] = self.new(self.stack[-1], args, {})

    def _new_object_ex(self) -> None:
        kwargs = self.stack.pop()
        args = self.stack.pop()
        self.stack[-1] = self.new(self.stack[-1], args, kwargs)

    def _build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        self.check_own(target)
        self.set_state(target, state)

    def _refuse(self) -> None:
        raise NotAllowedError("the payload has an opcode that pickle does not write in protocol 5.")

    @abstractmethod
    def call(self, function: Any, args: Any) -> Any:
        """Call what the payload wants to be called, or refuse it."""

    @abstractmethod
    def new(self, kind: Any, args: Any, kwargs: Any) -> Any:
        """Make an object without its `__init__`, or refuse it."""

    @abstractmethod
    def set_state(self, target: Any, state: Any) -> None:
        """Restore an object's state, or refuse to; this payload has made the object."""

    # For each of the 256 bytes.
    dispatch: ClassVar[Any] = (
        dict.fromkeys(range(256), _refuse)
        | {opcode[0]: pickle._Unpickler.dispatch[opcode[0]] for opcode in _AS_THEY_ARE}
        | {
            pickle.REDUCE[0]: _reduce,
            pickle.NEWOBJ[0]: _new_object,
            pickle.NEWOBJ_EX[0]: _new_object_ex,
            pickle.BUILD[0]: _build,
            pickle.EMPTY_LIST[0]: lambda self: self.append(self.own([])),
            pickle.EMPTY_DICT[0]: lambda self: self.append(self.own({})),
            pickle.EMPTY_SET[0]: lambda self: self.append(self.own(set())),
            pickle.BYTEARRAY8[0]: _bytearray,
            pickle.TUPLE[0]: _tuple,
            pickle.TUPLE1[0]: lambda self: self._tuple_of(1),
            pickle.TUPLE2[0]: lambda self: self._tuple_of(2),
            pickle.TUPLE3[0]: lambda self: self._tuple_of(3),
            pickle.APPEND[0]: _append,
            pickle.APPENDS[0]: lambda self: self._extend(self.pop_mark()),
            pickle.SETITEM[0]: _set_item,
            pickle.SETITEMS[0]: lambda self: self._set_items(self.pop_mark()),
            pickle.ADDITEMS[0]: _add_items,
        }
    )
