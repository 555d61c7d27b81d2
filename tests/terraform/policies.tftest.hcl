# What the Essentials' policies may grant at most. That they grant enough is for the tests that run the Essentials.

mock_provider "aws" {
  source          = "./tests/terraform/mocks"
  override_during = plan
}

variables {
  runtime = {
    package = "tests/terraform/packages/sosw-runtime-1.2.3-py313-arm64.zip"
    version = "1.2.3"
  }
}

run "no_wildcards" {
  command = plan

  assert {
    condition = alltrue([
      for statement in concat(
        data.aws_iam_policy_document.scheduler.statement,
        data.aws_iam_policy_document.orchestrator.statement,
        data.aws_iam_policy_document.scavenger.statement,
        data.aws_iam_policy_document.worker_assistant.statement,
      ) :
      statement.not_actions == null
      && statement.not_resources == null
      && alltrue([for action in statement.actions : can(regex("^[a-z]+:[A-Za-z]+$", action))])
    ])
    error_message = "Every action is named in full."
  }

  assert {
    condition = toset(flatten([
      for statement in concat(
        data.aws_iam_policy_document.scheduler.statement,
        data.aws_iam_policy_document.orchestrator.statement,
        data.aws_iam_policy_document.scavenger.statement,
        data.aws_iam_policy_document.worker_assistant.statement,
      ) :
      tolist(statement.actions) if anytrue([for resource in statement.resources : strcontains(resource, "*")])
    ])) == toset(["cloudwatch:GetMetricData"])
    error_message = "Only the action that knows no resources is granted on all."
  }
}

run "own_things_only" {
  command = plan

  assert {
    condition = toset(flatten([
      for statement in concat(
        data.aws_iam_policy_document.scheduler.statement,
        data.aws_iam_policy_document.orchestrator.statement,
        data.aws_iam_policy_document.scavenger.statement,
        data.aws_iam_policy_document.worker_assistant.statement,
      ) :
      tolist(statement.resources)
      ])) == toset([
      "*",
      "arn:aws:dynamodb:eu-central-1:111122223333:table/any/stream/2026-01-31T00:00:00.000",
      "arn:aws:dynamodb:eu-central-1:111122223333:table/sosw_closed_tasks",
      "arn:aws:dynamodb:eu-central-1:111122223333:table/sosw_closed_tasks/index/outbox",
      "arn:aws:dynamodb:eu-central-1:111122223333:table/sosw_registry",
      "arn:aws:dynamodb:eu-central-1:111122223333:table/sosw_retry_tasks",
      "arn:aws:dynamodb:eu-central-1:111122223333:table/sosw_tasks",
      "arn:aws:dynamodb:eu-central-1:111122223333:table/sosw_tasks/index/queue",
      "arn:aws:lambda:eu-central-1:111122223333:function:sosw_scheduler",
      "arn:aws:sns:eu-central-1:111122223333:sosw_alarms",
      "arn:aws:sqs:eu-central-1:111122223333:sosw_rejected_jobs",
    ])
    error_message = "No right reaches beyond what this module makes."
  }
}

run "worker_assistant" {
  command = plan

  assert {
    condition = jsonencode([
      for statement in data.aws_iam_policy_document.worker_assistant.statement :
      concat(sort(statement.actions), sort(statement.resources))
    ]) == jsonencode([["dynamodb:UpdateItem", "arn:aws:dynamodb:eu-central-1:111122223333:table/sosw_tasks"]])
    error_message = "A report is one write to the tasks table."
  }
}

run "orchestrator_invokes_by_the_workers_own_policies" {
  command = plan

  assert {
    condition     = !contains(flatten([for statement in data.aws_iam_policy_document.orchestrator.statement : tolist(statement.actions)]), "lambda:InvokeFunction")
    error_message = "The role itself may invoke nothing."
  }
}

run "closed_jobs" {
  command = plan

  variables {
    closed_jobs = { topic = { arn = "arn:aws:sns:eu-central-1:111122223333:reports" } }
  }

  assert {
    condition = jsonencode([
      for statement in data.aws_iam_policy_document.scavenger.statement :
      concat(sort(statement.actions), sort(statement.resources)) if statement.sid == "PublishClosedJobs"
    ]) == jsonencode([["sns:Publish", "arn:aws:sns:eu-central-1:111122223333:reports"]])
    error_message = "The Scavenger may publish closed jobs to the topic that is named."
  }

  assert {
    condition     = local.environment.SOSW_JOBS_TOPIC_ARN == "arn:aws:sns:eu-central-1:111122223333:reports"
    error_message = "The Scavenger is not told where closed jobs are published."
  }
}

run "jobs_from_rules_alone" {
  command = plan

  assert {
    condition = (
      aws_lambda_permission.jobs.function_name == "sosw_scheduler"
      && aws_lambda_permission.jobs.principal == "events.amazonaws.com"
      && aws_lambda_permission.jobs.source_account == "111122223333"
      && aws_lambda_permission.jobs.source_arn == "arn:aws:events:eu-central-1:111122223333:rule/sosw_job_*"
    )
    error_message = "One permission covers the rules of all job modules, and no other rule."
  }
}
