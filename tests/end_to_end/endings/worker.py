"""A Worker whose first attempts end as their task says; the second succeeds.

It reports nothing but success, and knows nothing of sosw_runtime: a bad end is for Lambda to tell.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import time
from typing import Any

import boto3

lambda_ = boto3.client("lambda")


def handler(event: dict[str, Any], context: Any) -> None:
    if event["attempt"] == 1:
        [ending] = event["endings"]
        end(ending, context)
    attempt = {"task_id": event["task_id"], "attempt": event["attempt"], "token": event.get("sosw_token")}
    report = {"action": "mark_task_as_completed", **attempt}
    # Not waited for: the function's time-out is short, and the WorkerAssistant may have to start first.
    lambda_.invoke(
        FunctionName=os.environ["SOSW_WORKER_ASSISTANT"], InvocationType="Event", Payload=json.dumps(report).encode()
    )


def end(ending: str, context: Any) -> None:
    match ending:
        case "raise":
            raise ValueError("raised on purpose")
        case "exit":
            os._exit(1)
        case "run_out_of_memory":
            run_out_of_memory(int(context.memory_limit_in_mb) << 20)
        case "run_out_of_time":
            time.sleep(2 * context.get_remaining_time_in_millis() / 1000)


def run_out_of_memory(limit: int) -> None:
    """Take memory, in bytes, until there is none, and be killed.

    Lambda gives a process no more than its limit and kills it. The emulator does neither: both are done here.
    """
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    taken = []
    try:
        while True:
            taken.append(bytearray(16 << 20))
    except MemoryError:
        os.kill(os.getpid(), signal.SIGKILL)
