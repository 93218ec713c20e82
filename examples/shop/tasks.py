"""The shop's jobs. The worker imports this module: `pgjobs work -q mail:10 -q default:4 --import shop.tasks`."""

from __future__ import annotations

import time

from sqlalchemy import select
from sqlalchemy.orm import Session

from pgjobs import Cancel, current_job, job

from .database import engine
from .models import Order


class BadAddressError(Exception):
    """There is no such address, and there will not be one tomorrow."""


@job(queue="mail", max_attempts=4, timeout=30, backoff=0.5, give_up_on=BadAddressError)
def send_receipt(order_id: int, *, copy: bool = False) -> None:
    """Send a receipt, and note it at the order.

    A mail cannot be rolled back. The lock and the note keep a second attempt from sending it again once the note is
    committed; a worker that dies between the mail and the commit sends it twice.
    """
    with Session(engine()) as session, session.begin():
        order = session.scalars(select(Order).where(Order.id == order_id).with_for_update()).one_or_none()
        if order is None:
            raise Cancel(f"order {order_id} was deleted")
        if order.receipt is not None:
            return  # an earlier attempt has done it
        if "@" not in order.customer:
            raise BadAddressError(f"{order.customer!r} is not an address")
        order.receipt = f"sent by attempt {current_job().attempt}" + (", with a copy" if copy else "")


@job
def count_stock() -> None:
    """Take a while."""
    time.sleep(0.05)
