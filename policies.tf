# One document an Essential: what its code calls, on what it calls it. Rights on its own log group and the key are
# added by modules/essential.

locals {
  read_tasks_stream = [
    "dynamodb:DescribeStream",
    "dynamodb:GetRecords",
    "dynamodb:GetShardIterator",
    "dynamodb:ListStreams",
  ]
}

data "aws_iam_policy_document" "scheduler" {
  statement {
    sid       = "EnqueueTasks"
    actions   = ["dynamodb:BatchGetItem", "dynamodb:BatchWriteItem", "dynamodb:ConditionCheckItem", "dynamodb:PutItem"]
    resources = [local.table_arns.tasks]
  }

  statement {
    sid       = "DelayTasks"
    actions   = ["dynamodb:BatchWriteItem", "dynamodb:PutItem", "dynamodb:Query"]
    resources = [local.table_arns.retry_tasks]
  }

  statement {
    sid       = "FindClosedTasks"
    actions   = ["dynamodb:BatchGetItem", "dynamodb:ConditionCheckItem"]
    resources = [local.table_arns.closed_tasks]
  }

  statement {
    sid = "KeepJobs"
    actions = [
      "dynamodb:BatchGetItem",
      "dynamodb:DeleteItem",
      "dynamodb:GetItem",
      "dynamodb:PutItem",
      "dynamodb:UpdateItem",
    ]
    resources = [local.table_arns.registry]
  }

  statement {
    sid       = "HandOnToItself"
    actions   = ["lambda:InvokeFunction"]
    resources = [local.function_arns.scheduler]
  }

  statement {
    sid       = "SendRejectedJobs"
    actions   = ["sqs:SendMessage"]
    resources = [local.rejected_jobs_queue_arn]
  }
}

data "aws_iam_policy_document" "orchestrator" {
  statement {
    sid       = "ClaimTasks"
    actions   = ["dynamodb:PutItem", "dynamodb:UpdateItem"]
    resources = [local.table_arns.tasks]
  }

  statement {
    sid       = "ReadQueue"
    actions   = ["dynamodb:Query"]
    resources = ["${local.table_arns.tasks}/index/queue"]
  }

  statement {
    sid = "KeepSlots"
    actions = [
      "dynamodb:BatchGetItem",
      "dynamodb:DeleteItem",
      "dynamodb:PutItem",
      "dynamodb:Query",
    ]
    resources = [local.table_arns.registry]
  }

  statement {
    sid       = "ReadTasksStream"
    actions   = local.read_tasks_stream
    resources = [module.tables.tasks_stream_arn]
  }

  statement {
    sid     = "ReadHealthMetrics"
    actions = ["cloudwatch:GetMetricData"]
    # The action knows no resources:
    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html
    resources = ["*"]
  }
}

data "aws_iam_policy_document" "scavenger" {
  statement {
    sid = "TidyTasks"
    actions = [
      "dynamodb:BatchGetItem",
      "dynamodb:BatchWriteItem",
      "dynamodb:DeleteItem",
      "dynamodb:GetItem",
      "dynamodb:PutItem",
      "dynamodb:Scan",
      "dynamodb:UpdateItem",
    ]
    resources = [local.table_arns.tasks]
  }

  statement {
    sid       = "RetryAndRequeueTasks"
    actions   = ["dynamodb:DeleteItem", "dynamodb:PutItem", "dynamodb:Query"]
    resources = [local.table_arns.retry_tasks]
  }

  statement {
    sid = "CloseTasks"
    actions = [
      "dynamodb:BatchGetItem",
      "dynamodb:BatchWriteItem",
      "dynamodb:PutItem",
      "dynamodb:UpdateItem",
    ]
    resources = [local.table_arns.closed_tasks]
  }

  statement {
    sid       = "ReadOutbox"
    actions   = ["dynamodb:Query"]
    resources = ["${local.table_arns.closed_tasks}/index/outbox"]
  }

  statement {
    sid = "KeepSlotsAndProgress"
    actions = [
      "dynamodb:BatchGetItem",
      "dynamodb:DeleteItem",
      "dynamodb:GetItem",
      "dynamodb:PutItem",
      "dynamodb:Query",
      "dynamodb:UpdateItem",
    ]
    resources = [local.table_arns.registry]
  }

  statement {
    sid       = "ReadTasksStream"
    actions   = local.read_tasks_stream
    resources = [module.tables.tasks_stream_arn]
  }

  statement {
    sid       = "PublishAlarms"
    actions   = ["sns:Publish"]
    resources = [local.alarm_topic_arn]
  }

  dynamic "statement" {
    for_each = var.closed_jobs == null ? [] : [var.closed_jobs.topic.arn]

    content {
      sid       = "PublishClosedJobs"
      actions   = ["sns:Publish"]
      resources = [statement.value]
    }
  }

  statement {
    sid       = "HandOnStalledJobs"
    actions   = ["lambda:InvokeFunction"]
    resources = [local.function_arns.scheduler]
  }
}

data "aws_iam_policy_document" "worker_assistant" {
  statement {
    sid       = "RecordReports"
    actions   = ["dynamodb:UpdateItem"]
    resources = [local.table_arns.tasks]
  }
}
