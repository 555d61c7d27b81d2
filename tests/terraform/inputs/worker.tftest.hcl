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

run "function_in_another_account" {
  command = plan

  variables {
    function_name = "arn:aws:lambda:eu-central-1:444455556666:function:resize"
  }

  expect_failures = [var.function_name]
}

run "function_in_another_region" {
  command = plan

  variables {
    function_name = "arn:aws:lambda:eu-west-1:111122223333:function:resize"
  }

  expect_failures = [var.function_name]
}

run "function_by_qualified_arn" {
  command = plan

  variables {
    function_name = "arn:aws:lambda:eu-central-1:111122223333:function:resize:live"
  }

  expect_failures = [var.function_name]
}

run "function_name_with_a_blank" {
  command = plan

  variables {
    function_name = "re size"
  }

  expect_failures = [var.function_name]
}

run "qualifier_with_a_colon" {
  command = plan

  variables {
    qualifier = "resize:live"
  }

  expect_failures = [var.qualifier]
}

run "worker_id_with_a_hash" {
  command = plan

  variables {
    worker_id = "resize#1"
  }

  expect_failures = [var.worker_id]
}

run "no_role" {
  command = plan

  variables {
    role_name = null
  }

  expect_failures = [var.role_name]
}

run "configuration_that_is_no_object" {
  command = plan

  variables {
    config = ["width"]
  }

  expect_failures = [var.config]
}

run "configuration_of_a_text" {
  command = plan

  variables {
    config = "{}"
  }

  expect_failures = [var.config]
}

run "configuration_that_ssm_does_not_take" {
  command = plan

  variables {
    config = { text = "x${join("", [for i in range(1021) : "xxxx"])}" }
  }

  expect_failures = [var.config]
}

run "timeout_over_lambdas" {
  command = plan

  variables {
    timeout_seconds = 901
  }

  expect_failures = [var.timeout_seconds]
}

run "timeout_of_nothing" {
  command = plan

  variables {
    timeout_seconds = 0
  }

  expect_failures = [var.timeout_seconds]
}

run "limit_of_nothing" {
  command = plan

  variables {
    max_concurrency = 0
  }

  expect_failures = [var.max_concurrency]
}

run "limit_over_ten_thousand" {
  command = plan

  variables {
    max_concurrency = 10001
  }

  expect_failures = [var.max_concurrency]
}

run "half_a_slot" {
  command = plan

  variables {
    max_concurrency = 1.5
  }

  expect_failures = [var.max_concurrency]
}

run "report_by_mail" {
  command = plan

  variables {
    report_by = "mail"
  }

  expect_failures = [var.report_by]
}

run "event_age_under_lambdas" {
  command = plan

  variables {
    max_event_age_seconds = 59
  }

  expect_failures = [var.max_event_age_seconds]
}

run "event_age_over_lambdas" {
  command = plan

  variables {
    max_event_age_seconds = 21601
  }

  expect_failures = [var.max_event_age_seconds]
}

run "no_attempt" {
  command = plan

  variables {
    retry = { max_attempts = 0 }
  }

  expect_failures = [var.retry]
}

run "too_many_attempts" {
  command = plan

  variables {
    retry = { max_attempts = 101 }
  }

  expect_failures = [var.retry]
}

run "negative_delay" {
  command = plan

  variables {
    retry = { base_delay_seconds = -1 }
  }

  expect_failures = [var.retry]
}

run "longest_delay_under_the_shortest" {
  command = plan

  variables {
    retry = { base_delay_seconds = 60, max_delay_seconds = 30 }
  }

  expect_failures = [var.retry]
}

run "namespace_of_blanks" {
  command = plan

  variables {
    health_metrics = { database = { namespace = "  ", metric_name = "CPUUtilization", levels = { "4" = 40 } } }
  }

  expect_failures = [var.health_metrics]
}

run "namespace_with_a_colon_in_front" {
  command = plan

  variables {
    health_metrics = { database = { namespace = ":AWS", metric_name = "CPUUtilization", levels = { "4" = 40 } } }
  }

  expect_failures = [var.health_metrics]
}

run "namespace_too_long" {
  command = plan

  variables {
    health_metrics = { database = { namespace = join("", [for i in range(256) : "x"]), metric_name = "CPUUtilization", levels = { "4" = 40 } } }
  }

  expect_failures = [var.health_metrics]
}

run "no_metric_name" {
  command = plan

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "", levels = { "4" = 40 } } }
  }

  expect_failures = [var.health_metrics]
}

run "metric_name_of_blanks" {
  command = plan

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = " ", levels = { "4" = 40 } } }
  }

  expect_failures = [var.health_metrics]
}

run "metric_name_too_long" {
  command = plan

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = join("", [for i in range(256) : "x"]), levels = { "4" = 40 } } }
  }

  expect_failures = [var.health_metrics]
}

run "too_many_dimensions" {
  command = plan

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", dimensions = { for i in range(31) : "dimension${i}" => "x" }, levels = { "4" = 40 } } }
  }

  expect_failures = [var.health_metrics]
}

run "no_name_of_a_dimension" {
  command = plan

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", dimensions = { "" = "main" }, levels = { "4" = 40 } } }
  }

  expect_failures = [var.health_metrics]
}

run "dimension_name_of_blanks" {
  command = plan

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", dimensions = { " " = "main" }, levels = { "4" = 40 } } }
  }

  expect_failures = [var.health_metrics]
}

run "dimension_name_with_a_colon_in_front" {
  command = plan

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", dimensions = { ":Instance" = "main" }, levels = { "4" = 40 } } }
  }

  expect_failures = [var.health_metrics]
}

