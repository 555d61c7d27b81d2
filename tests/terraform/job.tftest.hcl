mock_provider "aws" {
  source          = "./tests/terraform/mocks"
  override_during = plan
}

variables {
  orchestrator = {
    name                    = "sosw"
    rejected_jobs_queue_arn = "arn:aws:sqs:eu-central-1:111122223333:sosw_rejected_jobs"
    scheduler_function_arn  = "arn:aws:lambda:eu-central-1:111122223333:function:sosw_scheduler"
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

  assert {
    condition = (
      aws_cloudwatch_event_target.this.dead_letter_config[0].arn == var.orchestrator.rejected_jobs_queue_arn
      && aws_cloudwatch_event_target.this.retry_policy[0].maximum_event_age_in_seconds == 24 * 3600
      && aws_cloudwatch_event_target.this.retry_policy[0].maximum_retry_attempts == 185
    )
    error_message = "What cannot be handed over for a day comes to the queue of rejected jobs."
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
    attributes  = jsonencode({ sections = ["a", "b"], isolate_sections = true, max_stores_per_batch = 500, note = "<b> & \"c\"" })
    job_schemas = { stores = { chunkable_attrs = ["section", "store"] } }
    tags        = { team = "media" }
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
