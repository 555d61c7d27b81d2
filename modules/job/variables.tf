variable "orchestrator" {
  description = "The output `orchestrator` of the root module."
  type = object({
    name                    = string
    rejected_jobs_queue_arn = string
    scheduler_function_arn  = string
  })
  nullable = false
}

variable "name" {
  description = "Name of the job, a part of its EventBridge rule's name; by default a unique one is generated."
  type        = string
  default     = null

  validation {
    condition     = var.name == null || can(regex("^[A-Za-z0-9_.-]+$", var.name))
    error_message = "name: \"${coalesce(var.name, "-")}\" must be letters, digits, _, . or -."
  }

  validation {
    condition     = var.name == null ? true : length("${var.orchestrator.name}_job_${var.name}") <= 64
    error_message = "name: \"${coalesce(var.name, "-")}\" makes the rule's name \"${var.orchestrator.name}_job_${coalesce(var.name, "-")}\", which is longer than 64 characters."
  }
}

variable "schedule_expression" {
  description = "Schedule of the job in UTC: `rate(...)` or `cron(...)`, in EventBridge's syntax."
  type        = string
  nullable    = false

  validation {
    condition = can(regex(
      "^(rate\\((1 (minute|hour|day)|([2-9]|[1-9][0-9]+) (minutes|hours|days))\\)|cron\\([^ ]+( [^ ]+){5}\\))$",
      var.schedule_expression,
    ))
    error_message = "schedule_expression: \"${var.schedule_expression}\" must be as in rate(1 hour), rate(5 minutes) or cron(0 3 * * ? *), with six fields."
  }
}

variable "enabled" {
  description = "Whether the schedule runs."
  type        = bool
  default     = true
  nullable    = false
}

variable "job" {
  description = "The job, with the keys of the job language that do not depend on a schema. `attributes` takes the others."
  type = object({
    worker          = string
    job_schema_name = optional(string)
    priority        = optional(number)
    time_zone       = optional(string)
    period          = optional(string)
    start_date      = optional(string)
    end_date        = optional(string)
    isolate_days    = optional(bool)
    isolate_weeks   = optional(bool)
    isolate_months  = optional(bool)
  })
  nullable = false

  validation {
    condition     = length(var.job.worker) > 0
    error_message = "job.worker: is empty; must be the id of a registered Worker, as in module.<worker>.worker_id."
  }

  validation {
    condition     = var.job.priority == null ? true : contains(range(10), var.job.priority)
    error_message = "job.priority: is ${coalesce(var.job.priority, 0)}; must be a whole number from 0 to 9; 9 goes first."
  }

  validation {
    condition     = var.job.period == null || (var.job.start_date == null && var.job.end_date == null)
    error_message = "job.period: is given together with start_date or end_date; leave one of the two out."
  }

  validation {
    condition     = (var.job.start_date == null) == (var.job.end_date == null)
    error_message = "job.start_date and job.end_date: only one of them is given; both are needed, both inclusive."
  }

  validation {
    condition = alltrue([
      for date in [var.job.start_date, var.job.end_date] :
      date == null ? true : can(regex("^[0-9]{4}-[0-9]{2}-[0-9]{2}$", date)) && can(formatdate("YYYY-MM-DD", "${date}T00:00:00Z"))
    ])
    error_message = "job.start_date and job.end_date: are \"${coalesce(var.job.start_date, "-")}\" and \"${coalesce(var.job.end_date, "-")}\"; must be days as in 2026-01-31."
  }

  validation {
    condition     = try(timecmp("${var.job.end_date}T00:00:00Z", "${var.job.start_date}T00:00:00Z") >= 0, true)
    error_message = "job.end_date: ${coalesce(var.job.end_date, "-")} is before start_date (${coalesce(var.job.start_date, "-")})."
  }
}

locals {
  # `lambda_name` means the same as `worker`; with a `job_id` all events would make one job; every task has the other keys already.
  reserved_keys = [
    "attempt", "attempts", "created_at", "job_id", "labourer_id", "lambda_name", "sosw_installation", "sosw_token", "task_id", "worker_id",
  ]
}

variable "attributes" {
  description = "Further keys of the job, a JSON object: the values of the schema's attributes, their `isolate_<attribute>s` and `max_<attribute>s_per_batch`, and keys for each task's payload, as in `jsonencode({ sections = [\"a\", \"b\"], isolate_sections = true })`."
  type        = string
  default     = "{}"
  nullable    = false

  validation {
    condition     = can(keys(jsondecode(var.attributes)))
    error_message = "attributes: must be a JSON object, as jsonencode({ ... }) makes it."
  }

  validation {
    condition     = length(setintersection(try(keys(jsondecode(var.attributes)), []), concat(keys(var.job), local.reserved_keys))) == 0
    error_message = "attributes: has ${join(", ", setintersection(try(keys(jsondecode(var.attributes)), []), concat(keys(var.job), local.reserved_keys)))}; must not have keys of the input job, nor ${join(", ", local.reserved_keys)}, which a job must not set."
  }

  validation {
    condition = (
      !anytrue([for flag in [var.job.isolate_days, var.job.isolate_weeks, var.job.isolate_months] : coalesce(flag, false)])
      || var.job.period != null
      || var.job.start_date != null
      || can(jsondecode(var.attributes).date_list)
    )
    error_message = "attributes: job.isolate_days, isolate_weeks or isolate_months is true, but there are no days to cut; give job.period, job.start_date and job.end_date, or date_list here."
  }
}

variable "tags" {
  description = "Tags of the rule."
  type        = map(string)
  default     = {}
  nullable    = false
}
