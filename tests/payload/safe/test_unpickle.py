"""The allow-list under attack: pickles that no `pickle` wrote change, call and import nothing."""

from __future__ import annotations

import collections
import copyreg
import functools
import os
import pickle
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path, PosixPath
from typing import Any

import pytest

from pgjobs import configure
from pgjobs.core.allowlist import AllowList
from pgjobs.core.callables import unwrap
from pgjobs.core.errors import NotAllowedError, PayloadError
from pgjobs.jobs.job import options_of, task_name
from pgjobs.payload.pickling import dump, load
from tests.payload.safe import lazy, victims
from tests.payload.safe.assemble import (
    NONE,
    WORK,
    Code,
    blob,
    build,
    call,
    dict_of,
    name,
    new,
    number,
    payload,
    slots_of,
    text,
    tuple_of,
    victim,
)
from tests.support import functions

HERE = AllowList((WORK, "tests.payload.safe.victims"))
TASK = f"{WORK}:plain"
PARTIAL = name("functools", "partial")
INT = name("builtins", "int")
PATH = name("pathlib", "PosixPath")


def load_here(data: bytes, task: str = TASK) -> Any:
    return load(data, task, HERE)


def refuse(data: bytes, match: str = ".") -> None:
    with pytest.raises(PayloadError, match=match) as caught:
        load_here(data)
    assert "\n" not in str(caught.value)


# -- what may not be changed -----------------------------------------------------------------------------------------


def shared_state() -> list[object]:
    """Return all that attacks are after."""
    jobs: list[Any] = [functions.add, functions.send_receipt, victims.note, victims.told]
    return [
        [
            _attributes(kind)
            for kind in (functions.Mailer, victims.Config, victims.Color, victims.Single, victims.Point)
        ],
        [_attributes(kind) for kind in (PosixPath, Path, uuid.UUID, Fraction)],
        [(one.function, one.job_options, vars(one).copy()) for one in jobs],
        [
            functions.plain.__defaults__,
            functions.plain.__code__,
            functions.plain.__dict__.copy(),
            victims.Color.RED.__dict__.copy(),
        ],
        [dict(victims.HANDLERS), list(victims.NAMES), victims.plain_registry.copy(), victims.plain_names.copy()],
        [vars(victims.HANDLERS).copy(), vars(victims.CONFIG).copy(), vars(victims.Single()).copy()],
        [
            {key: id(value) for key, value in vars(module).items()}
            for module in (functions, victims, os, sys.modules["copyreg"])
        ],
        {key: value for key, value in os.environ.items() if key != "PYTEST_CURRENT_TEST"},
    ]


def _attributes(kind: type) -> dict[str, object]:
    return {key: value for key, value in vars(kind).items() if key != "__slotnames__"}  # of copyreg, when it pickles


@pytest.fixture(autouse=True)
def nothing_changes() -> Iterator[None]:
    before = shared_state()
    lazy.asked.clear()  # pytest has asked
    yield
    assert shared_state() == before
    assert not victims.ran
    assert not lazy.asked


SHARED = {
    "a class": name(WORK, "Mailer"),
    "a function": name(WORK, "plain"),
    "a job": name(WORK, "send_receipt"),
    "a copy of a job": call(name("pgjobs", "job_with_options"), name(WORK, "add"), b"}"),
    "a job of a permitted class": call(victim("OwnJob"), victim("identity")),
    "a bound job": call(name("builtins", "getattr"), new(name(WORK, "Mailer")), text("send_later")),
    "a method": call(name("builtins", "getattr"), new(name(WORK, "Mailer")), text("send")),
    "a value's class": PATH,
    "getattr itself": name("builtins", "getattr"),
    "a module's object": victim("CONFIG"),
    "a module's dict": victim("HANDLERS"),
    "an object of a function": call(victim("get_config")),
    "a class of a function": call(victim("get_type")),
    "a member of an Enum": call(victim("Color"), number(1)),
    "a member, new": new(victim("Color"), number(1)),
    "a member by name": call(name("builtins", "getattr"), victim("Color"), text("RED")),
    "a singleton": new(victim("Single")),
    "a singleton, called": call(victim("Single")),
    "a path": call(PATH, text("x")),
    "a date": call(name("datetime", "date"), blob(bytes([7, 234, 1, 1]))),
}


