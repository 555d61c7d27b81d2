locals {
  actions = [var.topic_arn]

  # Failures that the Essentials log, count and retry.
  work_failures = {
    orchestrator = "The Orchestrator of ${var.name} fails to start tasks, minute after minute. The errors in its log group /aws/lambda/${var.name}_orchestrator name Worker and reason: a registration cannot be read, or DynamoDB refuses calls or does not answer."
    scavenger    = "The Scavenger of ${var.name} fails to archive, retry, end or announce tasks, minute after minute. The errors in its log group /aws/lambda/${var.name}_scavenger name task or Worker, and reason: DynamoDB, SNS or Lambda refuse calls or do not answer."
  }

  # Metrics of several Essentials: one alarm on their sum, so that one cause sends one message.
  across_essentials = {
    left_over = {
      metric_name         = "LeftOver"
      services            = ["orchestrator", "scavenger"]
      period              = 60
      evaluation_periods  = 5
      datapoints_to_alarm = 3
      description         = "Ticks of ${var.name} have no time for all their work, minute after minute: tasks start and retry late, and jobs close late. The log groups /aws/lambda/${var.name}_orchestrator and /aws/lambda/${var.name}_scavenger have details. Give the Essential more time or memory: essentials.<name>.timeout_seconds and memory_mb."
    }
    unreadable = {
      metric_name         = "Unreadable"
      services            = ["orchestrator", "scavenger"]
      period              = 300
      evaluation_periods  = 3 # A late metric may first count as a filled 0.
      datapoints_to_alarm = 1
      description         = "Items in the tables of ${var.name} are no tasks any more, and no Essential changes them. `sosw tasks unreadable` lists them with the reason. `sosw tasks bury` turns them into dead tasks by their ids, so that they count in their jobs. The log groups /aws/lambda/${var.name}_orchestrator and /aws/lambda/${var.name}_scavenger show when they were found."
    }
    version_mismatch = {
      metric_name         = "VersionMismatch"
      services            = ["orchestrator", "scavenger", "scheduler", "worker_assistant"]
      period              = 300
      evaluation_periods  = 3
      datapoints_to_alarm = 3
      description         = "For 15 minutes an Essential of ${var.name} has run a package of another version than is pinned. In an upgrade this lasts a minute, and longer only if the apply failed midway. Apply again with package and version of the same release."
    }
    reports_without_token = {
      metric_name         = "ReportsWithoutToken"
      services            = ["worker_assistant"]
      period              = 3600
      evaluation_periods  = 24
      datapoints_to_alarm = 2
      description         = "Workers of ${var.name} report without the token that their tasks ask for, although they sent it before: their packages went back to sosw-runtime 0.1, or somebody else reports. Such reports count only once the attempt's lease ends, so that their tasks hold slots until then. The log group /aws/lambda/${var.name}_worker_assistant names the Workers. Build their packages with the present sosw-runtime and deploy them, or set require_token = false in the worker module."
    }
  }

  failures = merge([
    for function_name in var.functions : {
      "${function_name}_errors" = {
        function_name = function_name
        metric_name   = "Errors"
        description   = "${function_name} failed. Its log group /aws/lambda/${function_name} has the error."
      }
      "${function_name}_throttles" = {
        function_name = function_name
        metric_name   = "Throttles"
        description   = "Lambda refused to run ${function_name}: the account's or the function's concurrency is used up. See essentials.<name>.reserved_concurrency."
      }
    }
  ]...)
}

resource "aws_cloudwatch_metric_alarm" "dead_task" {
  alarm_name          = "${var.name}_dead_task"
  alarm_description   = "A task of ${var.name} is dead: it used up its attempts or can never succeed. It is kept. Inspect it, then replay or cancel it."
  namespace           = var.name
  metric_name         = "DeadTasks"
  dimensions          = { service = "scavenger" }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.actions
  tags                = var.tags
}

# A heartbeat that stopped leaves no data, so missing data is breaching.
resource "aws_cloudwatch_metric_alarm" "heartbeat_missing" {
  alarm_name          = "${var.name}_heartbeat_missing"
  alarm_description   = "The Orchestrator of ${var.name} has not finished a tick for 5 minutes: tasks start only on stream records."
  namespace           = var.name
  metric_name         = "Heartbeat"
  dimensions          = { service = "orchestrator" }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 5
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"
  alarm_actions       = local.actions
  ok_actions          = local.actions
  tags                = var.tags
}

