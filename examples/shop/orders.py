"""Place some orders: each is committed together with the job that sends its receipt.

export PGJOBS_DATABASE_URL=postgresql://…
pgjobs migrate
cd examples && python -m shop.orders
pgjobs work -q mail:10 -q default:4 --import shop.tasks --drain
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from pgjobs import enqueue, enqueue_many

from .database import engine
from .models import Base, Order
from .tasks import count_stock, send_receipt


def place_order(session: Session, customer: str, cents: int) -> Order:
    """Insert an order and enqueue its receipt: both are committed, or neither is."""
    order = Order(customer=customer, cents=cents)
    session.add(order)
    session.flush()  # now it has an id
    order.receipt_job_id = enqueue(session, send_receipt, order.id, copy=cents > 100_00).id
    return order


def main() -> None:
    """Place three orders, of which one is rolled back, and one has no good address."""
    Base.metadata.create_all(engine())
    with Session(engine()) as session, session.begin():
        place_order(session, "ada@example.com", 42_00)
    with Session(engine()) as session, session.begin():
        place_order(session, "nobody", 199_00)
    with Session(engine()) as session:
        place_order(session, "changed-her-mind@example.com", 1_00)
        session.rollback()
    with Session(engine()) as session, session.begin():
        enqueue_many(session, count_stock, [() for _ in range(20)])


if __name__ == "__main__":
    main()
