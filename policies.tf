# One document an Essential: what its code calls, on what it calls it. Rights on its own log group and the key are
# added by modules/essential. Then what Workers need, and who else may use the queue and the topic.

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
      "dynamodb:ConditionCheckItem",
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
    for_each = local.closed_jobs == null ? [] : [local.closed_jobs.topic.arn]

    content {
      sid       = "PublishClosedJobs"
      actions   = ["sns:Publish"]
      resources = [statement.value]
    }
  }

  dynamic "statement" {
    for_each = length(local.topic_kms_key_arns) == 0 ? [] : [local.topic_kms_key_arns]

    content {
      sid       = "UseKeysOfTopics"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = statement.value

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = ["sns.${local.region}.${data.aws_partition.this.dns_suffix}"]
      }
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

  statement {
    sid       = "NoteWhichWorkersSendTokens"
    actions   = ["dynamodb:UpdateItem"]
    resources = [local.table_arns.registry]

    condition {
      test     = "ForAllValues:StringEquals"
      variable = "dynamodb:LeadingKeys"
      values   = ["control"]
    }

    condition {
      test     = "ForAllValues:StringEquals"
      variable = "dynamodb:Attributes"
      values   = ["pk", "sk", "token_seen"]
    }

    # By its answer an update could read the whole item.
    condition {
      test     = "StringEqualsIfExists"
      variable = "dynamodb:ReturnValues"
      values   = ["NONE"]
    }
  }
}

data "aws_iam_policy_document" "report" {
  statement {
    sid       = "ReportToWorkerAssistant"
    actions   = ["lambda:InvokeFunction"]
    resources = [local.function_arns.worker_assistant]
  }
}

# The Scheduler and people of this account have their rights on the queue by their own policies.
data "aws_iam_policy_document" "rejected_jobs" {
  statement {
    sid       = "KeepJobsThatRulesCouldNotHandOver"
    actions   = ["sqs:SendMessage"]
    resources = [local.rejected_jobs_queue_arn]

    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }

    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = [local.job_rules_arn]
    }
  }

  statement {
    sid       = "RefusePlaintext"
    effect    = "Deny"
    actions   = ["sqs:*"]
    resources = [local.rejected_jobs_queue_arn]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

data "aws_iam_policy_document" "alarms" {
  # What SNS gives a topic that has no policy of its own.
  statement {
    sid = "LetOwnAccountUseIt"
    actions = [
      "sns:AddPermission",
      "sns:DeleteTopic",
      "sns:GetTopicAttributes",
      "sns:ListSubscriptionsByTopic",
      "sns:Publish",
      "sns:RemovePermission",
      "sns:SetTopicAttributes",
      "sns:Subscribe",
    ]
    resources = [local.alarm_topic_arn]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceOwner"
      values   = [local.account]
    }
  }

  statement {
    sid       = "PublishAlarms"
    actions   = ["sns:Publish"]
    resources = [local.alarm_topic_arn]

    principals {
      type        = "Service"
      identifiers = ["cloudwatch.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }

  statement {
    sid       = "RefusePlaintext"
    effect    = "Deny"
    actions   = ["sns:Publish"]
    resources = [local.alarm_topic_arn]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}
