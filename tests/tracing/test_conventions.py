"""Names, kinds, buckets and attributes are those of OpenTelemetry's conventions for messaging."""

from __future__ import annotations

import pytest
from opentelemetry.semconv._incubating.attributes import messaging_attributes
from opentelemetry.semconv._incubating.metrics import messaging_metrics
from opentelemetry.semconv.attributes import error_attributes, exception_attributes, server_attributes

from pgjobs.tracing import names

THEIRS = {
    "SYSTEM": messaging_attributes.MESSAGING_SYSTEM,
    "OPERATION_NAME": messaging_attributes.MESSAGING_OPERATION_NAME,
    "OPERATION_TYPE": messaging_attributes.MESSAGING_OPERATION_TYPE,
    "DESTINATION": messaging_attributes.MESSAGING_DESTINATION_NAME,
    "MESSAGE_ID": messaging_attributes.MESSAGING_MESSAGE_ID,
    "CONVERSATION_ID": messaging_attributes.MESSAGING_MESSAGE_CONVERSATION_ID,
    "BATCH_COUNT": messaging_attributes.MESSAGING_BATCH_MESSAGE_COUNT,
    "CLIENT_ID": messaging_attributes.MESSAGING_CLIENT_ID,
    "ERROR_TYPE": error_attributes.ERROR_TYPE,
    "SERVER_ADDRESS": server_attributes.SERVER_ADDRESS,
    "SERVER_PORT": server_attributes.SERVER_PORT,
    "EXCEPTION_TYPE": exception_attributes.EXCEPTION_TYPE,
    "EXCEPTION_MESSAGE": exception_attributes.EXCEPTION_MESSAGE,
    "EXCEPTION_STACKTRACE": exception_attributes.EXCEPTION_STACKTRACE,
    "SENT_MESSAGES": messaging_metrics.MESSAGING_CLIENT_SENT_MESSAGES,
    "CONSUMED_MESSAGES": messaging_metrics.MESSAGING_CLIENT_CONSUMED_MESSAGES,
    "OPERATION_DURATION": messaging_metrics.MESSAGING_CLIENT_OPERATION_DURATION,
    "PROCESS_DURATION": messaging_metrics.MESSAGING_PROCESS_DURATION,
}
OURS = {name: value for name, value in vars(names).items() if name.isupper() and isinstance(value, str)}


@pytest.mark.parametrize("name", OURS)
def test_name_is_that_of_the_conventions_or_in_our_namespace(name: str) -> None:
    assert OURS[name] == THEIRS.get(name, OURS[name])
    assert name in THEIRS or OURS[name].startswith("messaging.pgjobs.")


def test_operation_types_are_those_of_the_conventions() -> None:
    values = {each.value for each in messaging_attributes.MessagingOperationTypeValues}
    assert {"send", "process"} <= values