@pytest.mark.parametrize("target", SHARED.values(), ids=SHARED.keys())
@pytest.mark.parametrize(
    "state",
    [dict_of(host=text("x"), function=INT), slots_of(host=text("x")), slots_of(__defaults__=tuple_of(text("x")))],
    ids=["dict", "slots", "defaults"],
)
def test_no_attribute_is_set_of_what_the_payload_has_not_made(target: Code, state: Code) -> None:
    refuse(payload(build(target, state)), "wants to")


@pytest.mark.parametrize(
    "change",
    [text("charge") + INT + b"s", b"(" + text("charge") + INT + b"u", b"Na", b"(Ne", b"(N\x90"],
    ids=["SETITEM", "SETITEMS", "APPEND", "APPENDS", "ADDITEMS"],
)
@pytest.mark.parametrize(
    "target",
    [
        *(victim("HANDLERS"), victim("NAMES"), call(victim("get_registry")), call(victim("get_names"))),
        *(victim("CONFIG"), victim("Color"), INT),
    ],
    ids=["dict", "list", "dict of a function", "list of a function", "object", "Enum", "class"],
)
def test_no_item_is_set_of_what_the_payload_has_not_made(target: Code, change: Code) -> None:
    refuse(payload(target + change), "wants to change")


def test_no_inherited_add_or_append_is_called() -> None:
    inbox = call(victim("Inbox"))
    for change in (b"(" + text("x") + b"\x90", b"(" + text("x") + b"e", text("x") + b"a", text("x") + NONE + b"s"):
        refuse(payload(inbox + change), "wants to change")


@pytest.mark.parametrize("attribute", ["__class__", "__dict__", "__reduce_ex__", "__module__", "__setstate__"])
@pytest.mark.parametrize(
    "target", [new(victim("Config")), call(victim("OutOfStock"), number(1))], ids=["object", "exception"]
)
@pytest.mark.parametrize("state", [dict_of, slots_of], ids=["dict", "slots"])
def test_no_attribute_of_pythons_own_is_set(attribute: str, target: Code, state: Callable[..., Code]) -> None:
    value = victim("Order") if attribute == "__class__" else b"}"
    refuse(payload(build(target, state(**{attribute: value}))))


def test_the_names_of_a_state_are_not_hidden_in_another_kind_of_dict() -> None:
    hidden = new(victim("Registry")) + b"(" + text("__class__") + victim("Order") + b"u"
    for target in (new(victim("Config")), call(victim("OutOfStock"), number(1))):
        refuse(payload(build(target, hidden)))
    refuse(payload(build(new(victim("Config")), b"](" + tuple_of(text("__class__"), victim("Order")) + b"e")))


PUT, GET = b"\x94", b"h\x00"


@pytest.mark.parametrize(
    "state",
    [
        PUT + tuple_of(GET, tuple_of(), b"}", NONE),  # itself
        tuple_of(name("builtins", "str"), tuple_of(), b"}", NONE),
        tuple_of(INT, tuple_of(), b"}", dict_of(__reduce_ex__=INT)),
        tuple_of(INT, b"]", b"}", NONE),
        tuple_of(INT, tuple_of(), b"]", NONE),
        tuple_of(INT, tuple_of(), dict_of(x=NONE) + NONE + NONE + b"s", NONE),
        dict_of(func=INT),
    ],
    ids=["itself", "another", "attributes", "list", "no dict", "no names", "dict"],
)
def test_a_partial_gets_arguments_and_nothing_else(state: Code) -> None:
    refuse(payload(build(call(PARTIAL, INT), state)))


