# The parts that the root module is made of.

mock_provider "aws" {
  source          = "./tests/terraform/mocks"
  override_during = plan
}

run "tables" {
  command = plan

  module {
    source = "./modules/tables"
  }

  variables {
    name = "sosw"
    tags = { team = "media" }
  }

  assert {
    condition = alltrue([
      for table in [aws_dynamodb_table.tasks, aws_dynamodb_table.retry_tasks, aws_dynamodb_table.closed_tasks, aws_dynamodb_table.registry] :
      table.billing_mode == "PAY_PER_REQUEST"
      && table.point_in_time_recovery[0].enabled
      && table.server_side_encryption[0].enabled
      && table.tags == tomap({ team = "media" })
    ])
    error_message = "Every table is on demand, backed up, encrypted and tagged."
  }

  assert {
    condition     = aws_dynamodb_table.tasks.stream_enabled && aws_dynamodb_table.tasks.stream_view_type == "NEW_AND_OLD_IMAGES"
    error_message = "The tasks table has a stream of both images."
  }

  assert {
    condition = {
      for name, table in {
        tasks        = aws_dynamodb_table.tasks
        retry_tasks  = aws_dynamodb_table.retry_tasks
        closed_tasks = aws_dynamodb_table.closed_tasks
        registry     = aws_dynamodb_table.registry
      } : name => join(" ", compact([table.hash_key, table.range_key]))
      } == {
      tasks        = "task_id"
      retry_tasks  = "worker_id due"
      closed_tasks = "task_id"
      registry     = "pk sk"
    }
    error_message = "The keys are those of the architecture."
  }

  assert {
    condition = {
      for index in concat(tolist(aws_dynamodb_table.tasks.global_secondary_index), tolist(aws_dynamodb_table.closed_tasks.global_secondary_index)) :
      index.name => "${index.hash_key} ${index.range_key} ${index.projection_type}"
      } == {
      queue      = "queue_key queue_rank KEYS_ONLY"
      by_outcome = "outcome_key closed_at INCLUDE"
      outbox     = "outbox closed_at KEYS_ONLY"
    }
    error_message = "The indexes are those of the architecture."
  }

  assert {
    condition = alltrue([
      for table in [aws_dynamodb_table.closed_tasks, aws_dynamodb_table.registry] :
      table.ttl[0].enabled && table.ttl[0].attribute_name == "expires_at"
    ])
    error_message = "Closed tasks and jobs expire."
  }

  assert {
    condition     = length(aws_dynamodb_table.tasks.ttl) == 0 && length(aws_dynamodb_table.retry_tasks.ttl) == 0
    error_message = "A task that is not closed never expires."
  }
}

run "unprotected_tables" {
  command = plan

  module {
    source = "./modules/tables"
  }

  variables {
    name                   = "sosw"
    point_in_time_recovery = false
    deletion_protection    = false
    encryption             = false
  }

  assert {
    condition = alltrue([
      for table in [aws_dynamodb_table.tasks, aws_dynamodb_table.retry_tasks, aws_dynamodb_table.closed_tasks, aws_dynamodb_table.registry] :
      !table.point_in_time_recovery[0].enabled && !table.server_side_encryption[0].enabled
    ])
    error_message = "Each protection can be turned off."
  }
}

run "tables_under_a_key" {
  command = plan

  module {
    source = "./modules/tables"
  }

  variables {
    name        = "sosw"
    kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd"
  }

  assert {
    condition = alltrue([
      for table in [aws_dynamodb_table.tasks, aws_dynamodb_table.retry_tasks, aws_dynamodb_table.closed_tasks, aws_dynamodb_table.registry] :
      table.server_side_encryption[0].kms_key_arn == var.kms_key_arn
    ])
    error_message = "Every table is encrypted under the key."
  }
}

