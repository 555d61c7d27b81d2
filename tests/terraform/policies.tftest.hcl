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

run "defaults" {
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

  assert {
    condition = jsonencode([
      for statement in data.aws_iam_policy_document.worker_assistant.statement : {
        actions    = statement.actions
        resources  = statement.resources
        conditions = { for condition in statement.condition : condition.variable => concat([condition.test], condition.values) }
      }
      ]) == jsonencode([
      {
        actions    = ["dynamodb:UpdateItem"]
        resources  = ["arn:aws:dynamodb:eu-central-1:111122223333:table/sosw_tasks"]
        conditions = {}
      },
      {
        actions   = ["dynamodb:UpdateItem"]
        resources = ["arn:aws:dynamodb:eu-central-1:111122223333:table/sosw_registry"]
        conditions = {
          "dynamodb:Attributes"   = ["ForAllValues:StringEquals", "pk", "sk", "token_seen"]
          "dynamodb:LeadingKeys"  = ["ForAllValues:StringEquals", "control"]
          "dynamodb:ReturnValues" = ["StringEqualsIfExists", "NONE"]
        }
      },
    ])
    error_message = "A report is one write to the tasks table; that its Worker sends tokens is one to that attribute of the Worker's control item."
  }

  assert {
    condition     = !contains(flatten([for statement in data.aws_iam_policy_document.orchestrator.statement : tolist(statement.actions)]), "lambda:InvokeFunction")
    error_message = "The role itself may invoke nothing."
  }

  assert {
    condition     = !anytrue([for statement in data.aws_iam_policy_document.scavenger.statement : startswith(join(" ", statement.actions), "kms:")])
    error_message = "Where no topic has a key of its own, no right on a key is granted."
  }

  assert {
    condition = jsonencode([
      for statement in data.aws_iam_policy_document.report.statement :
      concat(sort(statement.actions), sort(statement.resources))
    ]) == jsonencode([["lambda:InvokeFunction", "arn:aws:lambda:eu-central-1:111122223333:function:sosw_worker_assistant"]])
    error_message = "Workers may invoke the WorkerAssistant, and nothing more."
  }

  assert {
    condition     = aws_iam_policy.report.name == "sosw_report_eu-central-1" && output.worker_policy_arn == aws_iam_policy.report.arn
    error_message = "The policy of one region does not meet that of another."
  }

  assert {
    condition = jsonencode([
      for statement in data.aws_iam_policy_document.rejected_jobs.statement : {
        actions    = statement.actions
        principals = [for principal in statement.principals : concat([principal.type], sort(principal.identifiers))]
        conditions = { for condition in statement.condition : condition.variable => concat([condition.test], condition.values) }
      } if statement.effect != "Deny"
      ]) == jsonencode([{
        actions    = ["sqs:SendMessage"]
        principals = [["Service", "events.amazonaws.com"]]
        conditions = {
          "aws:SourceArn" = ["ArnLike", "arn:aws:events:eu-central-1:111122223333:rule/sosw_job_*"]
        }
    }])
    error_message = "The rules of this installation's jobs may send to the queue, and nobody else by its policy."
  }

  assert {
    condition     = data.aws_iam_policy_document.rejected_jobs.json == aws_sqs_queue_policy.rejected_jobs.policy
    error_message = "The queue has its policy."
  }

  assert {
    condition = {
      for statement in data.aws_iam_policy_document.alarms.statement : statement.sid => concat(
        flatten([for principal in statement.principals : sort(principal.identifiers)]),
        flatten([for condition in statement.condition : concat([condition.variable], condition.values)]),
        sort(statement.actions),
      ) if statement.effect != "Deny"
      } == {
      LetOwnAccountUseIt = [
        "*", "aws:SourceOwner", "111122223333", "sns:AddPermission", "sns:DeleteTopic", "sns:GetTopicAttributes",
        "sns:ListSubscriptionsByTopic", "sns:Publish", "sns:RemovePermission", "sns:SetTopicAttributes", "sns:Subscribe",
      ]
      PublishAlarms = ["cloudwatch.amazonaws.com", "aws:SourceAccount", "111122223333", "sns:Publish"]
    }
    error_message = "The topic's policy grants what SNS's default grants, and alarms of this account get through."
  }

  assert {
    condition = alltrue([
      for document in [data.aws_iam_policy_document.rejected_jobs, data.aws_iam_policy_document.alarms] :
      jsonencode([
        for statement in document.statement : [
          one(statement.principals).identifiers, one(statement.condition).test, one(statement.condition).variable, one(statement.condition).values
        ] if statement.effect == "Deny"
      ]) == jsonencode([[["*"], "Bool", "aws:SecureTransport", ["false"]]])
    ])
    error_message = "Queue and topic refuse whoever comes without TLS, and nobody else."
  }

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

run "topics_under_keys_of_their_own" {
  command = plan

  variables {
    alarms      = { topic = { arn = "arn:aws:sns:eu-central-1:111122223333:oncall", kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/1" } }
    closed_jobs = { topic = { arn = "arn:aws:sns:eu-central-1:111122223333:reports", kms_key_arn = "arn:aws:kms:eu-central-1:444455556666:key/2" } }
  }

  assert {
    condition = jsonencode([
      for statement in data.aws_iam_policy_document.scavenger.statement :
      [sort(statement.actions), sort(statement.resources), one(statement.condition).variable, one(statement.condition).values]
      if statement.sid == "UseKeysOfTopics"
      ]) == jsonencode([[
        ["kms:Decrypt", "kms:GenerateDataKey"],
        ["arn:aws:kms:eu-central-1:111122223333:key/1", "arn:aws:kms:eu-central-1:444455556666:key/2"],
        "kms:ViaService",
        ["sns.eu-central-1.amazonaws.com"],
    ]])
    error_message = "The Scavenger may use the topics' keys to publish, and no other."
  }
}