def test_a_uuid_gets_a_number_and_nothing_else() -> None:
    made = new(name("uuid", "UUID"))
    for state in (dict_of(int=text("x")), dict_of(int=number(-1)), dict_of(int=number(1), hex=text("x")), b"}"):
        refuse(payload(build(made, state)))
    assert load_here(payload(build(made, dict_of(int=number(5))))).args == (uuid.UUID(int=5),)


# -- what may not be called ------------------------------------------------------------------------------------------


CALLS: list[tuple[Code, list[Code]]] = [
    (name("builtins", "list"), [call(name("builtins", "range"), number(0), number(9), number(1))]),
    (INT, [call(name("decimal", "Decimal"), text("1e2000000"))]),
    (name("builtins", "str"), [blob(b"x"), text("idna")]),
    (name("builtins", "bytes"), [number(10**12)]),
    (name("builtins", "bytearray"), [number(10**12)]),
    (name("builtins", "slice"), [tuple_of(), NONE, NONE]),
    (name("collections", "deque"), [call(name("builtins", "range"), *map(number, (0, 9, 1)))]),
    (name("collections", "Counter"), [text("abc")]),
    (name("collections", "OrderedDict"), [b"}"]),
    (name("collections", "defaultdict"), [INT, b"}"]),
    (name("collections", "ChainMap"), [b"}"]),
    (name("fractions", "Fraction"), [text("1e400000")]),
    (name("fractions", "Fraction"), [b"\x8b" + (3000).to_bytes(4, "little") + b"\x01" * 3000, number(1)]),
    (name("ipaddress", "IPv4Address"), [b"}"]),
    (name("datetime", "datetime"), [blob(b"x" * 10), text("UTC")]),
    (name("pathlib", "PosixPath"), [new(victim("Config"))]),
    (name("uuid", "UUID"), [text("0" * 32)]),
    (name("uuid", "SafeUUID"), [text("X"), dict_of(a=number(1))]),
    (name("zoneinfo", "ZoneInfo"), [text("UTC")]),
    (call(name("builtins", "getattr"), name("zoneinfo", "ZoneInfo"), text("_unpickle")), [text("../x"), b"\x88"]),
    (name("zoneinfo", "ZoneInfo._unpickle"), [text("UTC"), b"\x88"]),
    (PARTIAL, [INT, number(1)]),
    (PARTIAL, [name("builtins", "getattr")]),
    (PARTIAL, [name("pgjobs", "job_with_options")]),
    (name("pgjobs", "job_with_options"), [new(victim("Config")), b"}"]),
    (name("pgjobs", "job_with_options"), [name(WORK, "add"), dict_of(payload=text("json"))]),
    (victim("note"), [text("x")]),  # a job, while it is loaded
    (call(PARTIAL, INT), [text("7")]),
    (new(name(WORK, "Mailer")), [text("x")]),
    (victim("Empty"), [text("X"), text("A B")]),
    (victim("Color"), [text("X"), text("A B")]),
    (victim("Meta"), [text("X"), tuple_of(), b"}"]),
    (text("x"), []),
    (name("builtins", "getattr"), [victim("Config"), text("__subclasses__")]),
    (name("builtins", "getattr"), [PATH, text("cwd")]),
    (name("builtins", "getattr"), [call(PATH, text("x")), text("write_text")]),
    (name("builtins", "getattr"), [name("builtins", "str"), text("format")]),
    (name("builtins", "getattr"), [name("builtins", "bytes"), text("fromhex")]),
    (name("builtins", "getattr"), [name("datetime", "datetime"), text("strptime")]),
    (name("builtins", "getattr"), [name("collections", "OrderedDict"), text("fromkeys")]),
    (name("builtins", "getattr"), [victim("HANDLERS"), text("update")]),
    (name("builtins", "getattr"), [victim("Single"), text("only")]),
    (name("builtins", "getattr"), [victim("Config"), b"]"]),
]


