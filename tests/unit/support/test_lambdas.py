"""The stand-in for Lambda behaves to botocore as Lambda does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from sosw_runtime import aws
from tests.support.lambdas import FakeLambda, Refusal

if TYPE_CHECKING:
    from mypy_boto3_lambda.literals import InvocationTypeType
    from mypy_boto3_lambda.type_defs import InvocationResponseTypeDef


def invoke(function: str, event: Any, kind: InvocationTypeType = "Event") -> InvocationResponseTypeDef:
    return aws.lambda_().invoke(FunctionName=function, InvocationType=kind, Payload=json.dumps(event).encode())


def test_an_event_is_taken_and_recorded(lambdas: FakeLambda) -> None:
    arn = "arn:aws:lambda:eu-west-1:123456789012:function:resize:live"
    assert invoke(arn, {"task_id": "1"})["StatusCode"] == 202
    [invocation] = lambdas.accepted
    assert (invocation.function, invocation.kind, invocation.event) == (arn, "Event", {"task_id": "1"})


@pytest.mark.parametrize(
    ("refusal", "status"),
    [("ResourceNotFoundException", 404), ("AccessDeniedException", 403), ("TooManyRequestsException", 429)],
)
def test_a_refused_request_is_seen_as_lambdas_error_until_accepted(
    lambdas: FakeLambda, refusal: Refusal, status: int
) -> None:
    lambdas.refuse("resize", refusal)
    for _ in range(2):
        with pytest.raises(ClientError) as refused:
            invoke("resize", {})
        assert refused.value.response["Error"]["Code"] == refusal
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    lambdas.accept("resize")
    invoke("resize", {})
    assert [invocation.accepted for invocation in lambdas.invocations] == [False, False, True]


def test_a_refusal_may_end_by_itself_and_leaves_other_functions_alone(lambdas: FakeLambda) -> None:
    lambdas.refuse("resize", "TooManyRequestsException", times=1)
    invoke("crop", {})
    with pytest.raises(ClientError):
        invoke("resize", {})
    invoke("resize", {})
    assert [invocation.function for invocation in lambdas.accepted] == ["crop", "resize"]


@pytest.mark.parametrize("acts", [True, False])
def test_a_time_out_comes_after_or_before_the_request_is_taken(lambdas: FakeLambda, acts: bool) -> None:
    lambdas.time_out("resize", acts=acts)
    with pytest.raises(ReadTimeoutError):
        invoke("resize", {})
    assert len(lambdas.accepted) == acts


def test_a_handler_answers_requests(lambdas: FakeLambda) -> None:
    lambdas.answer("double", lambda event: event["n"] * 2)
    answer = invoke("double", {"n": 21}, "RequestResponse")
    assert (answer["StatusCode"], json.loads(answer["Payload"].read())) == (200, 42)


def test_what_a_handler_raises_is_a_function_error(lambdas: FakeLambda) -> None:
    lambdas.answer("double", lambda event: event["n"] * 2)
    answer = invoke("double", {}, "RequestResponse")
    assert answer["FunctionError"] == "Unhandled"
    assert json.loads(answer["Payload"].read())["errorType"] == "KeyError"


def test_a_request_for_a_function_without_handler_finds_nothing(lambdas: FakeLambda) -> None:
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        invoke("nobody", {}, "RequestResponse")


def test_other_operations_say_that_they_are_not_there(lambdas: FakeLambda) -> None:
    with pytest.raises(NotImplementedError, match="ListFunctions"):
        aws.lambda_().list_functions()
