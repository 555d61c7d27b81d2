"""AWS clients, made once a process, with explicit time-outs and retries."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, cast

from botocore.config import Config
from botocore.session import Session

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

Service = Literal["cloudwatch", "dynamodb", "lambda", "sns", "sqs"]

#: Threads that share one client. DynamoDB's answers take a few milliseconds, so that this many keep one Lambda busy.
CONCURRENCY = 64

_RETRIED = Config(
    connect_timeout=2,
    read_timeout=5,
    retries={"mode": "standard", "total_max_attempts": 4},
    max_pool_connections=CONCURRENCY,
)
#: A new task may have been started whose batch is sent again, and the batch would undo that. A batch may be of 9 MB.
_BATCH_SENT_ONCE = Config(
    connect_timeout=2,
    read_timeout=10,
    retries={"mode": "standard", "total_max_attempts": 1},
    max_pool_connections=CONCURRENCY,
)
#: A claim is void 5 s after its slot was taken: a try whose answer is lost leaves time for another. `storage` makes it:
#: of a try that botocore made and hid nobody would know whether DynamoDB took it.
_CLAIM_SENT_ONCE = Config(
    connect_timeout=1,
    read_timeout=2,
    retries={"mode": "standard", "total_max_attempts": 1},
    max_pool_connections=CONCURRENCY,
)
#: An invoke whose answer is lost may have started the Worker; sent again, it would run the attempt twice.
_INVOKE_SENT_ONCE = Config(
    connect_timeout=2,
    read_timeout=5,
    retries={"mode": "standard", "total_max_attempts": 1},
    max_pool_connections=CONCURRENCY,
)


def dynamodb() -> DynamoDBClient:
    """Retried by botocore: every write of `storage` is conditional or repeatable."""
    return cast("DynamoDBClient", client("dynamodb"))


def dynamodb_once() -> DynamoDBClient:
    """Never retried by botocore: for writes without a condition to what others may change at once."""
    return cast("DynamoDBClient", client("dynamodb", _BATCH_SENT_ONCE))


def dynamodb_brief() -> DynamoDBClient:
    """Never retried by botocore, and soon given up: for the two writes of a claim."""
    return cast("DynamoDBClient", client("dynamodb", _CLAIM_SENT_ONCE))


def lambda_() -> LambdaClient:
    """Never retried by botocore."""
    return cast("LambdaClient", client("lambda", _INVOKE_SENT_ONCE))


def cloudwatch() -> CloudWatchClient:
    """Retried by botocore."""
    return cast("CloudWatchClient", client("cloudwatch"))


def sns() -> SNSClient:
    """Retried by botocore: an alarm may arrive twice, never not at all."""
    return cast("SNSClient", client("sns"))


def sqs() -> SQSClient:
    """Retried by botocore."""
    return cast("SQSClient", client("sqs"))


def queue_url(account: str, name: str) -> str:
    """The URL of a queue in this region, which nobody needs a right to know."""
    return f"{sqs().meta.endpoint_url}/{account}/{name}"


@cache
def client(service: Service, config: Config = _RETRIED) -> Any:
    """The process's client of a service; endpoint, region and credentials are the environment's at its first use."""
    # boto3 would add the import of S3's transfers. A session is not safe to make clients from in several threads, so
    # that each client has its own.
    return Session().create_client(service, region_name=os.environ.get("AWS_REGION"), config=config)


def forget_clients() -> None:
    """Make new clients on the next use, for tests that change the environment."""
    client.cache_clear()