run "essential" {
  command = plan

  module {
    source = "./modules/essential"
  }

  variables {
    function_name        = "sosw_scheduler"
    description          = "Cuts jobs into tasks and enqueues them."
    handler              = "sosw_runtime.essentials.scheduler.handler"
    package              = { path = "tests/terraform/packages/sosw-runtime-1.2.3-py311-x86_64.zip" }
    environment          = { SOSW_NAME = "sosw" }
    policy_json          = "{}"
    memory_mb            = 1024
    timeout_seconds      = 300
    reserved_concurrency = 7
    iam                  = { path = "/teams/media/", permissions_boundary_arn = "arn:aws:iam::111122223333:policy/boundary" }
    async = {
      max_retry_attempts    = 2
      max_event_age_seconds = 3600
      on_failure            = { arn = "arn:aws:sqs:eu-central-1:111122223333:sosw_rejected_jobs" }
    }
  }

  assert {
    condition = (
      aws_lambda_function.this.function_name == "sosw_scheduler"
      && aws_lambda_function.this.handler == "sosw_runtime.essentials.scheduler.handler"
      && aws_lambda_function.this.memory_size == 1024
      && aws_lambda_function.this.timeout == 300
      && aws_lambda_function.this.environment[0].variables == tomap({ SOSW_NAME = "sosw" })
      && aws_lambda_function.this.reserved_concurrent_executions == 7
    )
    error_message = "The function is as asked."
  }

  assert {
    condition     = local.platform == { major = "3", minor = "11", architecture = "x86_64" }
    error_message = "Python and architecture are read from the package's name."
  }

  assert {
    condition     = aws_lambda_function.this.source_code_hash == filebase64sha256("tests/terraform/packages/sosw-runtime-1.2.3-py311-x86_64.zip")
    error_message = "A package of other content is a change."
  }

  assert {
    condition     = aws_cloudwatch_log_group.this.name == "/aws/lambda/sosw_scheduler" && aws_cloudwatch_log_group.this.retention_in_days == 30
    error_message = "Logs are kept for 30 days."
  }

  assert {
    condition = (
      aws_iam_role.this.name == "sosw_scheduler_eu-central-1"
      && aws_iam_role.this.path == "/teams/media/"
      && aws_iam_role.this.permissions_boundary == "arn:aws:iam::111122223333:policy/boundary"
    )
    error_message = "The role has its region in its name, and the path and boundary asked for."
  }

  assert {
    condition = jsonencode({
      for statement in data.aws_iam_policy_document.own.statement : statement.sid => sort(statement.actions)
    }) == jsonencode({ WriteOwnLogs = ["logs:CreateLogStream", "logs:PutLogEvents"] })
    error_message = "Beside its work the function may write its logs, and nothing more."
  }

  assert {
    condition = (
      aws_lambda_function_event_invoke_config.this.maximum_retry_attempts == 2
      && aws_lambda_function_event_invoke_config.this.maximum_event_age_in_seconds == 3600
      && aws_lambda_function_event_invoke_config.this.destination_config[0].on_failure[0].destination == var.async.on_failure.arn
    )
    error_message = "Events that failed for good go where asked."
  }
}

