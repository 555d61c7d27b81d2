mock_provider "aws" {
  source          = "./tests/terraform/mocks"
  override_during = plan
}

variables {
  orchestrator = {
    name                          = "sosw"
    registry_table_name           = "sosw_registry"
    orchestrator_role_arn         = "arn:aws:iam::111122223333:role/sosw_orchestrator_eu-central-1"
    worker_assistant_function_arn = "arn:aws:lambda:eu-central-1:111122223333:function:sosw_worker_assistant"
  }
  function_name   = "resize"
  role_name       = "resize-role"
  timeout_seconds = 20
  max_concurrency = 5
}

run "defaults" {
  command = plan

  module {
    source = "./modules/worker"
  }

  assert {
    condition     = output.worker_id == "resize" && output.function_name == "resize"
    error_message = "A Worker is named after its function."
  }

  assert {
    condition = jsondecode(jsondecode(aws_dynamodb_table_item.registration.item).spec.S) == {
      worker_id             = "resize"
      function_name         = "resize"
      timeout_seconds       = 20
      max_concurrency       = 5
      labels                = {}
      report_by             = "code"
      max_event_age_seconds = 60
      retry                 = { max_attempts = 3, base_delay_seconds = 30, max_delay_seconds = 3600 }
      health_metrics        = {}
      job_schemas           = {}
      queue_shards          = 1
    }
    error_message = "The registration holds the inputs under the same names."
  }

  assert {
    condition = (
      aws_dynamodb_table_item.registration.table_name == "sosw_registry"
      && jsondecode(aws_dynamodb_table_item.registration.item).pk == { S = "worker" }
      && jsondecode(aws_dynamodb_table_item.registration.item).sk == { S = "resize" }
    )
    error_message = "The registration is one item of the registry."
  }

  assert {
    condition = (
      aws_lambda_permission.orchestrator.function_name == "resize"
      && aws_lambda_permission.orchestrator.action == "lambda:InvokeFunction"
      && aws_lambda_permission.orchestrator.principal == var.orchestrator.orchestrator_role_arn
    )
    error_message = "The Orchestrator's role, and nobody else, may invoke the Worker."
  }

  assert {
    condition = (
      aws_lambda_function_event_invoke_config.this.maximum_retry_attempts == 0
      && aws_lambda_function_event_invoke_config.this.maximum_event_age_in_seconds == 60
    )
    error_message = "Lambda neither retries by itself nor delivers old attempts."
  }

  assert {
    condition     = aws_lambda_function_event_invoke_config.this.destination_config[0].on_failure[0].destination == var.orchestrator.worker_assistant_function_arn
    error_message = "A crash reaches the WorkerAssistant."
  }

  assert {
    condition     = length(aws_lambda_function_event_invoke_config.this.destination_config[0].on_success) == 0
    error_message = "A Worker that reports by code is not reported a second time."
  }

  assert {
    condition     = aws_iam_role_policy.report[0].role == "resize-role" && aws_iam_role_policy.report[0].name == "sosw_report_resize"
    error_message = "The function's role gets the right to report."
  }

  assert {
    condition = jsonencode(data.aws_iam_policy_document.report.statement[*].actions) == jsonencode([["lambda:InvokeFunction"]]) && (
      jsonencode(data.aws_iam_policy_document.report.statement[*].resources) == jsonencode([[var.orchestrator.worker_assistant_function_arn]])
    )
    error_message = "The right is to invoke the WorkerAssistant, and nothing more."
  }
}

