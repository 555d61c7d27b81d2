locals {
  qualified_function_name = join(":", compact([var.function_name, var.qualifier]))
  plain_function_name     = reverse(split(":", var.function_name))[0]
  worker_id               = coalesce(var.worker_id, local.plain_function_name)
  function_key            = "${local.plain_function_name}:${coalesce(var.qualifier, "$LATEST")}"

  # Where `sosw_runtime.worker` looks for it.
  config_parameter_name = "/${var.orchestrator.name}/${local.plain_function_name}/config"
  # The installation's account and region, derived from an ARN: data of AWS would make the plan wait for it.
  config_parameter_arn = format(
    "arn:%s:ssm:%s:%s:parameter%s",
    split(":", var.orchestrator.worker_assistant_function_arn)[1],
    split(":", var.orchestrator.worker_assistant_function_arn)[3],
    split(":", var.orchestrator.worker_assistant_function_arn)[4],
    local.config_parameter_name,
  )

  # IAM accepts up to 128 letters, digits and _+=,.@- (https://docs.aws.amazon.com/IAM/latest/APIReference/API_PutRolePolicy.html).
  # Different ids need different policies, since several Workers may share one role.
  plain_policy_name = "${var.orchestrator.name}_report_${local.worker_id}"
  policy_name = (
    can(regex("^[\\w+=,.@-]{1,128}$", local.plain_policy_name))
    ? local.plain_policy_name
    : "${substr(replace(local.plain_policy_name, ":", "_"), 0, 111)}_${substr(sha256(local.worker_id), 0, 16)}"
  )

  registration = {
    worker_id             = local.worker_id
    function_name         = local.qualified_function_name
    timeout_seconds       = var.timeout_seconds
    max_concurrency       = var.max_concurrency
    labels                = var.labels
    report_by             = var.report_by
    max_event_age_seconds = var.max_event_age_seconds
    retry                 = local.retry
    health_metrics        = local.health_metrics
    queue_shards          = var.queue_shards
    job_schemas           = local.job_schemas
  }
}

# A function has one configuration of asynchronous events per qualifier, and a second Worker would overwrite it. So each function
# and qualifier has an item that only one Worker can create, before it configures the function. If that fails, Terraform prints
# the next line.
resource "aws_dynamodb_table_item" "function" { # If the conditional request failed: there is another Worker of this function and qualifier. Give this one an alias of its own.
  table_name = var.orchestrator.registry_table_name
  hash_key   = "pk"
  range_key  = "sk"
  item = jsonencode({
    pk        = { S = "function" }
    sk        = { S = local.function_key }
    worker_id = { S = local.worker_id }
  })

  lifecycle {
    # An update to another key would overwrite the item of another Worker.
    replace_triggered_by = [terraform_data.function]
  }
}

resource "terraform_data" "function" {
  input = local.function_key
}

# Only Terraform writes this item: slots, health and pauses have their own items.
resource "aws_dynamodb_table_item" "registration" {
  table_name = var.orchestrator.registry_table_name
  hash_key   = "pk"
  range_key  = "sk"
  item = jsonencode({
    pk   = { S = "worker" }
    sk   = { S = local.worker_id }
    spec = { S = jsonencode(local.registration) }
    # Not in the spec: version 0.1.0 of the Essentials refuses a spec with unknown keys.
    require_token = { BOOL = var.require_token }
  })

  # A registered Worker may be invoked at once, so that its configuration must exist and its reports must already arrive.
  depends_on = [
    aws_iam_role_policy.report,
    aws_lambda_function_event_invoke_config.this,
    aws_lambda_permission.orchestrator,
    aws_ssm_parameter.config,
  ]
}

resource "aws_lambda_permission" "orchestrator" {
  statement_id  = "${var.orchestrator.name}_orchestrator"
  action        = "lambda:InvokeFunction"
  function_name = var.function_name
  qualifier     = var.qualifier
  principal     = var.orchestrator.orchestrator_role_arn

  # Created last and destroyed first: the Worker is invoked only under the configuration below.
  depends_on = [
    aws_dynamodb_table_item.function,
    aws_lambda_function_event_invoke_config.this,
  ]
}

# The Essentials count and delay attempts, and an attempt's lease is as long as its event can live. With Lambda's own retries, or
# its default maximum age of six hours, an old attempt could run at the same time as a newer one.
resource "aws_lambda_function_event_invoke_config" "this" {
  function_name                = var.function_name
  qualifier                    = var.qualifier
  maximum_retry_attempts       = 0
  maximum_event_age_in_seconds = var.max_event_age_seconds

  destination_config {
    # Also for Workers that report by code: a Worker that crashed cannot report.
    on_failure {
      destination = var.orchestrator.worker_assistant_function_arn
    }

    dynamic "on_success" {
      for_each = var.report_by == "destination" ? ["WorkerAssistant"] : []

      content {
        destination = var.orchestrator.worker_assistant_function_arn
      }
    }
  }

  # Lambda checks the role's right to invoke a destination when it is set.
  depends_on = [
    aws_dynamodb_table_item.function,
    aws_iam_role_policy.report,
  ]
}

data "aws_iam_policy_document" "report" {
  statement {
    sid       = "ReportToWorkerAssistant"
    actions   = ["lambda:InvokeFunction"]
    resources = [var.orchestrator.worker_assistant_function_arn]
  }

  # Also without `config`: others may write the parameter. The AWS managed key of SecureStrings needs no right of its own:
  # its policy lets those use it who may read the parameter.
  statement {
    sid       = "ReadConfig"
    actions   = ["ssm:GetParameter"]
    resources = [local.config_parameter_arn]
  }
}

resource "aws_ssm_parameter" "config" {
  count = var.config == null ? 0 : 1

  name        = local.config_parameter_name
  description = "Configuration of the Worker ${local.worker_id}."
  type        = "SecureString"
  value       = jsonencode(var.config)

  # It belongs to the function's one Worker.
  depends_on = [aws_dynamodb_table_item.function]
}

resource "aws_iam_role_policy" "report" {
  count = var.attach_policy ? 1 : 0

  name   = local.policy_name
  role   = var.role_name
  policy = data.aws_iam_policy_document.report.json

  # Otherwise a second Worker of the function, although refused, would take over this policy and delete it with its block.
  depends_on = [aws_dynamodb_table_item.function]
}
