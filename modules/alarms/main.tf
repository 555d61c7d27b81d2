locals {
  actions = [var.topic_arn]

  failures = merge([
    for function_name in var.functions : {
      "${function_name}_errors" = {
        function_name = function_name
        metric_name   = "Errors"
        description   = "${function_name} failed. Its log group /aws/lambda/${function_name} says why."
      }
      "${function_name}_throttles" = {
        function_name = function_name
        metric_name   = "Throttles"
        description   = "Lambda refused to run ${function_name}: the account's or the function's concurrency is used up."
      }
    }
  ]...)
}

resource "aws_cloudwatch_metric_alarm" "dead_task" {
  alarm_name          = "${var.name}_dead_task"
  alarm_description   = "A task of ${var.name} used up its attempts or can never succeed. It is kept; look at it, then replay or cancel it."
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

# A heartbeat that stopped leaves no data: missing is what it looks for.
resource "aws_cloudwatch_metric_alarm" "heartbeat_missing" {
  alarm_name          = "${var.name}_heartbeat_missing"
  alarm_description   = "The Orchestrator of ${var.name} has not finished a tick for 5 minutes: nothing new is started except on stream records."
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
  alarm_description   = "${each.value} is over a minute behind on the stream of the tasks table; work starts late, on the tick instead."
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
  alarm_description   = "The Scheduler could not take a job; ${var.rejected_jobs_queue_name} holds it with the reason, for 14 days."
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