run "everything_given" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    worker_id             = "media.resize"
    qualifier             = "live"
    labels                = { team = "media" }
    report_by             = "destination"
    max_event_age_seconds = 300
    retry                 = { max_attempts = 5, base_delay_seconds = 0.5 }
    health_metrics = {
      database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", dimensions = { DBInstanceIdentifier = "main" }, levels = { "4" = 40, "3" = 60, "2" = 80 } }
      memory   = { namespace = "AWS/RDS", metric_name = "FreeableMemory", statistic = "Minimum", period_seconds = 300, better = "high", levels = { "4" = 8, "1" = 1.5 } }
    }
    job_schemas    = { default = { chunkable_attrs = ["section", "store"] } }
    job_schemas_07 = { old = { chunkable_attrs = [["shop", {}], ["product", {}]] } }
    queue_shards   = 4
  }

  assert {
    condition     = output.worker_id == "media.resize" && output.function_name == "resize:live"
    error_message = "Worker and alias are as given."
  }

  assert {
    condition = jsondecode(jsondecode(aws_dynamodb_table_item.registration.item).spec.S) == {
      worker_id             = "media.resize"
      function_name         = "resize:live"
      timeout_seconds       = 20
      max_concurrency       = 5
      labels                = { team = "media" }
      report_by             = "destination"
      max_event_age_seconds = 300
      retry                 = { max_attempts = 5, base_delay_seconds = 0.5, max_delay_seconds = 3600 }
      health_metrics = {
        database = {
          namespace      = "AWS/RDS"
          metric_name    = "CPUUtilization"
          dimensions     = { DBInstanceIdentifier = "main" }
          statistic      = "Average"
          period_seconds = 60
          better         = "low"
          levels         = { "4" = 40, "3" = 60, "2" = 80 }
        }
        memory = {
          namespace      = "AWS/RDS"
          metric_name    = "FreeableMemory"
          dimensions     = {}
          statistic      = "Minimum"
          period_seconds = 300
          better         = "high"
          levels         = { "4" = 8, "1" = 1.5 }
        }
      }
      job_schemas = {
        default = { chunkable_attrs = ["section", "store"] }
        old     = { chunkable_attrs = ["shop", "product"] }
      }
      queue_shards = 4
    }
    error_message = "The registration holds the inputs under the same names."
  }

  assert {
    condition     = aws_lambda_function_event_invoke_config.this.destination_config[0].on_success[0].destination == var.orchestrator.worker_assistant_function_arn
    error_message = "Lambda reports the success."
  }

  assert {
    condition = (
      aws_lambda_function_event_invoke_config.this.qualifier == "live"
      && aws_lambda_function_event_invoke_config.this.maximum_event_age_in_seconds == 300
      && aws_lambda_permission.orchestrator.qualifier == "live"
    )
    error_message = "Permission and configuration are those of the alias."
  }
}

run "function_by_arn" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    function_name = "arn:aws:lambda:eu-central-1:111122223333:function:resize"
  }

  assert {
    condition     = output.worker_id == "resize" && output.function_name == "arn:aws:lambda:eu-central-1:111122223333:function:resize"
    error_message = "The Worker's id is the name in the ARN."
  }
}

run "role_managed_elsewhere" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    role_name     = null
    attach_policy = false
  }

  assert {
    condition     = length(aws_iam_role_policy.report) == 0
    error_message = "The role is left alone."
  }
}

run "worker_id_that_no_policy_can_be_named_after" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    worker_id = "media:resize"
  }

  assert {
    condition     = aws_iam_role_policy.report[0].name == "sosw_report_media_resize_${substr(sha256("media:resize"), 0, 16)}"
    error_message = "The policy is named after the Worker as far as IAM allows, and like that of no other."
  }
}

run "worker_id_longer_than_a_policys_name" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    worker_id = join("", [for i in range(140) : "x"])
  }

  assert {
    condition     = can(regex("^sosw_report_x{99}_[0-9a-f]{16}$", aws_iam_role_policy.report[0].name)) && length(aws_iam_role_policy.report[0].name) == 128
    error_message = "The policy's name is as long as IAM allows."
  }
}

run "function_in_another_account" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    function_name = "arn:aws:lambda:eu-central-1:444455556666:function:resize"
  }

  expect_failures = [var.function_name]
}

run "function_in_another_region" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    function_name = "arn:aws:lambda:eu-west-1:111122223333:function:resize"
  }

  expect_failures = [var.function_name]
}

run "function_by_qualified_arn" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    function_name = "arn:aws:lambda:eu-central-1:111122223333:function:resize:live"
  }

  expect_failures = [var.function_name]
}

run "function_name_with_a_blank" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    function_name = "re size"
  }

  expect_failures = [var.function_name]
}

run "qualifier_with_a_colon" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    qualifier = "resize:live"
  }

  expect_failures = [var.qualifier]
}

run "worker_id_with_a_hash" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    worker_id = "resize#1"
  }

  expect_failures = [var.worker_id]
}

