variable "orchestrator" {
  description = "The output `orchestrator` of the root module."
  type = object({
    name                          = string
    registry_table_name           = string
    orchestrator_role_arn         = string
    worker_assistant_function_arn = string
  })
  nullable = false
}

variable "function_name" {
  description = "Name or ARN of the Worker's Lambda function, without a version or alias."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^(arn:[^:]+:lambda:[^:]+:[0-9]{12}:function:)?[A-Za-z0-9_-]{1,64}$", var.function_name))
    error_message = "function_name: \"${var.function_name}\" must be the name of a Lambda function or its ARN (arn:<partition>:lambda:<region>:<account>:function:<name>); give a version or alias as qualifier."
  }

  # A Worker's rights, registration and reports are in one account and region.
  validation {
    condition     = !startswith(var.function_name, "arn:") || startswith(var.function_name, replace(var.orchestrator.worker_assistant_function_arn, "/[^:]+$/", ""))
    error_message = "function_name: \"${var.function_name}\" must be in the account and region of the installation, as ${var.orchestrator.worker_assistant_function_arn} is; a Worker elsewhere needs an installation there."
  }
}

variable "qualifier" {
  description = "Alias or version of the function that is invoked. Null invokes the unqualified function and sets its asynchronous configuration, which other callers share: give an alias if there are any."
  type        = string
  default     = null

  validation {
    condition     = var.qualifier == null || can(regex("^[A-Za-z0-9_-]{1,128}$", var.qualifier))
    error_message = "qualifier: \"${coalesce(var.qualifier, "-")}\" must be an alias or a version number of the function."
  }
}

variable "worker_id" {
  description = "Id by which jobs name this Worker; by default the function's name."
  type        = string
  default     = null

  validation {
    condition     = var.worker_id == null || can(regex("^[A-Za-z0-9_.:-]{1,140}$", var.worker_id))
    error_message = "worker_id: \"${coalesce(var.worker_id, "-")}\" must be 1 to 140 letters, digits, _, ., : or -."
  }
}

variable "role_name" {
  description = "Name of the function's execution role, which gets the rights to invoke the WorkerAssistant and to read the Worker's configuration."
  type        = string
  default     = null

  validation {
    condition     = !var.attach_policy || var.role_name != null
    error_message = "role_name: must be given, so that the function's role gets the right to report; or set attach_policy = false and attach the root module's worker_policy_arn yourself."
  }
}

variable "attach_policy" {
  description = "Attach the rights to report and to read the configuration to `role_name`. If false, attach the root module's `worker_policy_arn` to the function's role, or grant the role `lambda:InvokeFunction` on `orchestrator.worker_assistant_function_arn` elsewhere. For a Worker with a configuration grant `ssm:GetParameter` on the output `config_parameter_arn` too."
  type        = bool
  default     = true
  nullable    = false
}

variable "config" {
  description = <<-EOT
    The Worker's configuration, an object of any keys, written as a literal (its values may be unknown at plan): what `self.config` of the `Worker` class has over `DEFAULT_CONFIG` and
    `SOSW_WORKER_CONFIG`. Written to the SSM parameter `/<name of the installation>/<function's name>/config`, a SecureString
    under the account's AWS managed key `aws/ssm`, up to 4,095 bytes of JSON. It belongs to the function: of several Workers
    of one function give it to one. Terraform's state holds it in plain text, so keep secrets in Secrets Manager, and their
    names here. For a key of your own leave `config` out, write the parameter yourself, and grant the role `kms:Decrypt` on the key.
  EOT
  type        = any
  default     = null

  validation {
    condition     = var.config == null || can(keys(var.config))
    error_message = "config: must be an object, such as { width = 800 }."
  }

  # https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-su-create.html
  validation {
    condition     = var.config == null || !can(regex("^(?i:aws|ssm)", var.orchestrator.name))
    error_message = "config: cannot be written for the installation \"${var.orchestrator.name}\", since SSM takes no parameter whose name begins with aws or ssm; leave config out, and set SOSW_WORKER_CONFIG in the function's environment."
  }

  # SSM takes 4,096 bytes in its standard tier: https://docs.aws.amazon.com/general/latest/gr/ssm.html. 3 bytes are 4 characters of base64.
  validation {
    condition     = length(base64encode(jsonencode(var.config))) <= 4095 / 3 * 4
    error_message = "config: is larger than 4,095 bytes as JSON; keep what is large elsewhere, and its name or key here."
  }
}