@pytest.mark.parametrize(("function", "args"), CALLS, ids=map(str, range(len(CALLS))))
def test_nothing_is_called_in_a_way_that_pickle_does_not(function: Code, args: list[Code]) -> None:
    refuse(payload(call(function, *args)))


@pytest.mark.parametrize(
    "kind",
    [
        *(INT, name("builtins", "list"), name("collections", "deque"), PATH, victim("Meta"), victim("identity")),
        *(text("x"), victim("CONFIG"), name("builtins", "getattr"), new(victim("Config"))),
    ],
    ids=["int", "list", "deque", "path", "metaclass", "function", "text", "object", "getattr", "made"],
)
def test_no_object_is_made_of_what_is_not_a_permitted_class(kind: Code) -> None:
    refuse(payload(new(kind)))
    refuse(payload(kind + b")}\x92"))


@pytest.mark.parametrize(
    "code",
    [INT, call(PARTIAL, name("builtins", "list")), name("builtins", "getattr"), call(PATH, text("x")), PARTIAL, b"N"],
    ids=["int", "partial", "getattr", "path", "partial itself", "None"],
)
def test_what_is_to_be_run_is_on_the_list(code: Code) -> None:
    refuse(payload(callable=code), "may not be used by this worker")


@pytest.mark.parametrize("whole", [b"N.", b")0).", b"N)}\x870N)N\x87.", b"N}}\x87."], ids=repr)
def test_a_pickle_of_something_else_is_refused(whole: bytes) -> None:
    refuse(b"\x80\x05" + whole)
    refuse(b"\x80\x05" + name(WORK, "plain") + b")}K\x01K\x01s\x87.", "name of an argument")


OTHERS = {
    "GLOBAL": b"cos\ngetcwd\n",
    "GLOBAL of its own": b"ctests.support.functions\nplain\n",
    "INST": b"(itests.payload.safe.victims\nConfig\n",
    "OBJ": b"(" + victim("Config") + b"o",
    "EXT1": b"\x82\xf0",
    "EXT2": b"\x83\xf0\x00",
    "EXT4": b"\x84\xf0\x00\x00\x00",
    "PERSID": b"Px\n",
    "BINPERSID": b"NQ",
    "NEXT_BUFFER": b"\x97",
    "READONLY_BUFFER": blob(b"x") + b"\x98",
    "PUT": b"Np0\n",
    "BINPUT": b"Nq\x00",
    "LONG_BINPUT": b"Nr\x00\x00\x00\x08",
    "LIST": b"(l",
    "DICT": b"(d",
    "DUP": b"N2",
    "INT": b"I1\n",
    "STRING": b"S'x'\n",
    "unknown": b"\xff",
}


@pytest.fixture
def extension() -> Iterator[None]:
    copyreg.add_extension("os", "getcwd", 0xF0)
    yield
    copyreg.remove_extension("os", "getcwd", 0xF0)
    copyreg._extension_cache.clear()  # type: ignore[attr-defined]  # typeshed does not know it


@pytest.mark.parametrize("code", OTHERS.values(), ids=OTHERS.keys())
@pytest.mark.usefixtures("extension")
def test_opcodes_that_pickle_does_not_write_are_refused(code: bytes) -> None:
    refuse(payload(code), "an opcode that pickle does not write")


@pytest.mark.parametrize("protocol", [b"", b"\x80\x02"], ids=["none", "2"])
def test_names_of_python_2_are_not_translated(protocol: bytes) -> None:
    data = protocol + name("__builtin__", "int") + b")}\x87."
    with pytest.raises(PayloadError, match="No module named '__builtin__'"):
        load(data, TASK, AllowList((WORK, "__builtin__")))


@pytest.mark.parametrize(
    "qualname", ["lazy", "dataclass", "Enum", "Any", "job", "Job", "annotations", "plain_registry"]
)
def test_what_a_module_has_imported_is_not_handed_out(qualname: str) -> None:
    refuse(payload(victim(qualname)), "is not defined there")


