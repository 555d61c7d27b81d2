"""Jobs that come by a queue of SQS: each is taken by itself, and none is lost."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest

from sosw_runtime import aws
from sosw_runtime.errors import Unavailable
from sosw_runtime.essentials import scheduler
from sosw_runtime.storage import moves
from sosw_runtime.storage.items import encoded
from tests.support.installation import Installation

PHOTO = json.dumps({"worker": "resize", "photo": "cat.jpg"})
TO_NOBODY = json.dumps({"worker": "nobody", "photo": "cat.jpg"})


class Queue:
    """A queue of SQS, and the mapping by which Lambda hands its messages to the Scheduler."""

    def __init__(self, name: str) -> None:
        self._sqs = boto3.client("sqs")
        self._url = self._sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "0"})["QueueUrl"]
        attributes = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])
        self._arn = attributes["Attributes"]["QueueArn"]

    def send(self, *texts: str) -> list[str]:
        """Messages; their ids."""
        return [self._sqs.send_message(QueueUrl=self._url, MessageBody=text)["MessageId"] for text in texts]

    def messages(self) -> list[Any]:
        """All that there are."""
        answer = self._sqs.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["SentTimestamp"],
        )
        return list(answer.get("Messages", []))

    def deliver(self, sosw: Installation) -> dict[str, Any]:
        """What Lambda does for any mapping: hand over a batch, and delete it unless the function fails."""
        messages = self.messages()
        records = [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message["Attributes"],
                "eventSource": "aws:sqs",
                "eventSourceARN": self._arn,
                "awsRegion": "eu-west-1",
            }
            for message in messages
        ]
        answer = sosw.submit({"Records": records})
        for message in messages:
            self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        return answer


@pytest.fixture
def queue(sosw: Installation) -> Queue:
    return Queue("orders")


@pytest.fixture
def rejected(sosw: Installation) -> Queue:
    return Queue(f"{sosw.tables.name}_rejected_jobs")


def test_the_jobs_of_a_batch_are_taken_under_the_ids_of_their_messages(sosw: Installation, queue: Queue) -> None:
    sosw.register()
    sent = queue.send(PHOTO, json.dumps({"job": json.loads(PHOTO), "id": "e-1"}))

    answer = queue.deliver(sosw)

    assert {job["job_id"] for job in answer["jobs"]} == {sent[0], "e-1"}
    assert len(sosw.all_tasks()) == 2
    assert queue.messages() == []


def test_a_refused_job_is_put_aside_and_the_others_are_taken(sosw: Installation, queue: Queue, rejected: Queue) -> None:
    sosw.register()
    bad, good, _ = queue.send(TO_NOBODY, PHOTO, "no JSON")

    answer = queue.deliver(sosw)

    assert [job["job_id"] for job in answer["jobs"]] == [good]
    assert queue.messages() == [], "what can never be accepted does not come again"
    by_text = {message["Body"]: message["MessageAttributes"] for message in rejected.messages()}
    text, no_json = sorted(by_text, reverse=True)
    assert no_json == "no JSON"
    event = json.loads(text)
    assert (event["id"], event["job"]) == (bad, json.loads(TO_NOBODY))
    assert isinstance(event["time"], int)
    assert by_text[text]["ERROR_CODE"]["StringValue"] == "JobRefused"
    assert json.loads(by_text[text]["ERROR_MESSAGE"]["StringValue"])["field"] == "worker"


def test_a_job_whose_worker_is_misconfigured_is_put_aside(sosw: Installation, queue: Queue, rejected: Queue) -> None:
    sosw.client.put_item(
        TableName=sosw.tables.registry, Item=encoded({"pk": "worker", "sk": "resize", "spec": "\x00\x1b is no JSON"})
    )
    queue.send(PHOTO)

    assert queue.deliver(sosw) == {"jobs": [], "batchItemFailures": []}

    [message] = rejected.messages()
    assert message["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "Misconfigured"
    assert "'resize' cannot be read" in message["MessageAttributes"]["ERROR_MESSAGE"]["StringValue"]


@pytest.fixture
def out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS is out while the second job is looked at."""
    registrations = iter(range(100))
    read = scheduler._registration

    def registration(*arguments: Any) -> Any:
        if next(registrations) == 1:
            raise Unavailable("DynamoDB is out for tea")
        return read(*arguments)

    monkeypatch.setattr(scheduler, "_registration", registration)


@pytest.mark.usefixtures("out_once")
def test_only_messages_of_jobs_not_known_to_be_accepted_come_again(
    sosw: Installation, queue: Queue, rejected: Queue
) -> None:
    sosw.register()
    sent = queue.send(PHOTO, PHOTO, PHOTO, TO_NOBODY)

    with pytest.raises(Unavailable, match="out for tea"):
        queue.deliver(sosw)

    [left] = queue.messages()
    taken = {task.job_id for task in sosw.all_tasks()}
    assert {left["MessageId"]} == set(sent[:3]) - taken
    assert len(rejected.messages()) == 1
    assert len(queue.deliver(sosw)["jobs"]) == 1
    assert {task.job_id for task in sosw.all_tasks()} == set(sent[:3])
    assert queue.messages() == []


@pytest.mark.usefixtures("out_once", "rejected")
def test_a_batch_that_cannot_be_deleted_comes_again_and_adds_nothing(
    sosw: Installation, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    sosw.register()
    sent = queue.send(PHOTO, PHOTO)
    with monkeypatch.context() as patch:
        patch.setattr(aws, "queue_url", lambda account, name: "https://sqs.eu-west-1.amazonaws.com/1/none")
        with pytest.raises(Unavailable):
            queue.deliver(sosw)
    assert len(queue.messages()) == 2

    queue.deliver(sosw)

    assert sorted(task.job_id for task in sosw.all_tasks()) == sorted(sent)


def test_a_refused_job_that_cannot_be_put_aside_comes_again(sosw: Installation, queue: Queue) -> None:
    sosw.register()
    bad, _ = queue.send(TO_NOBODY, PHOTO)

    with pytest.raises(Exception, match=r"NonExistentQueue|does not exist"):
        queue.deliver(sosw)

    assert [message["MessageId"] for message in queue.messages()] == [bad]


def test_a_job_that_is_accepted_and_interrupted_does_not_come_again(
    sosw: Installation, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    sosw.register()
    [job_id] = queue.send(PHOTO)

    def unavailable(*_: object) -> None:
        raise Unavailable("DynamoDB is out for tea")

    monkeypatch.setattr(moves, "enqueue", unavailable)

    assert [job["job_id"] for job in queue.deliver(sosw)["jobs"]] == [job_id]
    assert queue.messages() == []
