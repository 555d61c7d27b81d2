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
    condition = output.table_names == {
      tasks        = "sosw_tasks"
      retry_tasks  = "sosw_retry_tasks"
      closed_tasks = "sosw_closed_tasks"
      registry     = "sosw_registry"
    }
    error_message = "The tables' names follow from the name."
  }

  assert {
    condition = output.function_names == {
      scheduler        = "sosw_scheduler"
      orchestrator     = "sosw_orchestrator"
      scavenger        = "sosw_scavenger"
      worker_assistant = "sosw_worker_assistant"
    }
    error_message = "The functions' names follow from the name."
  }

  assert {
    condition     = output.log_group_names.scavenger == "/aws/lambda/sosw_scavenger"
    error_message = "The log group is the one that Lambda writes to."
  }

  assert {
    condition = local.environment == {
      SOSW_NAME                        = "sosw"
      SOSW_PINNED_VERSION              = "1.2.3"
      SOSW_ALARM_TOPIC_ARN             = "arn:aws:sns:eu-central-1:111122223333:sosw_alarms"
      SOSW_TIMEZONE                    = "UTC"
      SOSW_CLOSED_TASKS_RETENTION_DAYS = "90"
      POWERTOOLS_LOG_LEVEL             = "INFO"
      POWERTOOLS_METRICS_NAMESPACE     = "sosw"
    }
    error_message = "The Essentials get their settings by the environment."
  }

  assert {
    condition = output.worker_environment == {
      SOSW_NAME             = "sosw"
      SOSW_WORKER_ASSISTANT = "arn:aws:lambda:eu-central-1:111122223333:function:sosw_worker_assistant"
    }
    error_message = "Workers find the WorkerAssistant by the environment."
  }

  assert {
    condition     = output.orchestrator.name == "sosw" && output.orchestrator.version == "1.2.3" && output.orchestrator.registry_table_name == "sosw_registry" && output.orchestrator.rejected_jobs_queue_arn == aws_sqs_queue.rejected_jobs.arn
    error_message = "The output orchestrator carries name, version, registry and the queue of rejected jobs."
  }

  assert {
    condition     = aws_sns_topic.alarms[0].name == "sosw_alarms"
    error_message = "The topic is made."
  }

  assert {
    condition     = aws_sqs_queue.rejected_jobs.name == "sosw_rejected_jobs" && aws_sqs_queue.rejected_jobs.message_retention_seconds == 14 * 24 * 3600
    error_message = "Rejected jobs wait 14 days."
  }

  assert {
    condition = tolist(output.alarm_names) == sort(concat(
      ["sosw_dead_task", "sosw_heartbeat_missing", "sosw_invokes_refused", "sosw_rejected_jobs_not_empty"],
      ["sosw_orchestrator_failures", "sosw_scavenger_failures", "sosw_tick_failed"],
      ["sosw_left_over", "sosw_reports_without_token", "sosw_unreadable", "sosw_version_mismatch"],
      [for essential in ["scheduler", "orchestrator", "scavenger", "worker_assistant"] : "sosw_${essential}_errors"],
      [for essential in ["scheduler", "orchestrator", "scavenger", "worker_assistant"] : "sosw_${essential}_throttles"],
      ["sosw_orchestrator_iterator_age", "sosw_scavenger_iterator_age"],
    ))
    error_message = "Every alarm is there."
  }

  assert {
    condition = alltrue([
      for mapping in [aws_lambda_event_source_mapping.orchestrator, aws_lambda_event_source_mapping.scavenger] :
      mapping.batch_size == 100
      && mapping.parallelization_factor == 1
      && mapping.bisect_batch_on_function_error
    ])
    error_message = "Each reads the stream in batches, halved where one fails."
  }

  assert {
    condition     = aws_lambda_event_source_mapping.orchestrator.starting_position == "LATEST" && aws_lambda_event_source_mapping.scavenger.starting_position == "TRIM_HORIZON"
    error_message = "What the stream holds when a mapping is made is a hint to the Orchestrator, and reports to the Scavenger."
  }

  assert {
    condition = (
      aws_lambda_event_source_mapping.orchestrator.maximum_retry_attempts == 2
      && aws_lambda_event_source_mapping.orchestrator.maximum_record_age_in_seconds == 300
    )
    error_message = "The Orchestrator gives up a batch that keeps failing."
  }

  assert {
    condition = (
      aws_lambda_event_source_mapping.scavenger.maximum_retry_attempts == -1
      && aws_lambda_event_source_mapping.scavenger.maximum_record_age_in_seconds == 6 * 3600
    )
    error_message = "The Scavenger outlasts an outage of six hours."
  }

  assert {
    condition     = aws_lambda_event_source_mapping.orchestrator.maximum_batching_window_in_seconds == 0
    error_message = "The Orchestrator starts work at once."
  }

  assert {
    condition     = aws_lambda_event_source_mapping.scavenger.maximum_batching_window_in_seconds == 2
    error_message = "The Scavenger works in batches."
  }

  assert {
    condition     = jsondecode(local.reported) == { eventName = ["MODIFY"], dynamodb = { NewImage = { status = { S = ["completed", "failed"] } } } }
    error_message = "Only reports pass."
  }
}

