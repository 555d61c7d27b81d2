# Region and credentials come from the environment.
provider "aws" {}

module "sosw" {
  source = "../.."

  runtime = {
    package = var.runtime_package
    version = var.runtime_version
  }
}

# A Lambda function that exists already.
data "aws_lambda_function" "worker" {
  function_name = var.function_name
}

# Tasks use an alias, which has its own configuration of asynchronous events. The function itself, which S3 or SNS may also
# invoke, is not changed. The alias follows every deployment.
resource "aws_lambda_alias" "tasks" {
  name             = "tasks"
  description      = "Invoked by sosw."
  function_name    = data.aws_lambda_function.worker.function_name
  function_version = "$LATEST"
}

module "worker" {
  source = "../../modules/worker"

  orchestrator    = module.sosw.orchestrator
  function_name   = data.aws_lambda_function.worker.function_name
  qualifier       = aws_lambda_alias.tasks.name
  role_name       = reverse(split("/", data.aws_lambda_function.worker.role))[0]
  timeout_seconds = data.aws_lambda_function.worker.timeout
  max_concurrency = 5

  # Lambda reports for the function when it returns. With `code`, the function reports itself, with a result.
  report_by = "destination"
}

# One task for the Worker, every night.
module "nightly" {
  source = "../../modules/job"

  orchestrator        = module.sosw.orchestrator
  schedule_expression = "cron(0 3 * * ? *)"
  job = {
    worker = module.worker.worker_id
    period = "yesterday"
  }
}
