variables {
  orchestrator = {
    name                    = "sosw"
    rejected_jobs_queue_arn = "arn:aws:sqs:eu-central-1:111122223333:sosw_rejected_jobs"
    scheduler_function_arn  = "arn:aws:lambda:eu-central-1:111122223333:function:sosw_scheduler"
  }
  schedule_expression = "cron(0 3 * * ? *)"
  job                 = { worker = "resize" }
}

run "name_with_a_slash" {
  command = plan

  variables {
    name = "a/b"
  }

  expect_failures = [var.name]
}

run "name_too_long" {
  command = plan

  variables {
    name = "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
  }

  expect_failures = [var.name]
}

run "schedule_in_words" {
  command = plan

  variables {
    schedule_expression = "every day"
  }

  expect_failures = [var.schedule_expression]
}

run "rate_of_one_in_the_plural" {
  command = plan

  variables {
    schedule_expression = "rate(1 minutes)"
  }

  expect_failures = [var.schedule_expression]
}

run "cron_of_five_fields" {
  command = plan

  variables {
    schedule_expression = "cron(0 3 * * *)"
  }

  expect_failures = [var.schedule_expression]
}

run "no_worker" {
  command = plan

  variables {
    job = { worker = "" }
  }

  expect_failures = [var.job]
}

run "priority_over_nine" {
  command = plan

  variables {
    job = { worker = "resize", priority = 10 }
  }

  expect_failures = [var.job]
}

run "priority_of_a_half" {
  command = plan

  variables {
    job = { worker = "resize", priority = 1.5 }
  }

  expect_failures = [var.job]
}

run "period_and_dates" {
  command = plan

  variables {
    job = { worker = "resize", period = "today", start_date = "2026-01-01", end_date = "2026-01-02" }
  }

  expect_failures = [var.job]
}

run "start_without_end" {
  command = plan

  variables {
    job = { worker = "resize", start_date = "2026-01-01" }
  }

  expect_failures = [var.job]
}

run "end_without_start" {
  command = plan

  variables {
    job = { worker = "resize", end_date = "2026-01-01" }
  }

  expect_failures = [var.job]
}

run "date_in_another_order" {
  command = plan

  variables {
    job = { worker = "resize", start_date = "01-01-2026", end_date = "02-01-2026" }
  }

  expect_failures = [var.job]
}

run "day_that_no_month_has" {
  command = plan

  variables {
    job = { worker = "resize", start_date = "2026-02-30", end_date = "2026-03-01" }
  }

  expect_failures = [var.job]
}

run "end_before_start" {
  command = plan

  variables {
    job = { worker = "resize", start_date = "2026-01-02", end_date = "2026-01-01" }
  }

  expect_failures = [var.job]
}

run "attributes_that_are_no_json" {
  command = plan

  variables {
    attributes = "sections: [a]"
  }

  expect_failures = [var.attributes]
}

run "attributes_that_are_a_list" {
  command = plan

  variables {
    attributes = "[1]"
  }

  expect_failures = [var.attributes]
}

run "attribute_that_is_a_key_of_job" {
  command = plan

  variables {
    attributes = jsonencode({ period = "today" })
  }

  expect_failures = [var.attributes]
}

run "attribute_that_is_the_runtimes" {
  command = plan

  variables {
    attributes = jsonencode({ task_id = "1" })
  }

  expect_failures = [var.attributes]
}

run "isolated_days_without_days" {
  command = plan

  variables {
    job = { worker = "resize", isolate_days = true }
  }

  expect_failures = [var.attributes]
}

run "misspelled_key_of_a_job" {
  command = plan

  variables {
    job = { worker = "resize", perod = "last_3_days" }
  }

  expect_failures = [var.job]
}

run "job_in_one_word" {
  command = plan

  variables {
    job = "resize"
  }

  expect_failures = [var.job]
}

run "period_that_is_none" {
  command = plan

  variables {
    job = { worker = "resize", period = "last_three_days" }
  }

  expect_failures = [var.job]
}

run "time_zone_that_is_none" {
  command = plan

  variables {
    job = { worker = "resize", time_zone = "Europe/Belrin" }
  }

  expect_failures = [var.job]
}

run "job_schema_that_the_worker_lacks" {
  command = plan

  variables {
    job         = { worker = "resize", job_schema_name = "news" }
    job_schemas = { default = { chunkable_attrs = ["store"] } }
  }

  expect_failures = [var.job]
}

run "flag_for_an_attribute_that_the_schema_lacks" {
  command = plan

  variables {
    attributes  = jsonencode({ isolate_shops = true })
    job_schemas = { default = { chunkable_attrs = ["store"] } }
  }

  expect_failures = [var.attributes]
}

run "misspelled_key_of_the_attributes" {
  command = plan

  variables {
    attributes = jsonencode({ timezone = "Europe/Berlin" })
  }

  expect_failures = [var.attributes]
}

run "payload_that_is_a_list" {
  command = plan

  variables {
    attributes = jsonencode({ payload = ["a"] })
  }

  expect_failures = [var.attributes]
}
