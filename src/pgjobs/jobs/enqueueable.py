"""What else than callables can be enqueued: by its type, the function that does it. Their modules add them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

others: dict[type, Callable[[Any, Any, tuple[Any, ...], Any], Any]] = {}
