mock_provider "aws" {
  source          = "./tests/terraform/mocks"
  override_during = plan
}

variables {
  orchestrator = {
    name                   = "sosw"
    scheduler_function_arn = "arn:aws:lambda:eu-central-1:111122223333:function:sosw_scheduler"
  }
  schedule_expression = "cron(0 3 * * ? *)"
  job                 = { worker = "resize" }
}

run "defaults" {
  command = plan

  module {
    source = "./modules/job"
  }

  assert {
    condition = (
      aws_cloudwatch_event_rule.this.name_prefix == "sosw_job_"
      && aws_cloudwatch_event_rule.this.schedule_expression == "cron(0 3 * * ? *)"
      && aws_cloudwatch_event_target.this.arn == var.orchestrator.scheduler_function_arn
    )
    error_message = "The rule wakes the Scheduler, under a name that it permits."
  }

  assert {
    condition = (
      aws_cloudwatch_event_target.this.input_transformer[0].input_paths == tomap({ id = "$.id", time = "$.time" })
      && aws_cloudwatch_event_target.this.input_transformer[0].input_template == "{\"id\": <id>, \"time\": <time>, \"job\": {\"worker\":\"resize\"}}"
    )
    error_message = "The Scheduler gets the job together with the event's id, and no key that was not given."
  }
}

run "everything_given" {
  command = plan

  module {
    source = "./modules/job"
  }

  variables {
    name = "nightly"
    job = {
      worker          = "resize"
      job_schema_name = "stores"
      priority        = 9
      start_date      = "2026-01-01"
      end_date        = "2026-01-31"
      isolate_days    = true
    }
    attributes = jsonencode({ sections = ["a", "b"], isolate_sections = true, max_stores_per_batch = 500, note = "<b> & \"c\"" })
    tags       = { team = "media" }
  }

  assert {
    condition     = aws_cloudwatch_event_rule.this.name == "sosw_job_nightly" && aws_cloudwatch_event_rule.this.tags == tomap({ team = "media" })
    error_message = "The rule is named after the job."
  }

  assert {
    condition     = !strcontains(replace(replace(aws_cloudwatch_event_target.this.input_transformer[0].input_template, "<id>", ""), "<time>", ""), "<")
    error_message = "Nothing in the job is taken for a placeholder."
  }

  assert {
    condition = jsondecode(replace(replace(aws_cloudwatch_event_target.this.input_transformer[0].input_template, "<id>", "\"1\""), "<time>", "\"2\"")) == {
      id   = "1"
      time = "2"
      job = {
        worker               = "resize"
        job_schema_name      = "stores"
        priority             = 9
        start_date           = "2026-01-01"
        end_date             = "2026-01-31"
        isolate_days         = true
        sections             = ["a", "b"]
        isolate_sections     = true
        max_stores_per_batch = 500
        note                 = "<b> & \"c\""
      }
    }
    error_message = "The job holds all its keys."
  }
}

run "name_with_a_slash" {
  command = plan

  module {
    source = "./modules/job"
  }

  variables {
    name = "a/b"
  }

  expect_failures = [var.name]
}

run "name_too_long" {
  command = plan

  module {
    source = "./modules/job"
  }

  variables {
    name = "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
  }

  expect_failures = [var.name]
}

run "schedule_in_words" {
  command = plan

  module {
    source = "./modules/job"
  }

  variables {
    schedule_expression = "every day"
  }

  expect_failures = [var.schedule_expression]
}

run "rate_of_one_in_the_plural" {
  command = plan

  module {
    source = "./modules/job"
  }

  variables {
    schedule_expression = "rate(1 minutes)"
  }

  expect_failures = [var.schedule_expression]
}

run "cron_of_five_fields" {
  command = plan

  module {
    source = "./modules/job"
  }

  variables {
    schedule_expression = "cron(0 3 * * *)"
  }

  expect_failures = [var.schedule_expression]
}

run "no_worker" {
  command = plan

  module {
    source = "./modules/job"
  }

  variables {
    job = { worker = "" }
  }

  expect_failures = [var.job]
}

run "priority_over_nine" {
  command = plan

  module {
    source = "./modules/job"
  }

  variables {
    job = { worker = "resize", priority = 10 }
  }

  expect_failures = [var.job]
}

run "priority_of_a_half" {
  command = plan

  module {
    source = "./modules/job"
  }

  variables {
    job = { worker = "resize", priority = 1.5 }
  }

  expect_failures = [var.job]
}

run "period_and_dates" {
  command = plan

  module {
    source = "./modules/job"
  }

  variables {
    job = { worker = "resize", period = "today", start_date = "2026-01-01", end_date = "2026-01-02" }
  }

  expect_failures = [var.job]
}

run "start_without_end" {
  command = plan

  module {
    source = "./modules/job"
  }

  variables {
    job = { worker = "resize", start_date = "2026-01-01" }
  }

  expect_failures = [var.job]
}

run "end_without_start" {
  command = plan

  module {
    source = "./modules/job"
  }

  variables {
    job = { worker = "resize", end_date = "2026-01-01" }
  }

  expect_failures = [var.job]
}

run "date_in_another_order" {
  command = plan

  module {
    source = "./modules/job"
  }

  variables {
    job = { worker = "resize", start_date = "01-01-2026", end_date = "02-01-2026" }
  }

  expect_failures = [var.job]
}

run "day_that_no_month_has" {
  command = plan

  module {
    source = "./modules/job"
  }

  variables {
    job = { worker = "resize", start_date = "2026-02-30", end_date = "2026-03-01" }
  }

  expect_failures = [var.job]
}

run "end_before_start" {
  command = plan

  module {
    source = "./modules/job"
  }

  variables {
    job = { worker = "resize", start_date = "2026-01-02", end_date = "2026-01-01" }
  }

  expect_failures = [var.job]
}

run "attributes_that_are_no_json" {
  command = plan

  module {
    source = "./modules/job"
  }

  variables {
    attributes = "sections: [a]"
  }

  expect_failures = [var.attributes]
}

run "attributes_that_are_a_list" {
  command = plan

  module {
    source = "./modules/job"
  }

  variables {
    attributes = "[1]"
  }

  expect_failures = [var.attributes]
}

run "attribute_that_is_a_key_of_job" {
  command = plan

  module {
    source = "./modules/job"
  }

  variables {
    attributes = jsonencode({ period = "today" })
  }

  expect_failures = [var.attributes]
}

run "attribute_that_is_the_runtimes" {
  command = plan

  module {
    source = "./modules/job"
  }

  variables {
    attributes = jsonencode({ task_id = "1" })
  }

  expect_failures = [var.attributes]
}

run "job_longer_than_a_rule_takes" {
  command = plan

  module {
    source = "./modules/job"
  }

  variables {
    attributes = jsonencode({ note = join("", [for i in range(1000) : "far too long "]) })
  }

  expect_failures = [aws_cloudwatch_event_target.this]
}

run "isolated_days_without_days" {
  command = plan

  module {
    source = "./modules/job"
  }

  variables {
    job = { worker = "resize", isolate_days = true }
  }

  expect_failures = [var.attributes]
}