run "dimension_name_too_long" {
  command = plan

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", dimensions = { (join("", [for i in range(256) : "x"])) = "main" }, levels = { "4" = 40 } } }
  }

  expect_failures = [var.health_metrics]
}

run "no_value_of_a_dimension" {
  command = plan

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", dimensions = { DBInstanceIdentifier = "" }, levels = { "4" = 40 } } }
  }

  expect_failures = [var.health_metrics]
}

run "null_of_a_dimension" {
  command = plan

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", dimensions = { DBInstanceIdentifier = null }, levels = { "4" = 40 } } }
  }

  expect_failures = [var.health_metrics]
}

run "dimension_value_of_blanks" {
  command = plan

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", dimensions = { DBInstanceIdentifier = "  " }, levels = { "4" = 40 } } }
  }

  expect_failures = [var.health_metrics]
}

run "dimension_value_beyond_ascii" {
  command = plan

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", dimensions = { DBInstanceIdentifier = "größe" }, levels = { "4" = 40 } } }
  }

  expect_failures = [var.health_metrics]
}

run "dimension_value_too_long" {
  command = plan

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", dimensions = { DBInstanceIdentifier = join("", [for i in range(205) : "five "]) }, levels = { "4" = 40 } } }
  }

  expect_failures = [var.health_metrics]
}

run "unknown_statistic" {
  command = plan

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", levels = { "4" = 40, "3" = 60 }, statistic = "p99" } }
  }

  expect_failures = [var.health_metrics]
}

run "period_of_half_a_minute" {
  command = plan

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", levels = { "4" = 40, "3" = 60 }, period_seconds = 30 } }
  }

  expect_failures = [var.health_metrics]
}

run "period_of_a_minute_and_a_half" {
  command = plan

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", levels = { "4" = 40, "3" = 60 }, period_seconds = 90 } }
  }

  expect_failures = [var.health_metrics]
}

run "better_is_neither_low_nor_high" {
  command = plan

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", levels = { "4" = 40, "3" = 60 }, better = "lower" } }
  }

  expect_failures = [var.health_metrics]
}

run "no_levels" {
  command = plan

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", levels = {} } }
  }

  expect_failures = [var.health_metrics]
}

run "level_that_is_none" {
  command = plan

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", levels = { "4" = 40, "0" = 60 } } }
  }

  expect_failures = [var.health_metrics]
}

run "thresholds_that_fall_where_low_is_better" {
  command = plan

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", levels = { "4" = 60, "3" = 40 } } }
  }

  expect_failures = [var.health_metrics]
}

run "thresholds_that_rise_where_high_is_better" {
  command = plan

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", levels = { "4" = 40, "3" = 60 }, better = "high" } }
  }

  expect_failures = [var.health_metrics]
}

run "thresholds_that_are_equal" {
  command = plan

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", levels = { "4" = 40, "2" = 40 } } }
  }

  expect_failures = [var.health_metrics]
}

run "thresholds_that_turn" {
  command = plan

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", levels = { "4" = 40, "3" = 60, "1" = 50 } } }
  }

  expect_failures = [var.health_metrics]
}

run "attribute_twice" {
  command = plan

  variables {
    job_schemas = { default = { chunkable_attrs = ["store", "store"] } }
  }

  expect_failures = [var.job_schemas]
}

run "attribute_that_is_no_name" {
  command = plan

  variables {
    job_schemas = { default = { chunkable_attrs = ["a store"] } }
  }

  expect_failures = [var.job_schemas]
}

run "attribute_that_is_no_name_reserved" {
  command = plan

  variables {
    job_schemas = { default = { chunkable_attrs = ["day"] } }
  }

  expect_failures = [var.job_schemas]
}

run "attribute_that_is_no_name_plural" {
  command = plan

  variables {
    job_schemas = { default = { chunkable_attrs = ["stores"] } }
  }

  expect_failures = [var.job_schemas]
}

run "old_attribute_twice" {
  command = plan

  variables {
    job_schemas_07 = { default = { chunkable_attrs = [["store", {}], ["store", {}]] } }
  }

  expect_failures = [var.job_schemas_07]
}

run "old_attribute_that_is_no_name" {
  command = plan

  variables {
    job_schemas_07 = { default = { chunkable_attrs = [["a store", {}]] } }
  }

  expect_failures = [var.job_schemas_07]
}

run "schema_in_both_forms" {
  command = plan

  variables {
    job_schemas    = { default = { chunkable_attrs = ["store"] } }
    job_schemas_07 = { default = { chunkable_attrs = [["store", {}]] } }
  }

  expect_failures = [var.job_schemas_07]
}

run "no_shard" {
  command = plan

  variables {
    queue_shards = 0
  }

  expect_failures = [var.queue_shards]
}

run "too_many_shards" {
  command = plan

  variables {
    queue_shards = 101
  }

  expect_failures = [var.queue_shards]
}

run "misspelled_key_of_retry" {
  command = plan

  variables {
    retry = { max_attemps = 9 }
  }

  expect_failures = [var.retry]
}

run "misspelled_key_of_a_health_metric" {
  command = plan

  variables {
    health_metrics = { database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", levels = { "4" = 40 }, period = 300 } }
  }

  expect_failures = [var.health_metrics]
}

run "misspelled_key_of_a_job_schema" {
  command = plan

  variables {
    job_schemas = { default = { chunkable_attrs = ["store"], chunkable_attr = [] } }
  }

  expect_failures = [var.job_schemas]
}
