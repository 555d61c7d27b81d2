provider "aws" {}

module "sosw" {
  source = "../.."

  name    = var.name
  runtime = var.runtime

  # Allows the example to be destroyed. Leave this out in production.
  tables = { deletion_protection = false }
}

# Two Workers, as a team may have them ------------------------------------------------------------------------------

locals {
  function_names = {
    collect   = "weather_collect"
    summarise = "weather_summarise"
  }
}

resource "aws_cloudwatch_log_group" "worker" {
  for_each = local.function_names

  name              = "/aws/lambda/${each.value}"
  retention_in_days = 14
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
  for_each = local.function_names

  name               = each.value
  assume_role_policy = data.aws_iam_policy_document.lambda.json
}

data "aws_iam_policy_document" "logs" {
  for_each = local.function_names

  statement {
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.worker[each.key].arn}:*"]
  }
}

resource "aws_iam_role_policy" "logs" {
  for_each = local.function_names

  name   = "logs"
  role   = aws_iam_role.worker[each.key].name
  policy = data.aws_iam_policy_document.logs[each.key].json
}

resource "aws_lambda_function" "worker" {
  for_each = local.function_names

  function_name    = each.value
  role             = aws_iam_role.worker[each.key].arn
  handler          = "${each.key}.handler"
  runtime          = "python3.13"
  timeout          = 60
  memory_size      = 256
  filename         = var.workers_package
  source_code_hash = filebase64sha256(var.workers_package)

  environment {
    variables = module.sosw.worker_environment
  }

  depends_on = [aws_cloudwatch_log_group.worker, aws_iam_role_policy.logs]
}

# Their registrations and jobs --------------------------------------------------------------------------------------

# Both functions run only tasks. A function with other callers gets an alias for its tasks, as in examples/minimal.
module "collect" {
  source = "../../modules/worker"

  orchestrator    = module.sosw.orchestrator
  function_name   = aws_lambda_function.worker["collect"].function_name
  role_name       = aws_iam_role.worker["collect"].name
  timeout_seconds = aws_lambda_function.worker["collect"].timeout
  max_concurrency = var.max_concurrency

  # Every instance that starts after a change reads it, without a deployment.
  config = { station = var.station }

  # The station recovers quickly.
  retry = { max_attempts = 3, base_delay_seconds = 5 }
}

module "summarise" {
  source = "../../modules/worker"

  orchestrator    = module.sosw.orchestrator
  function_name   = aws_lambda_function.worker["summarise"].function_name
  role_name       = aws_iam_role.worker["summarise"].name
  timeout_seconds = aws_lambda_function.worker["summarise"].timeout
  max_concurrency = 1
}

module "monthly_summary" {
  source = "../../modules/job"

  orchestrator        = module.sosw.orchestrator
  name                = "monthly_summary"
  schedule_expression = "cron(0 3 1 * ? *)"

  # Disabled: the file ends with 2015, so that every run would give the same month. A job on live data is enabled and has
  # a `period`, such as "yesterday".
  enabled = false
  job = {
    worker     = module.summarise.worker_id
    start_date = "2015-12-01"
    end_date   = "2015-12-31"
  }
}

# Receiver of alarms: here a queue, elsewhere a mailbox or a pager ----------------------------------------------------

resource "aws_sqs_queue" "alarms" {
  name                    = "${var.name}_alarms"
  sqs_managed_sse_enabled = true
}

data "aws_iam_policy_document" "alarms" {
  statement {
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.alarms.arn]

    principals {
      type        = "Service"
      identifiers = ["sns.amazonaws.com"]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [module.sosw.alarm_topic_arn]
    }
  }
}

resource "aws_sqs_queue_policy" "alarms" {
  queue_url = aws_sqs_queue.alarms.id
  policy    = data.aws_iam_policy_document.alarms.json
}

resource "aws_sns_topic_subscription" "alarms" {
  topic_arn = module.sosw.alarm_topic_arn
  protocol  = "sqs"
  endpoint  = aws_sqs_queue.alarms.arn

  depends_on = [aws_sqs_queue_policy.alarms]
}
