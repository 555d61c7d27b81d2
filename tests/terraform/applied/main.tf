provider "aws" {}

# A change here puts off whatever reads data of AWS in the module, and with it the names of account and region.
resource "terraform_data" "earlier" {
  input = var.revision
}

module "sosw" {
  source = "../../.."

  runtime = var.runtime
  tables  = { deletion_protection = false }
  alarms  = { enabled = false }

  essentials = { worker_assistant = { reserved_concurrency = 2 } }

  depends_on = [terraform_data.earlier]
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

resource "aws_iam_role" "worker" {
  name               = "resize"
  assume_role_policy = data.aws_iam_policy_document.lambda.json
}

resource "aws_lambda_function" "worker" {
  function_name = "resize"
  role          = aws_iam_role.worker.arn
  handler       = "worker.handler"
  runtime       = "python3.13"
  filename      = var.runtime.package
}

resource "aws_lambda_alias" "tasks" {
  name             = "tasks"
  function_name    = aws_lambda_function.worker.function_name
  function_version = "$LATEST"
}

module "resize" {
  source = "../../../modules/worker"

  orchestrator    = module.sosw.orchestrator
  function_name   = aws_lambda_function.worker.function_name
  qualifier       = aws_lambda_alias.tasks.name
  role_name       = aws_iam_role.worker.name
  timeout_seconds = aws_lambda_function.worker.timeout
  max_concurrency = 1

  # Known only once it is applied.
  config = { revision = terraform_data.earlier.id, width = 800 }
}

# The same function under the same alias.
module "second" {
  source = "../../../modules/worker"
  count  = var.second_worker ? 1 : 0

  orchestrator    = module.sosw.orchestrator
  function_name   = aws_lambda_function.worker.arn
  qualifier       = aws_lambda_alias.tasks.name
  role_name       = aws_iam_role.worker.name
  timeout_seconds = aws_lambda_function.worker.timeout
  max_concurrency = 1
}

module "nightly" {
  source = "../../../modules/job"

  orchestrator        = module.sosw.orchestrator
  schedule_expression = "cron(0 3 * * ? *)"
  job                 = { worker = module.resize.worker_id, period = "yesterday" }
}