# The next tick makes up for a single failure. Continuous failures may stop all work, and do not show in the functions' own errors.
resource "aws_cloudwatch_metric_alarm" "work_failures" {
  for_each = local.work_failures

  alarm_name          = "${var.name}_${each.key}_failures"
  alarm_description   = each.value
  namespace           = var.name
  metric_name         = "Failures"
  dimensions          = { service = each.key }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.actions
  ok_actions          = local.actions
  tags                = var.tags
}

# A throttled invoke counts as refused, and succeeds a minute later. If the function or the right to invoke it is missing, every invoke fails.
resource "aws_cloudwatch_metric_alarm" "invokes_refused" {
  alarm_name          = "${var.name}_invokes_refused"
  alarm_description   = "AWS has refused a Worker's invokes for 10 minutes. The warnings \"invoke refused\" in the log group /aws/lambda/${var.name}_orchestrator name Worker and reason: the function is missing or renamed, the Orchestrator's role has no right to invoke it, or Lambda throttles. Tasks stay queued meanwhile."
  namespace           = var.name
  metric_name         = "Refused"
  dimensions          = { service = "orchestrator" }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 10
  datapoints_to_alarm = 10
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.actions
  ok_actions          = local.actions
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "across_essentials" {
  for_each = local.across_essentials

  alarm_name          = "${var.name}_${each.key}"
  alarm_description   = each.value.description
  evaluation_periods  = each.value.evaluation_periods
  datapoints_to_alarm = each.value.datapoints_to_alarm
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.actions
  ok_actions          = local.actions
  tags                = var.tags

  # Without FILL there is no sum if one of the parts is missing.
  metric_query {
    id          = "total"
    expression  = join(" + ", [for service in each.value.services : "FILL(${service}, 0)"])
    label       = each.value.metric_name
    return_data = true
  }

  dynamic "metric_query" {
    for_each = each.value.services

    content {
      id = metric_query.value

      metric {
        namespace   = var.name
        metric_name = each.value.metric_name
        dimensions  = { service = metric_query.value }
        period      = each.value.period
        stat        = "Sum"
      }
    }
  }
}

# Only the Orchestrator has a heartbeat, so that this alarm alone shows that the Scavenger's ticks fail. Jobs' rules have no such alarm,
# since each would need its own: their undelivered events go to the queue of rejected jobs.
resource "aws_cloudwatch_metric_alarm" "ticks_failed" {
  alarm_name          = "${var.tick_rule_name}_failed"
  alarm_description   = "EventBridge cannot wake the Orchestrator or the Scavenger of ${var.name}, minute after minute: the function or the permission of the rule ${var.tick_rule_name} is missing. Apply again: Terraform creates it."
  namespace           = "AWS/Events"
  metric_name         = "FailedInvocations"
  dimensions          = { RuleName = var.tick_rule_name }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.actions
  ok_actions          = local.actions
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "failures" {
  for_each = local.failures

  alarm_name          = each.key
  alarm_description   = each.value.description
  namespace           = "AWS/Lambda"
  metric_name         = each.value.metric_name
  dimensions          = { FunctionName = each.value.function_name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.actions
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "iterator_age" {
  for_each = var.stream_consumers

  alarm_name          = "${each.value}_iterator_age"
  alarm_description   = "${each.value} is over a minute behind on the stream of the tasks table: its work is late, or the tick does it."
  namespace           = "AWS/Lambda"
  metric_name         = "IteratorAge"
  dimensions          = { FunctionName = each.value }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 5
  comparison_operator = "GreaterThanThreshold"
  threshold           = 60000 # ms
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.actions
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "rejected_jobs" {
  alarm_name          = "${var.rejected_jobs_queue_name}_not_empty"
  alarm_description   = "The Scheduler could not accept a job, or a rule could not deliver one. ${var.rejected_jobs_queue_name} keeps it with the reason, for 14 days. Mend the cause, then run `sosw jobs redrive`."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = var.rejected_jobs_queue_name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.actions
  tags                = var.tags
}
