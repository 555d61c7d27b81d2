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
  description = <<-EOT
    The job, with the keys of the job language that do not depend on a schema. `attributes` takes the others.

    object({
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
  EOT
  type        = any
  nullable    = false

  validation {
    condition     = templatefile(local.keys, { input = "job", value = var.job, shape = local.job_shape }) == ""
    error_message = "${templatefile(local.keys, { input = "job", value = var.job, shape = local.job_shape })}Attributes, their flags (isolate_<attribute>s, max_<attribute>s_per_batch) and keys of the payload go into the input attributes."
  }

  validation {
    condition     = templatefile(local.types, { input = "job", value = var.job, shape = local.job_shape }) == ""
    error_message = templatefile(local.types, { input = "job", value = var.job, shape = local.job_shape })
  }

  validation {
    condition     = try(length(tostring(var.job.worker)) > 0, true)
    error_message = "job.worker: is empty; must be the id of a registered Worker, as in module.<worker>.worker_id."
  }

  validation {
    condition     = try(contains(range(10), tonumber(var.job.priority)), true)
    error_message = "job.priority: is ${try(jsonencode(var.job.priority), "missing")}; must be a whole number from 0 to 9; 9 goes first."
  }

  validation {
    condition     = var.job_schemas == null || try(var.job.job_schema_name, null) == null || contains(try(keys(var.job_schemas), []), try(tostring(var.job.job_schema_name), "-"))
    error_message = "job.job_schema_name: is ${try(jsonencode(var.job.job_schema_name), "missing")}; must be one of the Worker's job_schemas: ${join(", ", try(keys(var.job_schemas), []))}."
  }

  validation {
    condition     = try(var.job.time_zone, null) == null || try(contains(local.time_zones, tostring(var.job.time_zone)), true)
    error_message = "job.time_zone: ${try(jsonencode(var.job.time_zone), "-")} is no IANA time zone; must be one such as UTC or Europe/Berlin."
  }

  validation {
    condition = try(
      contains(var.own_periods, tostring(var.job.period))
      || contains(local.periods, replace(replace(tostring(var.job.period), "N", "-"), "/[0-9]+/", "N")),
      true,
    )
    error_message = "job.period: is ${try(jsonencode(var.job.period), "missing")}; must be one of ${join(", ", concat(local.periods, var.own_periods))}, with a number for N, or be listed in own_periods."
  }

  validation {
    condition     = try(lookup(var.job, "period", null) == null || (lookup(var.job, "start_date", null) == null && lookup(var.job, "end_date", null) == null), true)
    error_message = "job.period: is given together with start_date or end_date; leave one of the two out."
  }

  validation {
    condition     = try((lookup(var.job, "start_date", null) == null) == (lookup(var.job, "end_date", null) == null), true)
    error_message = "job.start_date and job.end_date: only one of them is given; both are needed, both inclusive."
  }

  validation {
    condition = alltrue([
      for key in ["start_date", "end_date"] :
      try(tostring(var.job[key]), null) == null || (
        can(regex("^[0-9]{4}-[0-9]{2}-[0-9]{2}$", var.job[key])) && can(formatdate("YYYY-MM-DD", "${var.job[key]}T00:00:00Z"))
      )
    ])
    error_message = "job.start_date and job.end_date: are ${try(jsonencode(var.job.start_date), "missing")} and ${try(jsonencode(var.job.end_date), "missing")}; must be days as in 2026-01-31."
  }

  validation {
    condition     = try(timecmp("${var.job.end_date}T00:00:00Z", "${var.job.start_date}T00:00:00Z") >= 0, true)
    error_message = "job.end_date: ${try(jsonencode(var.job.end_date), "-")} is before start_date (${try(jsonencode(var.job.start_date), "-")})."
  }
}

variable "own_periods" {
  description = "Names of periods of your own, from packages within the Essentials' (`sosw package --with`), which `job.period` may have."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "job_schemas" {
  description = "The output `job_schemas` of the Worker's module. With it, a `job_schema_name` and flags in `attributes` that the Worker does not have are refused at plan."
  type        = map(object({ chunkable_attrs = list(string) }))
  default     = null
}

locals {
  # `lambda_name` means the same as `worker`; with a `job_id` all events would make one job; every task has the other keys already.
  reserved_keys = [
    "attempt", "attempts", "created_at", "job_id", "labourer_id", "lambda_name", "sosw_installation", "sosw_token", "task_id", "worker_id",
  ]
  # The job language's own. Values of `periods` have a number in place of N.
  words = [
    "date_list", "end_date", "isolate_days", "isolate_months", "isolate_weeks", "job_id", "job_schema_name", "lambda_name",
    "payload", "period", "priority", "start_at", "start_date", "time_zone", "worker",
  ]
  periods = [
    "today", "yesterday", "N_days_back", "last_N_days", "previous_N_days", "last_week", "previous_week", "last_N_weeks",
    "this_month", "last_month", "last_N_months",
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
    condition     = length(setintersection(try(keys(jsondecode(var.attributes)), []), concat(keys(local.job_shape), local.reserved_keys))) == 0
    error_message = "attributes: has ${join(", ", setintersection(try(keys(jsondecode(var.attributes)), []), concat(keys(local.job_shape), local.reserved_keys)))}; must not have keys of the input job, nor ${join(", ", local.reserved_keys)}, which a job must not set."
  }

  validation {
    condition = (
      !anytrue([for flag in [local.job.isolate_days, local.job.isolate_weeks, local.job.isolate_months] : coalesce(flag, false)])
      || local.job.period != null
      || local.job.start_date != null
      || can(jsondecode(var.attributes).date_list)
    )
    error_message = "attributes: job.isolate_days, isolate_weeks or isolate_months is true, but there are no days to cut; give job.period, job.start_date and job.end_date, or date_list here."
  }

  validation {
    condition     = try(jsondecode(var.attributes).payload, null) == null || can(keys(jsondecode(var.attributes).payload))
    error_message = "attributes: payload is ${try(jsonencode(jsondecode(var.attributes).payload), "missing")}; must be an object, whose keys go to every task as they are."
  }

  validation {
    condition = length([
      for key in try(keys(jsondecode(var.attributes)), []) : key
      if !contains(local.meant, key) && anytrue([for misspelling in values(local.misspellings) : can(regex(misspelling, key))])
    ]) == 0
    error_message = join(" ", [
      for key in try(keys(jsondecode(var.attributes)), []) : format(
        "attributes: has %s; did you mean %s? Put the key within payload if the tasks are to have it.",
        key, join(" or ", [for word, misspelling in local.misspellings : word if can(regex(misspelling, key))]),
      )
      if !contains(local.meant, key) && anytrue([for misspelling in values(local.misspellings) : can(regex(misspelling, key))])
    ])
  }

  validation {
    condition = var.job_schemas == null || length([
      for key, value in try(merge(jsondecode(var.attributes)), {}) : key
      if value != null && can(regex("^(isolate_.+|max_.+_per_batch)$", key)) && !contains(local.meant, key)
    ]) == 0
    error_message = format(
      "attributes: has %s, which the job schema has no attribute for; the flags are %s.",
      join(", ", [
        for key, value in try(merge(jsondecode(var.attributes)), {}) : key
        if value != null && can(regex("^(isolate_.+|max_.+_per_batch)$", key)) && !contains(local.meant, key)
      ]),
      join(", ", keys(local.flags)),
    )
  }
}

variable "tags" {
  description = "Tags of the rule."
  type        = map(string)
  default     = {}
  nullable    = false
}
