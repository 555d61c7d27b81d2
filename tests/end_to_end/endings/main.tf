provider "aws" {}

module "sosw" {
  source = "../../.."

  runtime = var.runtime
  tables  = { deletion_protection = false }
  alarms  = { enabled = false }
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
  name               = "endings"
  assume_role_policy = data.aws_iam_policy_document.lambda.json
}

resource "aws_lambda_function" "worker" {
  function_name    = "endings"
  role             = aws_iam_role.worker.arn
  handler          = "worker.handler"
  runtime          = "python3.13"
  timeout          = 5
  memory_size      = 512
  filename         = var.worker_package
  source_code_hash = filebase64sha256(var.worker_package)

  environment {
    variables = module.sosw.worker_environment
  }
}

module "endings" {
  source = "../../../modules/worker"

  orchestrator    = module.sosw.orchestrator
  function_name   = aws_lambda_function.worker.function_name
  role_name       = aws_iam_role.worker.name
  timeout_seconds = aws_lambda_function.worker.timeout
  max_concurrency = 4
  job_schemas     = { default = { chunkable_attrs = ["ending"] } }

  # The emulator knows no on-success destination. Failures come by destination either way.
  report_by = "code"

  # A lease of more than an hour: whatever waits for its end is not done in time.
  max_event_age_seconds = 3600

  # What failed is due at once.
  retry = { base_delay_seconds = 0 }
}
