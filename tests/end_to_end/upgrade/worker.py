"""The Workers: each writes down that it runs, takes its time, and fails where it is meant to."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from sosw_runtime.worker import client, worker

SECONDS = 1.5

#: The first attempt fails of each task whose number can be divided by it.
FAILS_ONCE = 4


def run(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Run one attempt."""
    [number] = event["numbers"]
    written = {
        "task_id": {"S": event["task_id"]},
        "request_id": {"S": context.aws_request_id},
        "worker_id": {"S": event["worker_id"]},
        "attempt": {"N": str(event["attempt"])},
        "began_at": {"N": str(now_ms())},
    }
    client("dynamodb").put_item(TableName="runs", Item=written)
    time.sleep(SECONDS)
    client("dynamodb").put_item(TableName="runs", Item=written | {"ended_at": {"N": str(now_ms())}})
    if number % FAILS_ONCE == 0 and event["attempt"] == 1:
        raise RuntimeError("the first attempt fails on purpose")
    return {"number": number}


def now_ms() -> int:
    return time.time_ns() // 1_000_000


#: Reports with whatever version of the Worker side its package holds.
by_code = worker(run)


def by_destination(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Run one attempt, without a report of its own.

    The emulator has no on-success destination: what Lambda would send there is sent here.
    """
    result = run(event, context)
    record = {
        "version": "1.0",
        "requestContext": {
            "requestId": context.aws_request_id,
            "functionArn": context.invoked_function_arn,
            "condition": "Success",
            "approximateInvokeCount": 1,
        },
        "requestPayload": event,
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST"},
        "responsePayload": result,
    }
    client("lambda").invoke(
        FunctionName=os.environ["SOSW_WORKER_ASSISTANT"], InvocationType="Event", Payload=json.dumps(record).encode()
    )
    return result
