"""Limits as they are declared: names, patterns, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pgjobs import Limit, declare_limit, declare_queue_limit, job
from pgjobs.core.errors import UsageError
from pgjobs.flow.limits import (
    LimitSettings,
    check_limit_name,
    declare_limit_of,
    declared_limits,
    declared_queue_limits,
    forget_declared,
    name_of_template,
    pattern_of,
)
from pgjobs.flow.rates import Rate

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def nothing_declared() -> Iterator[None]:
    forget_declared()
    yield
    forget_declared()


def test_what_is_declared_is_kept_by_its_name() -> None:
    declare_limit("tenant:*", concurrency=2, rate="100/min", burst=20)
    declare_limit("stripe", rate="5/s")
    declare_queue_limit("mail", concurrency=5)
    assert declared_limits == {
        "tenant:*": LimitSettings(2, Rate(100, 60), 20),
        "stripe": LimitSettings(None, Rate(5, 1), None),
    }
    assert declared_queue_limits == {"mail": LimitSettings(5)}


def test_the_same_again_is_not_a_contradiction_and_something_else_is() -> None:
    declare_limit("stripe", concurrency=2)
    declare_limit("stripe", concurrency=2)
    with pytest.raises(UsageError, match="before with 2 at once, and now with 3 at once"):
        declare_limit("stripe", concurrency=3)
    assert declared_limits == {"stripe": LimitSettings(2)}


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"concurrency": -1},
        {"concurrency": 1.5},
        {"concurrency": True},
        {"concurrency": 10**9},
        {"rate": 5},
        {"rate": "5"},
        {"burst": 5},
        {"concurrency": 1, "burst": 5},
        {"rate": "5/s", "burst": 0},
    ],
    ids=str,
)
def test_values_that_cannot_be_used_are_refused_in_a_line(given: dict[str, Any]) -> None:
    for declare in (declare_limit, declare_queue_limit):
        with pytest.raises(UsageError) as caught:
            declare("a", **given)
        assert len(str(caught.value).splitlines()) == 1
    assert not declared_limits
    assert not declared_queue_limits


@pytest.mark.parametrize("name", ["stripe", "tenant:*", "tenant:7", "shop:3:*", "*", "a b", "Grüße", "x" * 100])
def test_a_key_or_a_pattern_is_a_name(name: str) -> None:
    assert check_limit_name(name) == name


@pytest.mark.parametrize("name", ["", " a", "a\n", "a\0", "tenant*", "*:7", "a:*b", "a:**", "x" * 101, None, 7, b"x"])
def test_what_is_not_a_name_of_a_limit_is_refused(name: Any) -> None:
    with pytest.raises(UsageError):
        declare_limit(name, concurrency=1)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("t:{tenant}", "did you mean 't:*'?"),
        ("shop:3:{kind}-{n}", "did you mean 'shop:3:*'?"),
        ("t:x}", "did you mean 't:*'?"),
        ("{tenant}", "give a key, or a pattern such as 'tenant:*'."),
        ("a:{x}:{y}", "give a key, or a pattern such as 'tenant:*'."),
    ],
)
def test_a_template_is_not_a_name_and_the_pattern_that_was_meant_is_said(name: str, meant: str) -> None:
    with pytest.raises(UsageError) as caught:
        declare_limit(name, concurrency=1)
    assert str(caught.value) == f"the name {name!r} is a template, and no key has it: {meant}"


@pytest.mark.parametrize("key", ["tenant:7", "shop:3:mail", "stripe", "tenant:", ":"])
def test_the_pattern_of_a_key_is_a_name_and_its_own_pattern(key: str) -> None:
    assert pattern_of(pattern_of(key)) == pattern_of(key) == check_limit_name(pattern_of(key))


@pytest.mark.parametrize(
    ("template", "name"),
    [("tenant:{tenant_id}", "tenant:*"), ("a:b:{x}{y}", "a:b:*"), ("a:{x}-{y}", "a:*"), ("stripe", "stripe")],
)
def test_a_template_has_the_limit_that_holds_for_all_its_keys(template: str, name: str) -> None:
    assert name_of_template(template) == name
    declare_limit_of(template, LimitSettings(1))
    assert declared_limits == {name: LimitSettings(1)}


@pytest.mark.parametrize("template", ["{tenant}", "a-{x}", "a:{x}:{y}", "{x}:a"])
def test_a_template_whose_keys_have_no_pattern_in_common_is_refused(template: str) -> None:
    with pytest.raises(UsageError):
        declare_limit_of(template, LimitSettings(None, Rate(1, 1)))


def test_a_key_alone_declares_no_limit() -> None:
    job(limit="tenant:{x}")
    job(limit=Limit("stripe", cost=2))
    assert not declared_limits


def test_a_job_may_have_its_limit_beside_its_key() -> None:
    @job(limit=Limit("tenant:{tenant}", concurrency=2, rate="10/s", burst=3))
    def sync(tenant: int) -> None: ...

    assert declared_limits == {"tenant:*": LimitSettings(2, Rate(10, 1), 3)}
    assert sync.job_options.flow.limit == Limit("tenant:{tenant}", concurrency=2, rate="10/s", burst=3)
    wrongs: list[dict[str, Any]] = [
        {"key": 5, "concurrency": 1},
        {"key": "a", "rate": "fast"},
        {"key": "a", "burst": 3},
        {"key": "{tenant}", "concurrency": 1},
        {"key": "tenant:{tenant}", "concurrency": 3},
    ]
    for wrong in wrongs:
        with pytest.raises(UsageError):
            job(limit=Limit(**wrong))
    assert declared_limits == {"tenant:*": LimitSettings(2, Rate(10, 1), 3)}


def test_a_limit_is_written_as_it_was_given() -> None:
    limit = Limit("a", rate="100/minute", burst=20)
    assert (limit.rate, limit.settings) == ("100/min", LimitSettings(None, Rate(100, 60), 20))
    assert Limit("a", concurrency=0).settings == LimitSettings(0)