variable "timeout_seconds" {
  description = "The function's timeout, 1 to 900 s. It decides how long a task may hold its slot."
  type        = number
  nullable    = false

  validation {
    condition     = var.timeout_seconds >= 1 && var.timeout_seconds <= 900 && floor(var.timeout_seconds) == var.timeout_seconds
    error_message = "timeout_seconds: is ${var.timeout_seconds}; must be the function's own timeout, a whole number from 1 to 900."
  }
}

variable "max_concurrency" {
  description = "Most tasks of this Worker that run at once, across all jobs: 1 to 10000."
  type        = number
  nullable    = false

  validation {
    condition     = var.max_concurrency >= 1 && var.max_concurrency <= 10000 && floor(var.max_concurrency) == var.max_concurrency
    error_message = "max_concurrency: is ${var.max_concurrency}; must be a whole number from 1 to 10000. To stop a Worker, pause it."
  }
}

variable "labels" {
  description = "Labels by which the command line finds the Worker and its tasks."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "report_by" {
  description = "How a success is reported: by `code` (the `Worker` class, the decorator, or sosw 0.7's class) or by Lambda's on-success `destination`, without code. The on-failure destination reports failures in both cases."
  type        = string
  default     = "code"
  nullable    = false

  validation {
    condition     = contains(["code", "destination"], var.report_by)
    error_message = "report_by: is \"${var.report_by}\"; must be code or destination."
  }
}

variable "require_token" {
  description = "Whether events bring a token. Once a report has carried it, every report must, so that no other Worker can end this one's tasks. False for unmodified sosw 0.7 Workers, which send no token, and for a Worker whose package goes back to sosw-runtime 0.1: its reports would count only once the attempt's lease ends."
  type        = bool
  default     = true
  nullable    = false
}

variable "max_event_age_seconds" {
  description = "Maximum age of an event before Lambda drops it and the attempt ends, 60 to 21600 s. A lost task holds its slot for at least this time."
  type        = number
  default     = 60
  nullable    = false

  validation {
    condition     = var.max_event_age_seconds >= 60 && var.max_event_age_seconds <= 21600 && floor(var.max_event_age_seconds) == var.max_event_age_seconds
    error_message = "max_event_age_seconds: is ${var.max_event_age_seconds}; must be a whole number from 60 to 21600, Lambda's own range."
  }
}

variable "retry" {
  description = <<-EOT
    Most attempts of a task (1 to 100), and the delay before the next one: random, from 0 to the base, which doubles with each attempt up to the maximum.

    object({
      max_attempts       = optional(number, 3)
      base_delay_seconds = optional(number, 30)
      max_delay_seconds  = optional(number, 3600)
    })
  EOT
  type        = any
  default     = {}
  nullable    = false

  validation {
    condition     = templatefile(local.keys, { input = "retry", value = var.retry, shape = local.retry_shape }) == ""
    error_message = templatefile(local.keys, { input = "retry", value = var.retry, shape = local.retry_shape })
  }

  validation {
    condition     = templatefile(local.types, { input = "retry", value = var.retry, shape = local.retry_shape }) == ""
    error_message = templatefile(local.types, { input = "retry", value = var.retry, shape = local.retry_shape })
  }

  validation {
    condition     = try(var.retry.max_attempts >= 1 && var.retry.max_attempts <= 100 && floor(var.retry.max_attempts) == tonumber(var.retry.max_attempts), true)
    error_message = "retry.max_attempts: is ${try(jsonencode(var.retry.max_attempts), "missing")}; must be a whole number from 1 (no retry) to 100."
  }

  validation {
    condition     = try(var.retry.base_delay_seconds >= 0, true)
    error_message = "retry.base_delay_seconds: is ${try(jsonencode(var.retry.base_delay_seconds), "missing")}; must not be negative."
  }

  validation {
    condition = try(
      try(coalesce(var.retry.max_delay_seconds), local.retry_defaults.max_delay_seconds)
      >= try(coalesce(var.retry.base_delay_seconds), local.retry_defaults.base_delay_seconds),
      true,
    )
    error_message = format(
      "retry.max_delay_seconds: %v is below base_delay_seconds (%v); must be at least that.",
      try(coalesce(var.retry.max_delay_seconds), local.retry_defaults.max_delay_seconds),
      try(coalesce(var.retry.base_delay_seconds), local.retry_defaults.base_delay_seconds),
    )
  }
}

variable "health_metrics" {
  description = <<-EOT
    CloudWatch metrics of the Worker's dependencies, by a name of your own. `levels` maps a level (4 best, 3, 2, 1) to its threshold: the largest
    value of the level if `better` is `low`, the smallest if it is `high`. A value beyond all thresholds is level 0. Level 4 allows all of
    max_concurrency, 3 three quarters, 2 half; at 1 and 0 no task starts. The worst metric decides.

    map(object({
      namespace      = string
      metric_name    = string
      dimensions     = optional(map(string), {})
      statistic      = optional(string, "Average")
      period_seconds = optional(number, 60)
      better         = optional(string, "low")
      levels         = map(number)
    }))
  EOT
  type        = any
  default     = {}
  nullable    = false

  validation {
    condition     = templatefile(local.keys, { input = "health_metrics", value = var.health_metrics, shape = { for name in try(keys(var.health_metrics), ["<name>"]) : name => local.health_metric_shape } }) == ""
    error_message = templatefile(local.keys, { input = "health_metrics", value = var.health_metrics, shape = { for name in try(keys(var.health_metrics), ["<name>"]) : name => local.health_metric_shape } })
  }

  validation {
    condition     = templatefile(local.types, { input = "health_metrics", value = var.health_metrics, shape = { for name in try(keys(var.health_metrics), ["<name>"]) : name => local.health_metric_shape } }) == ""
    error_message = templatefile(local.types, { input = "health_metrics", value = var.health_metrics, shape = { for name in try(keys(var.health_metrics), ["<name>"]) : name => local.health_metric_shape } })
  }

  # One invalid metric makes CloudWatch refuse the metrics of all Workers:
  # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Metric.html and API_Dimension.html
  validation {
    condition = alltrue([
      for name in try(keys(var.health_metrics), []) :
      try(length(regexall("^[^:].{0,254}$", var.health_metrics[name].namespace)) == 1 && length(regexall("\\S", var.health_metrics[name].namespace)) > 0, true)
    ])
    error_message = "health_metrics: namespace is ${join(", ", [for name in try(keys(var.health_metrics), []) : "${jsonencode(var.health_metrics[name].namespace)} in ${name}" if can(var.health_metrics[name].namespace)])}; each must have 1 to 255 characters, not only blanks, and not start with a colon."
  }

  validation {
    condition = alltrue([
      for name in try(keys(var.health_metrics), []) :
      try(length(regexall("^.{1,255}$", var.health_metrics[name].metric_name)) == 1 && length(regexall("\\S", var.health_metrics[name].metric_name)) > 0, true)
    ])
    error_message = "health_metrics: metric_name is ${join(", ", [for name in try(keys(var.health_metrics), []) : "${jsonencode(var.health_metrics[name].metric_name)} in ${name}" if can(var.health_metrics[name].metric_name)])}; each must have 1 to 255 characters, not only blanks."
  }

  validation {
    condition = alltrue([
      for name in try(keys(var.health_metrics), []) :
      try(length(var.health_metrics[name].dimensions) <= 30, true)
    ])
    error_message = "health_metrics: dimensions has ${join(", ", [for name in try(keys(var.health_metrics), []) : "${length(var.health_metrics[name].dimensions)} in ${name}" if can(length(var.health_metrics[name].dimensions))])}; CloudWatch takes at most 30."
  }

  validation {
    condition = alltrue([
      for name in try(keys(var.health_metrics), []) :
      try(alltrue([
        for dimension in keys(var.health_metrics[name].dimensions) : can(regex("^[ -9;-~][ -~]{0,254}$", dimension)) && can(regex("\\S", dimension))
      ]), true)
    ])
    error_message = "health_metrics: dimensions is ${join(", ", [for name in try(keys(var.health_metrics), []) : "${jsonencode(var.health_metrics[name].dimensions)} in ${name}" if can(var.health_metrics[name].dimensions)])}; each name must have 1 to 255 ASCII characters, not only blanks, and not start with a colon."
  }

  validation {
    condition = alltrue([
      for name in try(keys(var.health_metrics), []) :
      try(alltrue([
        for value in values(var.health_metrics[name].dimensions) : can(regex("^[ -~]*[!-~][ -~]*$", value)) && try(length(value) <= 1024, false)
      ]), true)
    ])
    error_message = "health_metrics: dimensions is ${join(", ", [for name in try(keys(var.health_metrics), []) : "${jsonencode(var.health_metrics[name].dimensions)} in ${name}" if can(var.health_metrics[name].dimensions)])}; each value must have 1 to 1,024 ASCII characters, not only blanks."
  }

  validation {
    condition = alltrue([
      for name in try(keys(var.health_metrics), []) :
      try(contains(["Average", "Maximum", "Minimum", "Sum", "SampleCount"], tostring(var.health_metrics[name].statistic)), true)
    ])
    error_message = "health_metrics: statistic is ${join(", ", [for name in try(keys(var.health_metrics), []) : "${jsonencode(var.health_metrics[name].statistic)} in ${name}" if can(var.health_metrics[name].statistic)])}; each must be Average, Maximum, Minimum, Sum or SampleCount."
  }

  validation {
    condition = alltrue([
      for name in try(keys(var.health_metrics), []) :
      try(var.health_metrics[name].period_seconds >= 60 && var.health_metrics[name].period_seconds % 60 == 0, true)
    ])
    error_message = "health_metrics: period_seconds is ${join(", ", [for name in try(keys(var.health_metrics), []) : "${jsonencode(var.health_metrics[name].period_seconds)} in ${name}" if can(var.health_metrics[name].period_seconds)])}; each must be a multiple of 60."
  }

  validation {
    condition = alltrue([
      for name in try(keys(var.health_metrics), []) :
      try(contains(["low", "high"], tostring(var.health_metrics[name].better)), true)
    ])
    error_message = "health_metrics: better is ${join(", ", [for name in try(keys(var.health_metrics), []) : "${jsonencode(var.health_metrics[name].better)} in ${name}" if can(var.health_metrics[name].better)])}; each must be low or high."
  }

  validation {
    condition = alltrue([
      for name in try(keys(var.health_metrics), []) :
      try(length(var.health_metrics[name].levels) > 0 && length(setsubtract(keys(var.health_metrics[name].levels), ["4", "3", "2", "1"])) == 0, true)
    ])
    error_message = "health_metrics: levels has the keys ${join("; ", [for name in try(keys(var.health_metrics), []) : "${join(", ", keys(var.health_metrics[name].levels))} in ${name}" if can(keys(var.health_metrics[name].levels))])}; each must have one to four of the levels 4, 3, 2 and 1."
  }

  # values() sorts by key, from the worst level to the best.
  validation {
    condition = alltrue([
      for name in try(keys(var.health_metrics), []) :
      try(alltrue([
        for i in range(1, max(1, length(var.health_metrics[name].levels))) :
        try(coalesce(var.health_metrics[name].better), "low") == "low"
        ? values(var.health_metrics[name].levels)[i] < values(var.health_metrics[name].levels)[i - 1]
        : values(var.health_metrics[name].levels)[i] > values(var.health_metrics[name].levels)[i - 1]
      ]), true)
    ])
    error_message = "health_metrics: levels is ${join("; ", [for name in try(keys(var.health_metrics), []) : "${jsonencode(var.health_metrics[name].levels)} in ${name}, where better = ${try(tostring(coalesce(var.health_metrics[name].better)), "low")}" if can(keys(var.health_metrics[name].levels))])}; from level 4 to 1 thresholds must rise where low is better and fall where high is."
  }
}

locals {
  # Keys that have a meaning in every job, or whose plural has one.
  reserved_attributes = [
    "attempt", "created_at", "date_list", "day", "end_date", "isolate_day", "isolate_month", "isolate_week", "job_id",
    "job_schema_name", "labourer_id", "lambda_name", "month", "payload", "period", "priority", "sosw_installation", "sosw_token",
    "start_at", "start_date", "task_id", "time_zone", "week", "worker", "worker_id",
  ]
}

variable "job_schemas" {
  description = <<-EOT
    Attributes by which jobs of this Worker may be cut: the schema `default` and named ones, each with its attributes from outer to inner, in the singular. Without a schema jobs are cut by days only.

    map(object({
      chunkable_attrs = list(string)
    }))
  EOT
  type        = any
  default     = {}
  nullable    = false

  validation {
    condition     = templatefile(local.keys, { input = "job_schemas", value = var.job_schemas, shape = { for name in try(keys(var.job_schemas), ["<name>"]) : name => local.job_schema_shape } }) == ""
    error_message = templatefile(local.keys, { input = "job_schemas", value = var.job_schemas, shape = { for name in try(keys(var.job_schemas), ["<name>"]) : name => local.job_schema_shape } })
  }

  validation {
    condition     = templatefile(local.types, { input = "job_schemas", value = var.job_schemas, shape = { for name in try(keys(var.job_schemas), ["<name>"]) : name => local.job_schema_shape } }) == ""
    error_message = templatefile(local.types, { input = "job_schemas", value = var.job_schemas, shape = { for name in try(keys(var.job_schemas), ["<name>"]) : name => local.job_schema_shape } })
  }

  validation {
    condition     = alltrue([for schema in try(values(var.job_schemas), []) : try(length(distinct(schema.chunkable_attrs)) == length(schema.chunkable_attrs), true)])
    error_message = "job_schemas: chunkable_attrs names an attribute twice: ${jsonencode(var.job_schemas)}."
  }

  validation {
    condition = alltrue(flatten([
      for schema in try(values(var.job_schemas), []) : [
        for attribute in try([for attribute in schema.chunkable_attrs : tostring(attribute)], []) :
        try(can(regex("^([A-Za-rt-z]|[A-Za-z][A-Za-z0-9_]*[A-Za-rt-z0-9_])$", attribute)) && !contains(local.reserved_attributes, attribute), false)
      ]
    ]))
    error_message = "job_schemas: each of chunkable_attrs must be a singular of letters, digits and _ that starts with a letter, does not end with s and has no meaning of its own in every job, such as store: ${jsonencode(var.job_schemas)}."
  }
}

variable "job_schemas_07" {
  description = "Schemas in the form of sosw 0.7, `chunkable_attrs = [[\"section\", {}], [\"store\", {}]]`, as an alternative to `job_schemas`. Only the names are used, as in 0.7."
  type        = map(object({ chunkable_attrs = list(tuple([string, object({})])) }))
  default     = {}
  nullable    = false

  validation {
    condition     = length(setintersection(try(keys(var.job_schemas), []), keys(var.job_schemas_07))) == 0
    error_message = "job_schemas_07: ${join(", ", setintersection(try(keys(var.job_schemas), []), keys(var.job_schemas_07)))} is in job_schemas as well; leave it out of one."
  }

  validation {
    condition     = alltrue([for schema in values(var.job_schemas_07) : length(distinct(schema.chunkable_attrs[*][0])) == length(schema.chunkable_attrs)])
    error_message = "job_schemas_07: chunkable_attrs names an attribute twice: ${jsonencode(var.job_schemas_07)}."
  }

  validation {
    condition = alltrue(flatten([
      for schema in values(var.job_schemas_07) : [
        for attribute in schema.chunkable_attrs[*][0] :
        can(regex("^([A-Za-rt-z]|[A-Za-z][A-Za-z0-9_]*[A-Za-rt-z0-9_])$", attribute)) && !contains(local.reserved_attributes, attribute)
      ]
    ]))
    error_message = "job_schemas_07: each of chunkable_attrs must be a singular of letters, digits and _ that starts with a letter, does not end with s and has no meaning of its own in every job, such as store: ${jsonencode(var.job_schemas_07)}."
  }
}

variable "queue_shards" {
  description = "Number of index keys for the Worker's queue, 1 to 100. Each takes about 500 tasks a second."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.queue_shards >= 1 && var.queue_shards <= 100 && floor(var.queue_shards) == var.queue_shards
    error_message = "queue_shards: is ${var.queue_shards}; must be a whole number from 1 to 100."
  }
}
