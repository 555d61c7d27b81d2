"""What shows only when Terraform applies the modules with a real provider, here to an emulator of AWS."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.cache import ROOT
from tests.support.ministack import MiniStack, ministack
from tests.support.terraform import Terraform, TerraformError, compatible_copy, use_emulator

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Applied:
    """The configuration `applied`, as it stands in an emulator."""

    aws: MiniStack
    directory: Path
    variables: dict[str, object]

    def terraform(self, **variables: object) -> Terraform:
        """Terraform with other variables than were applied."""
        return Terraform(self.directory, variables=self.variables | variables, environment=self.aws.environment)

    def client(self, service: str) -> Any:
        """An AWS client of the administrator."""
        return self.aws.client(service)

    def registrations(self) -> dict[str, dict[str, Any]]:
        """What Terraform wrote to the registry, by partition and sort key."""
        items = self.client("dynamodb").scan(TableName="sosw_registry", ConsistentRead=True)["Items"]
        return {f"{item['pk']['S']} {item['sk']['S']}": item for item in items}

    def comes_after(self, address: str) -> set[str]:
        """What Terraform made before a resource, and destroys after it."""
        state = json.loads((self.directory / "terraform.tfstate").read_text())
        [resource] = [
            resource
            for resource in state["resources"]
            if f"{resource.get('module', '')}.{resource['type']}.{resource['name']}" == address
        ]
        return set(resource["instances"][0]["dependencies"])


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Applied]:
    """Applied once; every test leaves it as it is."""
    scratch = tmp_path_factory.mktemp("applied")
    package = scratch / "sosw-runtime-1.2.3-py313-arm64.zip"
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("nothing.py", "")
    with ministack("terraform") as aws:
        tree = compatible_copy(ROOT, scratch / "tree")
        directory = tree / (_HERE / "applied").relative_to(ROOT)
        use_emulator(directory, aws.endpoint)
        applied = Applied(aws, directory, {"runtime": {"package": str(package), "version": "1.2.3"}})
        terraform = applied.terraform()
        terraform.init()
        terraform.apply()
        yield applied


def test_nothing_is_replaced_while_account_and_region_are_unknown(applied: Applied) -> None:
    changes = applied.terraform(revision="2").plan("-refresh=false")

    assert "terraform_data.earlier" in {change.address for change in changes}
    assert [change.address for change in changes if "delete" in change.actions] == []


def test_a_mapping_that_began_elsewhere_is_not_replaced(applied: Applied, tmp_path: Path) -> None:
    state = (applied.directory / "terraform.tfstate").read_text()
    assert state.count('"starting_position": "TRIM_HORIZON"') == 1
    of_0_1_0 = tmp_path / "terraform.tfstate"
    of_0_1_0.write_text(state.replace('"TRIM_HORIZON"', '"LATEST"'))

    assert applied.terraform().plan("-refresh=false", f"-state={of_0_1_0}") == []


def test_a_second_worker_of_one_function_and_alias_is_refused(applied: Applied) -> None:
    before, iam = applied.registrations(), applied.client("iam")
    assert before.keys() == {"function resize:tasks", "worker resize"}
    policies = iam.list_role_policies(RoleName="resize")["PolicyNames"]

    with pytest.raises(TerraformError, match="there is another Worker of this function and qualifier"):
        applied.terraform(second_worker=True).apply()
    applied.terraform().apply()

    assert applied.registrations() == before
    assert iam.list_role_policies(RoleName="resize")["PolicyNames"] == policies, "its removal takes nothing away"


def test_the_configuration_is_there_before_the_worker_is_registered(applied: Applied) -> None:
    parameter = applied.client("ssm").get_parameter(Name="/sosw/resize/config", WithDecryption=True)["Parameter"]

    assert parameter["Type"] == "SecureString"
    assert json.loads(parameter["Value"])["width"] == 800
    assert "module.resize.aws_ssm_parameter.config" in applied.comes_after(
        "module.resize.aws_dynamodb_table_item.registration"
    )


def test_a_role_has_one_policy_for_all_that_a_worker_may(applied: Applied) -> None:
    iam = applied.client("iam")
    [name] = iam.list_role_policies(RoleName="resize")["PolicyNames"]
    policy = iam.get_role_policy(RoleName="resize", PolicyName=name)["PolicyDocument"]
    statements = (json.loads(policy) if isinstance(policy, str) else policy)["Statement"]

    assert {statement["Action"] for statement in statements} == {"lambda:InvokeFunction", "ssm:GetParameter"}


def test_a_job_is_scheduled_once_its_rule_may_hand_it_over(applied: Applied) -> None:
    assert applied.comes_after("module.nightly.aws_cloudwatch_event_target.this") > {
        "module.sosw.aws_lambda_permission.jobs",
        "module.sosw.aws_sqs_queue_policy.rejected_jobs",
    }


@pytest.mark.parametrize(
    "what", ["lambda_permission.orchestrator", "lambda_function_event_invoke_config.this", "iam_role_policy.report"]
)
def test_a_function_is_touched_once_it_is_known_to_be_free(applied: Applied, what: str) -> None:
    assert "module.resize.aws_dynamodb_table_item.function" in applied.comes_after(f"module.resize.aws_{what}")


def test_the_right_to_invoke_comes_last_and_goes_first(applied: Applied) -> None:
    config = "module.resize.aws_lambda_function_event_invoke_config.this"
    assert config in applied.comes_after("module.resize.aws_lambda_permission.orchestrator")


def test_an_alias_leaves_the_function_itself_as_it_was(applied: Applied) -> None:
    lambda_ = applied.client("lambda")
    configured = lambda_.list_function_event_invoke_configs(FunctionName="resize")["FunctionEventInvokeConfigs"]

    assert [config["FunctionArn"].rpartition(":")[2] for config in configured] == ["tasks"]


def test_concurrency_is_reserved_where_it_is_asked_for(applied: Applied) -> None:
    functions = [f"sosw_{essential}" for essential in ("scheduler", "orchestrator", "scavenger", "worker_assistant")]
    found = {name: applied.client("lambda").get_function_concurrency(FunctionName=name) for name in functions}

    assert [name for name in functions if "ReservedConcurrentExecutions" in found[name]] == ["sosw_worker_assistant"]
    assert found["sosw_worker_assistant"]["ReservedConcurrentExecutions"] == 2
