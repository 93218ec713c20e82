"""`Workflow`: what users build, before anything is enqueued."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast, overload

from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.core.validate import as_int, as_str, has_type
from pgjobs.flow.keys import check_key
from pgjobs.flow.options import Unnumbered
from pgjobs.jobs.job import Job, options_of, task_name
from pgjobs.workflows.places import Place, as_shown, places_of, without_results

if TYPE_CHECKING:
    from pgjobs.flow.options import IfFailed
    from pgjobs.jobs.transaction import TransactionJob

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
MAX_NAME = 200
_NO_KEYWORDS: Mapping[str, Any] = {}


@dataclass(slots=True, eq=False)
class Node:
    """One call of `add` or `map`. `needs`: the nodes that it waits for, by their indexes.

    `items`: of a map over a list, else None. `is_map`: its first argument is what another step returns, and it
    has a job for each item of that.
    """

    flow: Workflow
    index: int
    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    shown: tuple[tuple[Any, ...], Mapping[str, Any]] | None
    places: list[Place]
    needs: list[int]
    if_failed: IfFailed
    items: list[Any] | None = None
    is_map: bool = False
    at_once: int | None = None


class AnyStep(Unnumbered):
    """What `add` and `map` return: to be waited for, `after=[step]`, or for its result."""

    __slots__ = ("_nodes",)

    def __init__(self, nodes: list[Node]) -> None:
        self._nodes = nodes

    @property
    def nodes(self) -> list[Node]:
        """The nodes that it stands for."""
        return self._nodes

    @property
    def name(self) -> str:
        """What it is called in listings."""
        return self._nodes[0].name if self._nodes else ""

    def __repr__(self) -> str:
        return f"<step {self.name}>"


class Step(AnyStep, Generic[R]):
    """A step of a workflow: one job. `step.result` stands for what it returns, as an argument of other steps."""

    __slots__ = ()

    @property
    def result(self) -> R:
        """Stands for what the step returns. A step with such an argument waits for it, and gets the value."""
        return cast("R", ResultOf(self._nodes[0], many=False))


class Steps(AnyStep, Generic[R]):
    """The steps of one `map`: a job for each item. `steps.results` stands for what they return, in their order."""

    __slots__ = ()

    @property
    def results(self) -> list[R]:
        """Stands for the list of what they return. A step with such an argument waits for all of them."""
        return cast("list[R]", ResultOf(self._nodes[0], many=True))


class Nested(AnyStep):
    """The steps of a workflow that was added to another one."""

    __slots__ = ()


class ResultOf:
    """Stands for a result among the arguments of a step."""

    __slots__ = ("many", "node")

    def __init__(self, node: Node, *, many: bool) -> None:
        self.node, self.many = node, many

    def __repr__(self) -> str:
        return f"{self.node.name}.{'results' if self.many else 'result'}"

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise UsageError(
            f"{self!r} stands for what a step returns: it can be an argument of a step of the same workflow, or in a "
            "list, tuple or dict that is one, and nowhere else."
        )

    def __iter__(self) -> Any:
        raise UsageError(
            f"{self!r} is known only when the workflow runs: flow.map(f, {self!r}) makes a step of each item then."
        )


class Workflow:
    """A graph of jobs: build it with `add` and `map`, then `enqueue(conn, flow)` inserts all of it.

    `name`: what it is called in listings. `key`: one unfinished workflow has it at a time; where there is one,
    `enqueue` gives its handle, with `conflict` set.

    Raises:
        UsageError: the name or the key cannot be used.

    """

    def __init__(self, name: str, *, key: str | None = None) -> None:
        text = as_str(name)
        if text is None or not 0 < len(text) <= MAX_NAME or not text.isprintable():
            raise UsageError(f"Workflow({shorten_repr(name)}): give it a name of 1 to {MAX_NAME} printable characters.")
        self.name = text
        self.key = None if key is None else check_key("key", key)
        self.nodes: list[Node] = []
        """The calls of `add` and `map`."""
        self.callbacks: list[tuple[str, Callable[..., Any], tuple[Any, ...], Mapping[str, Any]]] = []
        self._names: dict[str, int] = {}
        self._part_of: Workflow | None = None
        self._placed: tuple[list[Node], IfFailed] = ([], "wait")

    @overload
    def add(self, step: Workflow, /) -> Nested: ...
    @overload
    def add(self, step: TransactionJob[Any, P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> Step[R]: ...
    @overload
    def add(self, step: TransactionJob[Any, P, R], /, *args: P.args, **kwargs: P.kwargs) -> Step[R]: ...
    @overload
    def add(self, step: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> Step[R]: ...
    @overload
    def add(self, step: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Step[R]: ...
    def add(self, step: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Add a step: a call of a function with these arguments, or all steps of another workflow.

        An argument may be `other.result`, alone or in a list, tuple or dict. `f.options(after=[other],
        if_failed="run")` waits without taking the result, and says what follows when what it waits for fails.

        Raises:
            UsageError: a step of another workflow is among the arguments, or this one was added to another one.

        """
        self._check_open()
        if isinstance(step, Workflow):
            if args or kwargs:
                raise UsageError(f"add({step.name!r}, …): a workflow takes no arguments.")
            return self._add_workflow(step)
        return Step([self._add(step, args, kwargs)])

    @overload
    def map(
        self, step: Callable[[T], Awaitable[R]], items: Iterable[T], /, *, at_once: int | None = None
    ) -> Steps[R]: ...
    @overload
    def map(self, step: Callable[[T], R], items: Iterable[T], /, *, at_once: int | None = None) -> Steps[R]: ...
    def map(self, step: Any, items: Any, /, *, at_once: int | None = None) -> Any:
        """Add a step for each item: of a list, or of the list that another step returns (`other.result`).

        `at_once`: how many of them run at a time. None: as many as there is room for.

        Raises:
            UsageError: `items` is not a list, and does not stand for one; or as `add`.

        """
        self._check_open()
        if at_once is not None and ((number := as_int(at_once)) is None or number < 1):
            raise UsageError(f"map(at_once={shorten_repr(at_once)}): give a whole number from 1.")
        if isinstance(items, ResultOf):
            node = self._add(step, (items,), _NO_KEYWORDS)
            node.is_map = True
        else:
            node = self._add(step, (), _NO_KEYWORDS)
            node.items = listed(items)
            found = {other.index: None for item in node.items for other in self._nodes_in((item,))}
            node.needs = sorted({*node.needs, *found})
        node.at_once = at_once
        return Steps([node])

    def on_completed(self, callable: Callable[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Call a function, as a job, when all steps have completed: once."""
        self._add_callback("on_completed", callable, args, kwargs)

    def on_failure(self, callable: Callable[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Call a function, as a job, when a step has failed or was cancelled and nothing can go on: once.

        That is also when others still wait for the failed step: the workflow is stuck then, and continues if it
        is replayed. A workflow that is cancelled as a whole calls nothing.
        """
        self._add_callback("on_failure", callable, args, kwargs)

    def options(self, *, after: AnyStep | Iterable[AnyStep], if_failed: IfFailed = "wait") -> Workflow:
        """Set what this workflow waits for when it is added to another one: `flow.add(part.options(after=[step]))`.

        Raises:
            UsageError: `after` has something else than steps.

        """
        steps = [after] if isinstance(after, AnyStep) else list(after)
        for step in steps:
            if not isinstance(step, AnyStep):
                raise UsageError(f"after={shorten_repr(step)}: give steps of the workflow that it is added to.")
        self._placed = ([node for step in steps for node in step.nodes], if_failed)
        return self

    @property
    def part(self) -> Workflow | None:
        """The workflow that this one was added to; None: it is a whole."""
        return self._part_of

    # -- How it is put together ----------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._part_of is not None:
            raise UsageError(
                f"workflow {self.name!r} was added to {self._part_of.name!r}: add what is left to it before that."
            )

    def _add_callback(self, kind: str, function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self._check_open()
        if places_of(args, kwargs, ResultOf):
            raise UsageError(f"{kind}: results of steps are not given to it; current_job().needs has what has failed.")
        refuse_others(function)
        self.callbacks.append((kind, function, args, kwargs))

    def _add(self, function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Node:
        flow = options_of(function).flow
        refuse_others(function)
        if flow.unique is not None:
            raise UsageError(
                f"{task_name(function)} has unique=, and a step that is not enqueued would be missed by others: give "
                "the workflow a key, and the step .options(unique=None)."
            )
        after: list[Node] = []
        for job in flow.after or ():
            if not isinstance(job, AnyStep):
                raise UsageError(
                    f"after= has the job {job}: a step waits for steps of its own workflow. Enqueue the workflow from "
                    "that job, or add what it does as a step."
                )
            after += job.nodes
        places = places_of(args, kwargs, ResultOf)
        needed = dict.fromkeys(node.index for node in self._own(after, function))
        needed |= dict.fromkeys(node.index for node in self._own([place.value.node for place in places], function))
        shown = None
        if places:
            shown = as_shown(args, kwargs, places)
            args, kwargs = without_results(args, kwargs, places)
        if flow.after or flow.if_failed != "wait":
            function = _without_after(function)
        node = Node(
            self, len(self.nodes), self._name_of(function), function, args, kwargs, shown, places, sorted(needed),
            flow.if_failed,
        )  # fmt: skip
        self.nodes.append(node)
        return node

    def _nodes_in(self, args: tuple[Any, ...]) -> list[Node]:
        return self._own([place.value.node for place in places_of(args, {}, ResultOf)], None)

    def _own(self, nodes: list[Node], function: Any) -> list[Node]:
        for node in nodes:
            if node.flow is not self:
                raise UsageError(
                    f"{node.name} is a step of the workflow {node.flow.name!r}, and this is {self.name!r}: a step "
                    "waits for steps of its own workflow."
                )
        return nodes

    def _name_of(self, function: Any) -> str:
        name = task_name(function).rpartition(":")[2].rpartition(".")[2][: MAX_NAME - 20] or "step"
        count = self._names[name] = self._names.get(name, 0) + 1
        return name if count == 1 else f"{name}-{count}"

    def _add_workflow(self, other: Workflow) -> Nested:
        if other is self or other._part_of is not None:
            raise UsageError(f"workflow {other.name!r} cannot be added to {self.name!r}: it is part of a workflow.")
        if any(kind == "on_failure" for kind, *_ in other.callbacks):
            raise UsageError(
                f"workflow {other.name!r} has on_failure, and is to be part of {self.name!r}: give that one on_failure."
            )
        before, if_failed = other._placed
        roots = sorted({node.index for node in self._own(before, None)})
        first = len(self.nodes)
        for node in other.nodes:
            if not node.needs:
                node.needs, node.if_failed = list(roots), if_failed if roots else node.if_failed
            else:
                node.needs = [first + index for index in node.needs]
            node.flow, node.index = self, first + node.index
            node.name = f"{other.name}.{node.name}"[:MAX_NAME]
            self.nodes.append(node)
        other._part_of = self
        nodes = list(other.nodes)
        for _, function, args, kwargs in other.callbacks:
            last = self._add(function, args, kwargs)
            last.needs = [node.index for node in nodes]
        return Nested(last_of(nodes))

    def __repr__(self) -> str:
        return f"<workflow {self.name} of {len(self.nodes)} steps>"


def last_of(nodes: list[Node]) -> list[Node]:
    """Return the nodes that no other one of these waits for: when they have ended, all have."""
    needed = {index for node in nodes for index in node.needs}
    return [node for node in nodes if node.index not in needed]


def listed(items: Any) -> list[Any]:
    """Return the items of a map.

    Raises:
        UsageError: they are none.

    """
    try:
        if has_type(items, str) or has_type(items, bytes) or has_type(items, Mapping):
            raise TypeError
        return list(items)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(
            f"map(…, {shorten_repr(items)}): give a list of items, or the result of a step that returns one."
        ) from error


def _without_after(function: Any) -> Any:
    """Return the job without what says what it waits for: that is in the graph."""
    if not isinstance(function, Job):
        raise UsageError(f"{task_name(function)}: give after= to the job itself, and then the arguments to flow.add.")
    options = function.job_options.changed(after=None, if_failed="wait")
    base = function.base
    if isinstance(base, Job) and base.job_options == options:
        return base
    return function.with_job_options(options)


def refuse_others(function: Any) -> None:
    """Refuse what runs in batches, and pipelines: a step is a call of its own, whose result is for other steps.

    Raises:
        UsageError: it is one.

    """
    if options_of(function).flow.batch is not None:
        raise UsageError(
            f"{task_name(function)} runs in batches, and a step of a workflow runs alone: enqueue its jobs in a step, "
            "or call it there with a list."
        )
    if options_of(function).flow.stage is not None:
        raise UsageError(f"{function!r} cannot be a step of a workflow: enqueue its items in a step.")
