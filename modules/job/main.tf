locals {
  whole_job = merge(
    jsondecode(var.attributes),
    { for key, value in local.job : key => value if value != null },
  )

  # Angle brackets in the job cannot be taken for placeholders: jsonencode writes them as \u003c and \u003e.
  input_template = "{\"id\": <id>, \"time\": <time>, \"job\": ${jsonencode(local.whole_job)}}"

  rule_prefix = "${var.orchestrator.name}_job_"
}

# The root module permits all rules whose names start with <name>_job_ to invoke the Scheduler.
resource "aws_cloudwatch_event_rule" "this" {
  name                = var.name == null ? null : "${local.rule_prefix}${var.name}"
  name_prefix         = var.name == null ? local.rule_prefix : null
  description         = "A job of ${var.orchestrator.name} for the Worker ${local.job.worker}."
  schedule_expression = var.schedule_expression
  state               = var.enabled ? "ENABLED" : "DISABLED"
  tags                = var.tags
}

# The event's id is the job's id: an event that is delivered twice makes one job.
resource "aws_cloudwatch_event_target" "this" {
  rule = aws_cloudwatch_event_rule.this.name
  arn  = var.orchestrator.scheduler_function_arn

  input_transformer {
    input_paths = {
      id   = "$.id"
      time = "$.time"
    }
    input_template = local.input_template
  }

  # EventBridge retries for a day. Events that it may not deliver, or did not deliver by then, go to the queue for people.
  retry_policy {
    maximum_event_age_in_seconds = 86400
    maximum_retry_attempts       = 185
  }

  dead_letter_config {
    arn = var.orchestrator.rejected_jobs_queue_arn
  }

  lifecycle {
    # https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_InputTransformer.html
    precondition {
      condition     = length(local.input_template) <= 8192
      error_message = "attributes: the job makes ${length(local.input_template)} characters of JSON; EventBridge takes 8192 in a rule. Let the Worker read what it needs, or submit the job from elsewhere."
    }
  }
}