def test_what_is_not_permitted_is_not_even_asked_for_an_attribute() -> None:
    refuse(payload(call(name("builtins", "getattr"), call(victim("get_lazy")), text("anything"))), "may not be used")


def test_the_key_of_a_time_zone_is_not_a_module() -> None:
    unpickle = call(name("builtins", "getattr"), name("zoneinfo", "ZoneInfo"), text("_unpickle"))
    refuse(payload(call(unpickle, text("a.b/c"), b"\x88")), "in a way that pickle does not")


# -- what would take too much ----------------------------------------------------------------------------------------


def test_tuples_that_are_deep_in_one_another_are_refused() -> None:
    refuse(payload(b"})" + b"\x85" * 201 + b"Ns"), "too deep")
    assert load_here(payload(b"})" + b"\x85" * 150 + b"Ns"))
    refuse(payload(b")" + b"".join(b"\x94h" + bytes([i]) + b"\x86" for i in range(25))), "too deep")
    points = b"".join(b"\x94" + new(victim("Point"), b"h" + bytes([i]), NONE) + b"" for i in range(201))
    refuse(payload(NONE + points), "too deep")


def test_a_bytearray_is_no_longer_than_its_payload() -> None:
    refuse(payload(b"\x96" + (1 << 40).to_bytes(8, "little")), "longer than the payload")
    assert load_here(dump(functions.plain, (bytearray(b"abc"),), {})).args == (bytearray(b"abc"),)


def test_a_payload_above_the_limit_is_refused_where_it_is_read() -> None:
    data = dump(functions.plain, ("x" * 100,), {})
    configure(max_payload=50)
    refuse(data, r"bytes, and this worker takes 50: .* PGJOBS_MAX_PAYLOAD")
    with pytest.raises(PayloadError, match="this worker takes 50"):
        load(b'["' + b"x" * 50 + b'"]', "tests.payload.safe.victims:told")
    assert load(data).args == ("x" * 100,)  # it may run anything anyway


def test_a_partial_of_itself_is_not_an_endless_loop() -> None:
    circle = functools.partial(int)
    circle.__setstate__((circle, (), {}, None))  # type: ignore[attr-defined]  # typeshed does not know it
    assert options_of(circle).queue == "default"
    assert task_name(circle) == "functools:partial"
    assert unwrap(circle).function is circle


# -- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "qualname", ["lazy.anything", "lazy.asked.append", "Config.__init__.__globals__", "note.function"]
)
def test_a_name_does_not_lead_through_what_is_not_a_class_of_the_module(qualname: str) -> None:
    refuse(payload(victim(qualname)), "is not a class of that module|may not be used")
    for allow in (HERE, None):
        with pytest.raises(NotAllowedError):
            load(b"[]", f"tests.payload.safe.victims:{qualname}", allow)


def test_a_lazy_module_is_not_asked() -> None:
    allow = AllowList((WORK, "tests.payload.safe.*"))
    for qualname in ("anything", "anything.more"):
        with pytest.raises(PayloadError, match="has no attribute"):
            load(payload(name("tests.payload.safe.lazy", qualname)), TASK, allow)
        with pytest.raises(PayloadError, match="has no attribute"):
            load(b"[]", f"tests.payload.safe.lazy:{qualname}", allow)


def test_a_program_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "a_program"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    monkeypatch.syspath_prepend(str(tmp_path))
    allow = AllowList((WORK, "a_program.*", "a_program.__main__"))
    for refused in (payload(name("a_program.__main__", "x")), b"[]"):
        with pytest.raises(NotAllowedError, match="is a program"):
            load(refused, "a_program.__main__:x", allow)
    with pytest.raises(NotAllowedError, match="is a program"):
        load(b"[]", "a_program.__main__:x")
    assert not (tmp_path / "ran").exists()


# -- pickles where there should be none ------------------------------------------------------------------------------


