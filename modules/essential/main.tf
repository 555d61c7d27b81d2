locals {
  package_file = basename(coalesce(var.package.path, try(var.package.s3.key, "")))
  platform     = regex("-py(?P<major>3)(?P<minor>11|12|13)-(?P<architecture>arm64|x86_64)\\.zip$", local.package_file)
}

data "aws_partition" "this" {}

data "aws_region" "this" {}

# Created before the function, by its literal name. Otherwise Lambda creates it on the first call, without retention or key,
# and a later apply fails because it exists.
resource "aws_cloudwatch_log_group" "this" {
  name              = "/aws/lambda/${var.function_name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = one(var.kms[*].key_arn)
  tags              = var.tags
}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "this" {
  # Roles are global to an account: the region keeps two regions' roles apart.
  name                 = "${var.function_name}_${data.aws_region.this.id}"
  description          = "Execution role of the Lambda function ${var.function_name}."
  path                 = var.iam.path
  permissions_boundary = var.iam.permissions_boundary_arn
  assume_role_policy   = data.aws_iam_policy_document.assume.json
  tags                 = var.tags

  lifecycle {
    # If the caller has a `depends_on`, the region is unknown until apply. An unknown name would replace the role, and with it
    # every Worker's permission, which contains the role's ARN.
    ignore_changes = [name]
    # The role still follows its function's name.
    replace_triggered_by = [aws_cloudwatch_log_group.this.name]
  }
}

data "aws_iam_policy_document" "own" {
  statement {
    sid       = "WriteOwnLogs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this.arn}:*"]
  }

  dynamic "statement" {
    for_each = var.kms[*]

    content {
      sid       = "UseKey"
      actions   = statement.value.actions
      resources = [statement.value.key_arn]

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = [for service in statement.value.services : "${service}.${data.aws_region.this.id}.${data.aws_partition.this.dns_suffix}"]
      }
    }
  }
}

resource "aws_iam_role_policy" "own" {
  name   = "own"
  role   = aws_iam_role.this.name
  policy = data.aws_iam_policy_document.own.json
}

resource "aws_iam_role_policy" "work" {
  name   = "work"
  role   = aws_iam_role.this.name
  policy = var.policy_json
}

resource "aws_lambda_function" "this" {
  function_name = var.function_name
  description   = var.description
  role          = aws_iam_role.this.arn
  handler       = var.handler
  runtime       = "python${local.platform.major}.${local.platform.minor}"
  architectures = [local.platform.architecture]
  memory_size   = var.memory_mb
  timeout       = var.timeout_seconds
  kms_key_arn   = one(var.kms[*].key_arn)

  reserved_concurrent_executions = var.reserved_concurrency

  filename          = var.package.path
  source_code_hash  = var.package.path != null ? filebase64sha256(var.package.path) : one(var.package.s3[*].source_code_hash)
  s3_bucket         = one(var.package.s3[*].bucket)
  s3_key            = one(var.package.s3[*].key)
  s3_object_version = one(var.package.s3[*].object_version)

  environment {
    variables = var.environment
  }

  # The format Text keeps the function's own lines, which are JSON. The format JSON filters lines by level, and would drop
  # the metrics that the function prints.
  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.this.name
  }

  tags = var.tags

  # The function may run from its creation to its deletion, so that its log group and its rights must outlive it.
  depends_on = [
    aws_cloudwatch_log_group.this,
    aws_iam_role_policy.own,
    aws_iam_role_policy.work,
  ]
}

resource "aws_lambda_function_event_invoke_config" "this" {
  function_name                = aws_lambda_function.this.function_name
  maximum_retry_attempts       = var.async.max_retry_attempts
  maximum_event_age_in_seconds = var.async.max_event_age_seconds

  dynamic "destination_config" {
    for_each = var.async.on_failure[*]

    content {
      on_failure {
        destination = destination_config.value.arn
      }
    }
  }
}