run "essential_from_s3_under_a_key" {
  command = plan

  module {
    source = "./modules/essential"
  }

  variables {
    function_name = "sosw_scavenger"
    description   = "Tidies up."
    handler       = "sosw_runtime.essentials.scavenger.handler"
    package       = { s3 = { bucket = "artifacts", key = "sosw/sosw-runtime-1.2.3-py313-arm64.zip", object_version = "v1", source_code_hash = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" } }
    environment   = {}
    policy_json   = "{}"
    async         = { max_retry_attempts = 0, max_event_age_seconds = 60 }
    kms = {
      key_arn  = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd"
      actions  = ["kms:Decrypt"]
      services = ["dynamodb", "lambda"]
    }
  }

  assert {
    condition = (
      aws_lambda_function.this.s3_bucket == "artifacts"
      && aws_lambda_function.this.s3_key == "sosw/sosw-runtime-1.2.3-py313-arm64.zip"
      && aws_lambda_function.this.s3_object_version == "v1"
      && aws_lambda_function.this.source_code_hash == var.package.s3.source_code_hash
      && aws_lambda_function.this.reserved_concurrent_executions == null
      && local.platform == { major = "3", minor = "13", architecture = "arm64" }
    )
    error_message = "The package is the object in S3."
  }

  assert {
    condition     = aws_lambda_function.this.kms_key_arn == var.kms.key_arn && aws_cloudwatch_log_group.this.kms_key_id == var.kms.key_arn
    error_message = "Environment and logs are encrypted under the key."
  }

  assert {
    condition = jsonencode([
      for statement in data.aws_iam_policy_document.own.statement : {
        actions   = sort(statement.actions)
        resources = sort(statement.resources)
        via       = sort(flatten(tolist(statement.condition)[*].values))
      } if statement.sid == "UseKey"
      ]) == jsonencode([{
        actions   = ["kms:Decrypt"]
        resources = ["arn:aws:kms:eu-central-1:111122223333:key/1234abcd"]
        via       = ["dynamodb.eu-central-1.amazonaws.com", "lambda.eu-central-1.amazonaws.com"]
    }])
    error_message = "The key may be used through the services that are named, and only so."
  }

  assert {
    condition     = length(aws_lambda_function_event_invoke_config.this.destination_config) == 0
    error_message = "Lost ticks go nowhere."
  }
}

run "essential_with_a_package_of_no_platform" {
  command = plan

  module {
    source = "./modules/essential"
  }

  variables {
    function_name = "sosw_scavenger"
    description   = "Tidies up."
    handler       = "sosw_runtime.essentials.scavenger.handler"
    package       = { path = "tests/terraform/packages/runtime.zip" }
    environment   = {}
    policy_json   = "{}"
    async         = { max_retry_attempts = 0, max_event_age_seconds = 60 }
  }

  expect_failures = [var.package]
}

run "essential_with_half_a_reserve" {
  command = plan

  module {
    source = "./modules/essential"
  }

  variables {
    function_name        = "sosw_scavenger"
    description          = "Tidies up."
    handler              = "sosw_runtime.essentials.scavenger.handler"
    package              = { path = "tests/terraform/packages/sosw-runtime-1.2.3-py313-arm64.zip" }
    environment          = {}
    policy_json          = "{}"
    async                = { max_retry_attempts = 0, max_event_age_seconds = 60 }
    reserved_concurrency = 0.5
  }

  expect_failures = [var.reserved_concurrency]
}

run "essential_with_too_many_retries" {
  command = plan

  module {
    source = "./modules/essential"
  }

  variables {
    function_name = "sosw_scavenger"
    description   = "Tidies up."
    handler       = "sosw_runtime.essentials.scavenger.handler"
    package       = { path = "tests/terraform/packages/sosw-runtime-1.2.3-py313-arm64.zip" }
    environment   = {}
    policy_json   = "{}"
    async         = { max_retry_attempts = 3, max_event_age_seconds = 60 }
  }

  expect_failures = [var.async]
}

run "schedule" {
  command = plan

  module {
    source = "./modules/schedule"
  }

  variables {
    name = "sosw"
    functions = {
      orchestrator = { name = "sosw_orchestrator", arn = "arn:aws:lambda:eu-central-1:111122223333:function:sosw_orchestrator" }
      scavenger    = { name = "sosw_scavenger", arn = "arn:aws:lambda:eu-central-1:111122223333:function:sosw_scavenger" }
    }
  }

  assert {
    condition     = aws_cloudwatch_event_rule.this.name == "sosw_tick" && aws_cloudwatch_event_rule.this.schedule_expression == "rate(1 minute)"
    error_message = "One rule ticks every minute."
  }

  assert {
    condition = {
      for key, target in aws_cloudwatch_event_target.this : key => [target.rule, target.arn, target.input]
      } == {
      orchestrator = ["sosw_tick", "arn:aws:lambda:eu-central-1:111122223333:function:sosw_orchestrator", "{\"tick\":true}"]
      scavenger    = ["sosw_tick", "arn:aws:lambda:eu-central-1:111122223333:function:sosw_scavenger", "{\"tick\":true}"]
    }
    error_message = "The rule wakes both, always with the same event."
  }

  assert {
    condition     = alltrue([for permission in aws_lambda_permission.this : permission.principal == "events.amazonaws.com"])
    error_message = "The rule may wake them."
  }
}

run "alarms" {
  command = plan

  module {
    source = "./modules/alarms"
  }

  variables {
    name                     = "sosw"
    topic_arn                = "arn:aws:sns:eu-central-1:111122223333:sosw_alarms"
    functions                = ["sosw_scheduler", "sosw_scavenger"]
    stream_consumers         = ["sosw_scavenger"]
    rejected_jobs_queue_name = "sosw_rejected_jobs"
    tick_rule_name           = "sosw_tick"
  }

  assert {
    condition = (
      aws_cloudwatch_metric_alarm.dead_task.namespace == "sosw"
      && aws_cloudwatch_metric_alarm.dead_task.metric_name == "DeadTasks"
      && aws_cloudwatch_metric_alarm.dead_task.dimensions == tomap({ service = "scavenger" })
      && aws_cloudwatch_metric_alarm.dead_task.statistic == "Sum"
      && aws_cloudwatch_metric_alarm.dead_task.comparison_operator == "GreaterThanThreshold"
      && aws_cloudwatch_metric_alarm.dead_task.threshold == 0
    )
    error_message = "One dead task alarms."
  }

  assert {
    condition = (
      aws_cloudwatch_metric_alarm.heartbeat_missing.metric_name == "Heartbeat"
      && aws_cloudwatch_metric_alarm.heartbeat_missing.dimensions == tomap({ service = "orchestrator" })
      && aws_cloudwatch_metric_alarm.heartbeat_missing.period * aws_cloudwatch_metric_alarm.heartbeat_missing.evaluation_periods == 300
      && aws_cloudwatch_metric_alarm.heartbeat_missing.treat_missing_data == "breaching"
    )
    error_message = "Five minutes without a heartbeat alarm."
  }

  assert {
    condition = {
      for alarm in aws_cloudwatch_metric_alarm.work_failures :
      alarm.alarm_name => [alarm.namespace, alarm.metric_name, alarm.dimensions["service"], alarm.statistic, alarm.comparison_operator, tostring(alarm.threshold)]
      } == {
      sosw_orchestrator_failures = ["sosw", "Failures", "orchestrator", "Sum", "GreaterThanThreshold", "0"]
      sosw_scavenger_failures    = ["sosw", "Failures", "scavenger", "Sum", "GreaterThanThreshold", "0"]
    }
    error_message = "Failures that the Orchestrator or the Scavenger caught alarm, for all Workers together."
  }

  assert {
    condition = alltrue([
      for alarm in aws_cloudwatch_metric_alarm.work_failures :
      alarm.period == 60 && alarm.datapoints_to_alarm == 3 && alarm.evaluation_periods == 5 && length(alarm.dimensions) == 1
    ])
    error_message = "They alarm when they go on: in 3 of 5 minutes."
  }

  assert {
    condition = {
      for alarm in aws_cloudwatch_metric_alarm.across_essentials : alarm.alarm_name => {
        sum = one([for query in alarm.metric_query : query.expression if coalesce(query.return_data, false)])
        parts = {
          for query in alarm.metric_query : query.id => [one(query.metric).namespace, one(query.metric).metric_name, one(query.metric).dimensions["service"], one(query.metric).stat]
          if length(query.metric) > 0
        }
        minutes = [for query in alarm.metric_query : one(query.metric).period / 60 if length(query.metric) > 0][0]
        of      = "${alarm.datapoints_to_alarm} of ${alarm.evaluation_periods}"
        over    = "${alarm.comparison_operator} ${alarm.threshold}"
      }
      } == {
      sosw_left_over = {
        sum     = "FILL(orchestrator, 0) + FILL(scavenger, 0)"
        parts   = { for service in ["orchestrator", "scavenger"] : service => ["sosw", "LeftOver", service, "Sum"] }
        minutes = 1
        of      = "3 of 5"
        over    = "GreaterThanThreshold 0"
      }
      sosw_unreadable = {
        sum     = "FILL(orchestrator, 0) + FILL(scavenger, 0)"
        parts   = { for service in ["orchestrator", "scavenger"] : service => ["sosw", "Unreadable", service, "Sum"] }
        minutes = 5
        of      = "1 of 3"
        over    = "GreaterThanThreshold 0"
      }
      sosw_version_mismatch = {
        sum     = "FILL(orchestrator, 0) + FILL(scavenger, 0) + FILL(scheduler, 0) + FILL(worker_assistant, 0)"
        parts   = { for service in ["orchestrator", "scavenger", "scheduler", "worker_assistant"] : service => ["sosw", "VersionMismatch", service, "Sum"] }
        minutes = 5
        of      = "3 of 3"
        over    = "GreaterThanThreshold 0"
      }
      sosw_reports_without_token = {
        sum     = "FILL(worker_assistant, 0)"
        parts   = { worker_assistant = ["sosw", "ReportsWithoutToken", "worker_assistant", "Sum"] }
        minutes = 60
        of      = "2 of 24"
        over    = "GreaterThanThreshold 0"
      }
    }
    error_message = "What the Essentials count alarms, with patience, once for all that count it."
  }

  assert {
    condition = (
      aws_cloudwatch_metric_alarm.ticks_failed.alarm_name == "sosw_tick_failed"
      && aws_cloudwatch_metric_alarm.ticks_failed.namespace == "AWS/Events"
      && aws_cloudwatch_metric_alarm.ticks_failed.metric_name == "FailedInvocations"
      && aws_cloudwatch_metric_alarm.ticks_failed.dimensions == tomap({ RuleName = "sosw_tick" })
      && aws_cloudwatch_metric_alarm.ticks_failed.statistic == "Sum"
      && aws_cloudwatch_metric_alarm.ticks_failed.comparison_operator == "GreaterThanThreshold"
      && aws_cloudwatch_metric_alarm.ticks_failed.threshold == 0
      && aws_cloudwatch_metric_alarm.ticks_failed.datapoints_to_alarm == 3
      && aws_cloudwatch_metric_alarm.ticks_failed.evaluation_periods == 5
    )
    error_message = "A tick that reaches nobody alarms."
  }

  assert {
    condition = (
      aws_cloudwatch_metric_alarm.invokes_refused.alarm_name == "sosw_invokes_refused"
      && aws_cloudwatch_metric_alarm.invokes_refused.namespace == "sosw"
      && aws_cloudwatch_metric_alarm.invokes_refused.metric_name == "Refused"
      && aws_cloudwatch_metric_alarm.invokes_refused.dimensions == tomap({ service = "orchestrator" })
      && aws_cloudwatch_metric_alarm.invokes_refused.statistic == "Sum"
      && aws_cloudwatch_metric_alarm.invokes_refused.comparison_operator == "GreaterThanThreshold"
      && aws_cloudwatch_metric_alarm.invokes_refused.threshold == 0
      && aws_cloudwatch_metric_alarm.invokes_refused.period == 60
      && aws_cloudwatch_metric_alarm.invokes_refused.datapoints_to_alarm == 10
      && aws_cloudwatch_metric_alarm.invokes_refused.evaluation_periods == 10
    )
    error_message = "Invokes that AWS refuses for 10 minutes alarm."
  }

  assert {
    condition = alltrue([
      for alarm in concat(values(aws_cloudwatch_metric_alarm.work_failures), values(aws_cloudwatch_metric_alarm.across_essentials), [aws_cloudwatch_metric_alarm.heartbeat_missing, aws_cloudwatch_metric_alarm.invokes_refused, aws_cloudwatch_metric_alarm.ticks_failed]) :
      alarm.ok_actions == toset(["arn:aws:sns:eu-central-1:111122223333:sosw_alarms"])
    ])
    error_message = "The end of a trouble that can pass is told."
  }

  assert {
    condition = alltrue([
      for alarm in concat(values(aws_cloudwatch_metric_alarm.work_failures), values(aws_cloudwatch_metric_alarm.failures), values(aws_cloudwatch_metric_alarm.iterator_age), values(aws_cloudwatch_metric_alarm.across_essentials), [aws_cloudwatch_metric_alarm.dead_task, aws_cloudwatch_metric_alarm.invokes_refused, aws_cloudwatch_metric_alarm.rejected_jobs, aws_cloudwatch_metric_alarm.ticks_failed]) :
      alarm.treat_missing_data == "notBreaching"
    ])
    error_message = "Where nothing runs nothing fails."
  }

  assert {
    condition = (
      aws_cloudwatch_metric_alarm.failures["sosw_scheduler_errors"].metric_name == "Errors"
      && aws_cloudwatch_metric_alarm.failures["sosw_scheduler_throttles"].metric_name == "Throttles"
      && aws_cloudwatch_metric_alarm.failures["sosw_scheduler_throttles"].dimensions == tomap({ FunctionName = "sosw_scheduler" })
      && length(aws_cloudwatch_metric_alarm.failures) == 4
    )
    error_message = "Each function's errors and throttles alarm."
  }

  assert {
    condition = (
      keys(aws_cloudwatch_metric_alarm.iterator_age) == ["sosw_scavenger"]
      && aws_cloudwatch_metric_alarm.iterator_age["sosw_scavenger"].metric_name == "IteratorAge"
    )
    error_message = "A consumer of the stream that falls behind alarms."
  }

  assert {
    condition = (
      aws_cloudwatch_metric_alarm.rejected_jobs.namespace == "AWS/SQS"
      && aws_cloudwatch_metric_alarm.rejected_jobs.dimensions == tomap({ QueueName = "sosw_rejected_jobs" })
      && aws_cloudwatch_metric_alarm.rejected_jobs.threshold == 0
    )
    error_message = "One rejected job alarms."
  }

  assert {
    condition = alltrue([
      for alarm in concat(values(aws_cloudwatch_metric_alarm.work_failures), values(aws_cloudwatch_metric_alarm.failures), values(aws_cloudwatch_metric_alarm.iterator_age), values(aws_cloudwatch_metric_alarm.across_essentials), [aws_cloudwatch_metric_alarm.dead_task, aws_cloudwatch_metric_alarm.heartbeat_missing, aws_cloudwatch_metric_alarm.invokes_refused, aws_cloudwatch_metric_alarm.rejected_jobs, aws_cloudwatch_metric_alarm.ticks_failed]) :
      alarm.alarm_actions == toset(["arn:aws:sns:eu-central-1:111122223333:sosw_alarms"])
    ])
    error_message = "Every alarm is published to the topic."
  }
}