run "no_role" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    role_name = null
  }

  expect_failures = [var.role_name]
}

run "timeout_over_lambdas" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    timeout_seconds = 901
  }

  expect_failures = [var.timeout_seconds]
}

run "timeout_of_nothing" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    timeout_seconds = 0
  }

  expect_failures = [var.timeout_seconds]
}

run "limit_of_nothing" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    max_concurrency = 0
  }

  expect_failures = [var.max_concurrency]
}

run "limit_over_ten_thousand" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    max_concurrency = 10001
  }

  expect_failures = [var.max_concurrency]
}

run "half_a_slot" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    max_concurrency = 1.5
  }

  expect_failures = [var.max_concurrency]
}

run "report_by_mail" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    report_by = "mail"
  }

  expect_failures = [var.report_by]
}

run "event_age_under_lambdas" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    max_event_age_seconds = 59
  }

  expect_failures = [var.max_event_age_seconds]
}

run "event_age_over_lambdas" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    max_event_age_seconds = 21601
  }

  expect_failures = [var.max_event_age_seconds]
}

run "no_attempt" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    retry = { max_attempts = 0 }
  }

  expect_failures = [var.retry]
}

run "too_many_attempts" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    retry = { max_attempts = 101 }
  }

  expect_failures = [var.retry]
}

run "negative_delay" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    retry = { base_delay_seconds = -1 }
  }

  expect_failures = [var.retry]
}

run "longest_delay_under_the_shortest" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    retry = { base_delay_seconds = 60, max_delay_seconds = 30 }
  }

  expect_failures = [var.retry]
}

run "health_metric_of_the_longest_names" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    health_metrics = {
      database = {
        namespace   = join("", [for i in range(255) : "x"])
        metric_name = join("", [for i in range(255) : "x"])
        dimensions = merge(
          { for i in range(29) : "dimension ${i}" => "a value: ${i}" },
          { (join("", [for i in range(255) : "x"])) = join("", [for i in range(1024) : "x"]) },
        )
        levels = { "4" = 40 }
      }
    }
  }

  assert {
    condition     = length(jsondecode(jsondecode(aws_dynamodb_table_item.registration.item).spec.S).health_metrics.database.dimensions) == 30
    error_message = "What CloudWatch takes is registered."
  }
}

run "namespace_of_blanks" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    health_metrics = { database = { namespace = "  ", metric_name = "CPUUtilization", levels = { "4" = 40 } } }
  }

  expect_failures = [var.health_metrics]
}

run "namespace_with_a_colon_in_front" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    health_metrics = { database = { namespace = ":AWS", metric_name = "CPUUtilization", levels = { "4" = 40 } } }
  }

  expect_failures = [var.health_metrics]
}

run "namespace_too_long" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    health_metrics = { database = { namespace = join("", [for i in range(256) : "x"]), metric_name = "CPUUtilization", levels = { "4" = 40 } } }
  }

  expect_failures = [var.health_metrics]
}

run "no_metric_name" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "", levels = { "4" = 40 } } }
  }

  expect_failures = [var.health_metrics]
}

run "metric_name_of_blanks" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = " ", levels = { "4" = 40 } } }
  }

  expect_failures = [var.health_metrics]
}

run "metric_name_too_long" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = join("", [for i in range(256) : "x"]), levels = { "4" = 40 } } }
  }

  expect_failures = [var.health_metrics]
}

run "too_many_dimensions" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", dimensions = { for i in range(31) : "dimension${i}" => "x" }, levels = { "4" = 40 } } }
  }

  expect_failures = [var.health_metrics]
}

run "no_name_of_a_dimension" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", dimensions = { "" = "main" }, levels = { "4" = 40 } } }
  }

  expect_failures = [var.health_metrics]
}

run "dimension_name_of_blanks" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", dimensions = { " " = "main" }, levels = { "4" = 40 } } }
  }

  expect_failures = [var.health_metrics]
}

run "dimension_name_with_a_colon_in_front" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", dimensions = { ":Instance" = "main" }, levels = { "4" = 40 } } }
  }

  expect_failures = [var.health_metrics]
}