def test_a_function_of_json_takes_no_pickle() -> None:
    for function in (victims.told, functools.partial(victims.told, 1)):
        data = pickle.dumps((function, (Fraction(1, 3),), {}), 5)
        with pytest.raises(NotAllowedError, match=r'victims:told has @job\(payload="json"\)'):
            load_here(data, "tests.payload.safe.victims:told")


def test_a_worker_may_take_no_pickles_at_all() -> None:
    data = dump(functions.plain, (1,), {})
    for allow in (None, HERE):
        with pytest.raises(NotAllowedError, match=r"is a pickle, and this worker takes none .*@job\(payload"):
            load(data, TASK, allow, pickles=False)
        assert load(b"[1]", "tests.payload.safe.victims:told", allow, pickles=False).args == (1,)


# -- what still works -------------------------------------------------------------------------------------------------


def _noted() -> victims.OutOfStock:
    error = victims.OutOfStock(3)
    error.add_note("soon")
    return error


# Before Python 3.11.4 two flags together are pickled as a call of `operator.or_`, which is not permitted.
BOTH = [both for both in [victims.Access.READ | victims.Access.WRITE] if b"or_" not in pickle.dumps(both)]
OWN = {
    "object": victims.Config("db"),
    "dataclass": victims.Order(3, [victims.Money(5), {"a": victims.Money(7, "CHF")}]),
    "slots": victims.Slotted(),
    "exception": _noted(),
    "named tuple": victims.Point(1, victims.Point(2, (3,))),
    "list": victims.Names(["a", "b"]),
    "dict": victims.Registry(a=1),
    "Enum": [victims.Color.RED, victims.Color.BLUE, victims.Access.READ, *BOTH],
    "a __new__ of its own": victims.Sku("abc", "here"),
    "a state of its own": victims.Stateful(),
    "a function": victims.Factory("x"),
    "a job with options": functions.add.options(delay=5, queue="q"),
    "a class": victims.Config,
    "partial": functools.partial(victims.identity, 1),
    "counted": collections.Counter("aab"),
    "deep": [[[[((1,),)]]], {"a": {"b": {1, 2}}}],
}


def _parts(value: Any) -> object:
    """Take apart what is not equal to its copy."""
    if isinstance(value, functools.partial):
        return value.func, value.args, value.keywords
    slots = [getattr(value, name) for name in getattr(type(value), "__slots__", ())]
    return type(value), getattr(value, "args", None), getattr(value, "__dict__", None), slots


@pytest.mark.parametrize("value", OWN.values(), ids=OWN.keys())
def test_permitted_objects_come_back_as_they_were(value: object) -> None:
    data = dump(functions.plain, (value,), {})
    expected = pickle.loads(data)[1][0]
    (back,) = load_here(data).args
    assert back == expected or _parts(back) == _parts(expected)
    assert getattr(back, "__dict__", None) == getattr(expected, "__dict__", None)


def test_objects_that_hold_themselves_come_back() -> None:
    order = victims.Order(1, [])
    order.lines += [order, order.lines]
    loop: dict[str, Any] = {}
    loop["me"] = (loop,)
    back, back_loop = load_here(dump(functions.plain, (order, loop), {})).args
    assert back.lines == [back, back.lines]
    assert back_loop["me"][0] is back_loop
    assert load_here(pickle.dumps((functions.plain, (bytearray(b"x"), datetime(2026, 1, 1, tzinfo=UTC)), {}), 4))


def test_others_may_still_hold_what_a_permitted_function_makes() -> None:
    made = build(call(victim("make_config"), text("x")), dict_of(host=text("db")))
    assert load_here(payload(made)).args[0].host == "db"


def test_a_payload_leaves_no_cycles_behind() -> None:
    import gc

    data = dump(functions.plain, (victims.Order(1, [(1, (2,))]), functools.partial(victims.identity, 1)), {})
    load_here(data)
    gc.collect()
    gc.disable()
    try:
        load_here(data)
        assert gc.collect() == 0
    finally:
        gc.enable()
