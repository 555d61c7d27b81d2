# Applied with the modules of this version, and with those of the one before it, on the same state.

provider "aws" {}

module "sosw" {
  source = "../../.."

  runtime = var.runtime
  tables  = { deletion_protection = false }
}

# What the Workers write of each of their runs.
resource "aws_dynamodb_table" "runs" {
  name         = "runs"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "task_id"
  range_key    = "request_id"

  attribute {
    name = "task_id"
    type = "S"
  }

  attribute {
    name = "request_id"
    type = "S"
  }
}

data "aws_iam_policy_document" "lambda" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "runs" {
  statement {
    actions   = ["dynamodb:PutItem"]
    resources = [aws_dynamodb_table.runs.arn]
  }
}

resource "aws_iam_role" "worker" {
  for_each = var.workers

  name               = each.key
  assume_role_policy = data.aws_iam_policy_document.lambda.json
}

resource "aws_iam_role_policy" "runs" {
  for_each = var.workers

  name   = "runs"
  role   = aws_iam_role.worker[each.key].name
  policy = data.aws_iam_policy_document.runs.json
}

resource "aws_lambda_function" "worker" {
  for_each = var.workers

  function_name    = each.key
  role             = aws_iam_role.worker[each.key].arn
  handler          = each.value.handler
  runtime          = "python3.13"
  timeout          = 120
  memory_size      = 256
  filename         = each.value.package
  source_code_hash = filebase64sha256(each.value.package)

  environment {
    variables = module.sosw.worker_environment
  }

  depends_on = [aws_iam_role_policy.runs]
}

locals {
  job_schemas = { default = { chunkable_attrs = ["number"] } }
  retry       = { base_delay_seconds = 40 }
}

# Reports with the Worker side of the version before.
module "before" {
  source = "../../../modules/worker"

  orchestrator    = module.sosw.orchestrator
  function_name   = aws_lambda_function.worker["before"].function_name
  role_name       = aws_iam_role.worker["before"].name
  timeout_seconds = aws_lambda_function.worker["before"].timeout
  max_concurrency = var.max_concurrency
  job_schemas     = local.job_schemas
  retry           = local.retry
}

# Reports with the Worker side of this version.
module "this" {
  source = "../../../modules/worker"

  orchestrator    = module.sosw.orchestrator
  function_name   = aws_lambda_function.worker["this"].function_name
  role_name       = aws_iam_role.worker["this"].name
  timeout_seconds = aws_lambda_function.worker["this"].timeout
  max_concurrency = var.max_concurrency
  job_schemas     = local.job_schemas
  retry           = local.retry
}

# Lambda reports for it.
module "destination" {
  source = "../../../modules/worker"

  orchestrator    = module.sosw.orchestrator
  function_name   = aws_lambda_function.worker["destination"].function_name
  role_name       = aws_iam_role.worker["destination"].name
  timeout_seconds = aws_lambda_function.worker["destination"].timeout
  max_concurrency = var.max_concurrency
  job_schemas     = local.job_schemas
  retry           = local.retry
  report_by       = "destination"
}
