"""`sosw import-config`: a configuration of sosw 0.7 as Terraform."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import ceil
from typing import Annotated, Any, Final, Literal

import typer
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

import sosw_runtime
from sosw_runtime.cli import inputs, output
from sosw_runtime.domain.chunking import JobSchema
from sosw_runtime.domain.health import MetricSource
from sosw_runtime.domain.job import json_object, worker_id_candidates
from sosw_runtime.domain.registration import Registration
from sosw_runtime.errors import Refused
from sosw_runtime.worker_config import merged

Json = dict[str, Any]

#: sosw 0.7's defaults.
_MAX_SIMULTANEOUS_INVOCATIONS: Final = 1
_MAX_ATTEMPTS: Final = 3

#: Prefix of sosw 0.7's tables and functions.
_NAME_OF_07: Final = "sosw"

#: Sections in which sosw 0.7 looks for labourers beside the top level. The later one wins.
_SECTIONS: Final = ("task_client_config", "task_config")

_LAMBDA_ARN: Final = re.compile(r"arn:[^:]+:lambda:[^:]+:\d{12}:function:(?P<name>[^:]+)(:(?P<qualifier>[^:]+))?")

_LOOSE: Final = ConfigDict(extra="allow", frozen=True)


class _Dimension(BaseModel):
    model_config = _LOOSE

    name: str = Field(alias="Name")
    value: str = Field(alias="Value")


class _Details(BaseModel):
    """A metric as CloudWatch's GetMetricStatistics names it. sosw's documentation has `Name` for `MetricName`."""

    model_config = _LOOSE

    namespace: str = Field(alias="Namespace")
    metric_name: str = Field(validation_alias=AliasChoices("MetricName", "Name"))
    dimensions: list[_Dimension] = Field(default=[], alias="Dimensions")
    statistics: list[str] = Field(default=["Average"], alias="Statistics", min_length=1, max_length=1)
    period: int = Field(default=60, alias="Period", ge=1)


class _HealthMetric(BaseModel):
    model_config = _LOOSE

    details: _Details
    feelings: dict[Literal["0", "1", "2", "3", "4"], int | float]
    feeling_comparison_operator: Literal["<=", "<", "le", "lt", ">=", ">", "ge", "gt"]

    @property
    def better(self) -> str:
        return "low" if self.feeling_comparison_operator in ("<=", "<", "le", "lt") else "high"


class _Labourer(BaseModel):
    model_config = _LOOSE

    arn: str | None = None
    max_simultaneous_invocations: int | None = Field(default=None, ge=0)
    max_attempts: int | None = None
    health_metrics: dict[str, _HealthMetric] | None = None


class _Config(BaseModel):
    """A configuration of sosw 0.7, its sections brought to the top level."""

    model_config = _LOOSE

    labourers: dict[str, _Labourer] = Field(min_length=1)
    max_simultaneous_invocations: int | None = None
    max_attempts: int | None = None
    job_schema: JobSchema | None = None
    job_schema_variants: dict[str, JobSchema] = {}

    @property
    def job_schemas(self) -> dict[str, JobSchema]:
        """The schemas with attributes. A variant named `default` wins over `job_schema`."""
        schemas = {} if self.job_schema is None else {"default": self.job_schema}
        schemas |= {name: schema for name, schema in self.job_schema_variants.items() if schema.chunkable_attrs}
        return {name: schema for name, schema in schemas.items() if schema.chunkable_attrs}


def import_config(
    files: Annotated[
        list[typer.FileText],
        typer.Argument(
            metavar="FILE...",
            encoding="utf-8",
            help="JSON configurations of sosw 0.7's Essentials, merged in this order; - for standard input.",
        ),
    ],
    source: Annotated[str, typer.Option(help="Terraform source of this project's root module.")] = "./sosw",
) -> None:
    """Turn configurations of sosw 0.7 into Terraform."""
    output.print_line(convert([inputs.read_text(file) for file in files], source).rstrip())


def convert(texts: Sequence[str], source: str) -> str:
    """Convert configurations of sosw 0.7 into a Terraform configuration that registers the same Workers.

    Args:
        texts: configurations of sosw 0.7's Essentials as JSON objects. The last value of a key wins.
        source: Terraform source of this project's root module.

    Raises:
        Refused: a text is no JSON object, there are no labourers, or a value cannot be converted; names its key.
    """
    whole: Json = {}
    for text in texts:
        whole = merged(whole, json_object("config", text))
    flat = {key: value for key, value in whole.items() if key not in _SECTIONS}
    for section in _SECTIONS:
        if isinstance(whole.get(section), dict):
            flat = merged(flat, whole[section])
    config = _config(flat)
    return "\n".join(_terraform(config, source))


def _config(flat: Json) -> _Config:
    if not flat.get("job_schema"):  # sosw's own configurations have an empty one
        flat = {key: value for key, value in flat.items() if key != "job_schema"}
    try:
        return _Config.model_validate(flat)
    except ValidationError as invalid:
        error = invalid.errors()[0]
        field = ".".join(str(part) for part in error["loc"])
        if field == "labourers":
            raise Refused("labourers", None, "expected labourers at the top level or under task_config") from invalid
        value = None if error["type"] == "missing" else error["input"]
        raise Refused(field, value, f"expected a value that sosw 0.7 takes: {error['msg']}") from invalid


class _Expression(str):
    """A Terraform expression, printed without quotes."""

    __slots__ = ()


def _terraform(config: _Config, source: str) -> Iterator[str]:
    schemas = config.job_schemas
    yield from _comments(_unused_keys("the configuration", config))
    yield from _comments(
        [f"Not {_NAME_OF_07}: sosw 0.7 has tables and functions of these names, and stays until it is drained."]
    )
    yield from _block(
        'module "sosw"',
        {
            "source": source,
            "name": f"{_NAME_OF_07}_next",
            "runtime": {
                "package": f"build/sosw-runtime-{sosw_runtime.__version__}-py313-arm64.zip",
                "version": sosw_runtime.__version__,
            },
        },
    )
    if schemas:
        yield ""
        named = {name: {"chunkable_attrs": list(schema.chunkable_attrs)} for name, schema in schemas.items()}
        yield from _block("locals", {"job_schemas": named})
    labels = {"sosw"}
    for labourer_id, labourer in config.labourers.items():
        label = _label(labourer_id, labels)
        labels.add(label)
        yield ""
        yield from _worker(label, labourer_id, labourer, config, _module_source(source, "modules/worker"))


def _worker(label: str, labourer_id: str, labourer: _Labourer, config: _Config, source: str) -> Iterator[str]:
    comments = _unused_keys(f"labourer {labourer_id}", labourer)
    found = _LAMBDA_ARN.fullmatch(labourer.arn or "")
    name = found["name"] if found else worker_id_candidates(labourer.arn)[-1] if labourer.arn else labourer_id
    if labourer.arn and not found:
        comments.append(f"{labourer.arn!r} is no ARN of a Lambda function; check that {name!r} is the function's name.")
    # The function's ARN without a qualifier: the account or the region may be another than Terraform's.
    function = found.string[: found.end("name")] if found else name

    limit = _first_given(labourer.max_simultaneous_invocations, config.max_simultaneous_invocations)
    if limit is None:
        comments.append("The limit is sosw 0.7's default, as the configuration has none.")
        limit = _MAX_SIMULTANEOUS_INVOCATIONS
    if limit == 0:
        comments.append(f"The limit was 0. To start nothing: sosw workers pause {labourer_id}")
        limit = 1
    attempts = _first_given(
        labourer.max_attempts, (config.model_extra or {}).get(f"max_attempts_{labourer_id}"), config.max_attempts
    )
    metrics = {name: _metric(name, metric, comments) for name, metric in (labourer.health_metrics or {}).items()}

    worker = {
        "worker_id": labourer_id,
        "function_name": function,
        "max_concurrency": limit,
        "retry": {} if attempts in (None, _MAX_ATTEMPTS) else {"max_attempts": attempts},
        "health_metrics": metrics,
    }
    _check(labourer_id, worker)
    data = f"data.aws_lambda_function.{label}"
    yield from _comments(comments)
    yield from _block(f'data "aws_lambda_function" "{label}"', {"function_name": function})
    yield ""
    attributes: Json = {
        "source": source,
        "orchestrator": _Expression("module.sosw.orchestrator"),
        "worker_id": labourer_id if labourer_id != name else None,
        "function_name": _Expression(f"{data}.function_name") if function == name else function,
        "qualifier": found["qualifier"] if found else None,
        "role_name": _Expression(f'reverse(split("/", {data}.role))[0]'),
        "timeout_seconds": _Expression(f"{data}.timeout"),
        "max_concurrency": limit,
        "require_token": False,  # sosw 0.7's Workers report without one
        "retry": worker["retry"] or None,
        "health_metrics": metrics or None,
        "job_schemas": _Expression("local.job_schemas") if config.job_schemas else None,
    }
    yield from _block(f'module "{label}"', {key: value for key, value in attributes.items() if value is not None})


def _metric(name: str, metric: _HealthMetric, comments: list[str]) -> Json:
    details = metric.details
    comments += _unused_keys(f"health metric {name}", metric) + _unused_keys(
        f"details of health metric {name}", details
    )
    period = ceil(details.period / 60) * 60
    if period != details.period:
        comments.append(f"The period of health metric {name} was {details.period} s; whole minutes are read.")
    source: Json = {
        "namespace": details.namespace,
        "metric_name": details.metric_name,
        "dimensions": {dimension.name: dimension.value for dimension in details.dimensions},
        "statistic": details.statistics[0],
        "period_seconds": period,
        "better": metric.better,
        # Level 0 has no threshold: it holds beyond all others.
        "levels": {level: metric.feelings[level] for level in sorted(metric.feelings, reverse=True) if level != "0"},
    }
    defaults = {key: field.default for key, field in MetricSource.model_fields.items()}
    return {key: value for key, value in source.items() if value != defaults[key]}


def _check(labourer_id: str, worker: Json) -> None:
    """Refuse values that cannot be registered."""
    try:
        Registration.model_validate({**worker, "timeout_seconds": 1})
    except ValidationError as invalid:
        error = invalid.errors()[0]
        field = ".".join(["labourers", labourer_id, *(str(part) for part in error["loc"])])
        raise Refused(field, error["input"], f"expected a value that can be registered: {error['msg']}") from invalid


def _first_given(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)


def _unused_keys(whose: str, model: BaseModel) -> list[str]:
    keys = [key for key in model.model_extra or {} if not key.startswith("max_attempts_")]
    return [f"Not taken over of {whose}: {', '.join(keys)}."] if keys else []


def _module_source(source: str, path: str) -> str:
    """The source of a submodule: in a local path after `/`, otherwise after `//` and before the query."""
    if source.startswith((".", "/")):
        return f"{source.rstrip('/')}/{path}"
    address, mark, query = source.partition("?")
    return f"{address}//{path}{mark}{query}"


def _label(labourer_id: str, taken: set[str]) -> str:
    label = re.sub(r"[^A-Za-z0-9_-]", "_", labourer_id)
    if not label[:1].isalpha():
        label = f"worker_{label}"
    while label in taken:
        label += "_"
    return label


def _comments(comments: Iterable[str]) -> Iterator[str]:
    for comment in comments:
        yield f"# {' '.join(comment.split())}"


def _block(header: str, attributes: Mapping[str, Any]) -> Iterator[str]:
    yield f"{header} {{"
    yield from _attributes(attributes, "  ")
    yield "}"


def _attributes(attributes: Mapping[str, Any], indent: str) -> Iterator[str]:
    """Attributes as `terraform fmt` formats them: the = of neighbouring single lines are aligned."""
    lines: list[tuple[str, str]] = []
    for key, value in attributes.items():
        name = key if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", key) else _text(key)
        if isinstance(value, dict):
            yield from _aligned(lines, indent)
            lines = []
            yield f"{indent}{name} = {{"
            yield from _attributes(value, f"{indent}  ")
            yield f"{indent}}}"
        else:
            lines.append((name, _literal(value)))
    yield from _aligned(lines, indent)


def _aligned(lines: Sequence[tuple[str, str]], indent: str) -> Iterator[str]:
    width = max((len(name) for name, _ in lines), default=0)
    for name, value in lines:
        yield f"{indent}{name:{width}} = {value}"


def _literal(value: object) -> str:
    if isinstance(value, _Expression):
        return value
    if isinstance(value, list):
        return f"[{', '.join(_literal(item) for item in value)}]"
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _text(text: str) -> str:
    """A quoted text with its template sequences escaped."""
    return json.dumps(text, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")