run "dimension_name_too_long" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", dimensions = { (join("", [for i in range(256) : "x"])) = "main" }, levels = { "4" = 40 } } }
  }

  expect_failures = [var.health_metrics]
}

run "no_value_of_a_dimension" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", dimensions = { DBInstanceIdentifier = "" }, levels = { "4" = 40 } } }
  }

  expect_failures = [var.health_metrics]
}

run "null_of_a_dimension" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", dimensions = { DBInstanceIdentifier = null }, levels = { "4" = 40 } } }
  }

  expect_failures = [var.health_metrics]
}

run "dimension_value_of_blanks" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", dimensions = { DBInstanceIdentifier = "  " }, levels = { "4" = 40 } } }
  }

  expect_failures = [var.health_metrics]
}

run "dimension_value_beyond_ascii" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", dimensions = { DBInstanceIdentifier = "größe" }, levels = { "4" = 40 } } }
  }

  expect_failures = [var.health_metrics]
}

run "dimension_value_too_long" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", dimensions = { DBInstanceIdentifier = join("", [for i in range(205) : "five "]) }, levels = { "4" = 40 } } }
  }

  expect_failures = [var.health_metrics]
}

run "unknown_statistic" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", levels = { "4" = 40, "3" = 60 }, statistic = "p99" } }
  }

  expect_failures = [var.health_metrics]
}

run "period_of_half_a_minute" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", levels = { "4" = 40, "3" = 60 }, period_seconds = 30 } }
  }

  expect_failures = [var.health_metrics]
}

run "period_of_a_minute_and_a_half" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", levels = { "4" = 40, "3" = 60 }, period_seconds = 90 } }
  }

  expect_failures = [var.health_metrics]
}

run "better_is_neither_low_nor_high" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", levels = { "4" = 40, "3" = 60 }, better = "lower" } }
  }

  expect_failures = [var.health_metrics]
}

run "no_levels" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", levels = {} } }
  }

  expect_failures = [var.health_metrics]
}

run "level_that_is_none" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", levels = { "4" = 40, "0" = 60 } } }
  }

  expect_failures = [var.health_metrics]
}

run "thresholds_that_fall_where_low_is_better" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", levels = { "4" = 60, "3" = 40 } } }
  }

  expect_failures = [var.health_metrics]
}

run "thresholds_that_rise_where_high_is_better" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", levels = { "4" = 40, "3" = 60 }, better = "high" } }
  }

  expect_failures = [var.health_metrics]
}

run "thresholds_that_are_equal" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", levels = { "4" = 40, "2" = 40 } } }
  }

  expect_failures = [var.health_metrics]
}

run "thresholds_that_turn" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", levels = { "4" = 40, "3" = 60, "1" = 50 } } }
  }

  expect_failures = [var.health_metrics]
}

run "attribute_twice" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    job_schemas = { default = { chunkable_attrs = ["store", "store"] } }
  }

  expect_failures = [var.job_schemas]
}

run "attribute_that_is_no_name" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    job_schemas = { default = { chunkable_attrs = ["a store"] } }
  }

  expect_failures = [var.job_schemas]
}

run "attribute_that_is_no_name_reserved" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    job_schemas = { default = { chunkable_attrs = ["day"] } }
  }

  expect_failures = [var.job_schemas]
}

run "attribute_that_is_no_name_plural" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    job_schemas = { default = { chunkable_attrs = ["stores"] } }
  }

  expect_failures = [var.job_schemas]
}

run "old_attribute_twice" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    job_schemas_07 = { default = { chunkable_attrs = [["store", {}], ["store", {}]] } }
  }

  expect_failures = [var.job_schemas_07]
}

run "old_attribute_that_is_no_name" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    job_schemas_07 = { default = { chunkable_attrs = [["a store", {}]] } }
  }

  expect_failures = [var.job_schemas_07]
}

run "schema_in_both_forms" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    job_schemas    = { default = { chunkable_attrs = ["store"] } }
    job_schemas_07 = { default = { chunkable_attrs = [["store", {}]] } }
  }

  expect_failures = [var.job_schemas_07]
}

run "no_shard" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    queue_shards = 0
  }

  expect_failures = [var.queue_shards]
}

run "too_many_shards" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    queue_shards = 101
  }

  expect_failures = [var.queue_shards]
}