run "another_name" {
  command = plan

  variables {
    name = "media-jobs"
  }

  assert {
    condition = (
      output.table_names.registry == "media-jobs_registry"
      && output.function_names.scheduler == "media-jobs_scheduler"
      && aws_sqs_queue.rejected_jobs.name == "media-jobs_rejected_jobs"
      && aws_sns_topic.alarms[0].name == "media-jobs_alarms"
      && local.environment.SOSW_NAME == "media-jobs"
      && local.environment.POWERTOOLS_METRICS_NAMESPACE == "media-jobs"
    )
    error_message = "Everything follows the name."
  }
}

run "package_in_s3" {
  command = plan

  variables {
    runtime = {
      s3      = { bucket = "artifacts", key = "sosw/sosw-runtime-1.2.3-py312-x86_64.zip", object_version = "v1" }
      version = "1.2.3"
    }
  }

  assert {
    condition     = output.orchestrator.version == "1.2.3"
    error_message = "A package may come from S3."
  }
}

run "package_in_s3_by_its_hash" {
  command = plan

  variables {
    runtime = {
      s3      = { bucket = "artifacts", key = "sosw-runtime-1.2.3-py312-x86_64.zip", source_code_hash = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" }
      version = "1.2.3"
    }
  }

  assert {
    condition     = output.orchestrator.version == "1.2.3"
    error_message = "A package in S3 may come without a version of the object."
  }
}

run "existing_topic" {
  command = plan

  variables {
    alarms = { topic = { arn = "arn:aws:sns:eu-central-1:111122223333:oncall" } }
  }

  assert {
    condition     = length(aws_sns_topic.alarms) == 0 && output.alarm_topic_arn == "arn:aws:sns:eu-central-1:111122223333:oncall"
    error_message = "The existing topic is used and none is made."
  }

  assert {
    condition     = length(aws_sns_topic_policy.alarms) == 0
    error_message = "The existing topic's policy is left alone."
  }

  assert {
    condition     = local.environment.SOSW_ALARM_TOPIC_ARN == "arn:aws:sns:eu-central-1:111122223333:oncall"
    error_message = "Dead tasks go to the existing topic."
  }
}

run "without_alarms_the_topic_stays" {
  command = plan

  variables {
    alarms = { enabled = false }
  }

  assert {
    condition     = length(output.alarm_names) == 0
    error_message = "No CloudWatch alarm is made."
  }

  assert {
    condition     = length(aws_sns_topic.alarms) == 1
    error_message = "Dead tasks are still published."
  }
}

run "tasks_kept_for_ever" {
  command = plan

  variables {
    closed_tasks_retention_days = null
    time_zone                   = "America/Argentina/Buenos_Aires"
    logging                     = { level = "DEBUG" }
  }

  assert {
    condition     = !contains(keys(local.environment), "SOSW_CLOSED_TASKS_RETENTION_DAYS")
    error_message = "Without a retention closed tasks get no TTL."
  }

  assert {
    condition     = local.environment.SOSW_TIMEZONE == "America/Argentina/Buenos_Aires" && local.environment.POWERTOOLS_LOG_LEVEL == "DEBUG"
    error_message = "Time zone and log level reach the Essentials."
  }
}

run "customer_managed_key" {
  command = plan

  variables {
    encryption = { kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd" }
  }

  assert {
    condition = (
      aws_sns_topic.alarms[0].kms_master_key_id == var.encryption.kms_key_arn
      && aws_sqs_queue.rejected_jobs.kms_master_key_id == var.encryption.kms_key_arn
    )
    error_message = "Topic and queue are encrypted under the key."
  }

  assert {
    condition     = alltrue([for kms in values(local.kms) : kms.key_arn == var.encryption.kms_key_arn && contains(kms.actions, "kms:Decrypt")])
    error_message = "Every role gets its rights on the key."
  }
}
