variable "name" {
  description = "Prefix of everything: tables, functions, roles, alarms; also the namespace of the Essentials' metrics."
  type        = string
  default     = "sosw"
  nullable    = false

  # The longest derived name is that of a role: <name>_worker_assistant_<region> may have 64 characters
  # (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html), and a region up to 14.
  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9_-]{1,31}$", var.name))
    error_message = "name: \"${var.name}\" must be 2 to 32 letters, digits, _ or -, starting with a letter: the longest name made of it, <name>_worker_assistant_<region>, may have 64 characters."
  }
}

variable "runtime" {
  description = <<-EOT
    The packaged runtime of the Essentials, as `sosw package` builds it, and its pinned version: `package`, the path of a local zip, or `s3`, an object.
    An object in S3 needs its `object_version`, or its `source_code_hash` (base64 of the SHA-256, as `filebase64sha256` gives it): Terraform
    updates the functions when that changes.
    The file is named `sosw-runtime-<version>-py<311|312|313>-<arm64|x86_64>.zip`; the name decides Lambda's Python and architecture.
    A package of another version is refused at plan. At run time, for instance during an upgrade, it works, logs a warning and counts `VersionMismatch`, which has an alarm.

    object({
      version = string
      package = optional(string)
      s3 = optional(object({
        bucket           = string
        key              = string
        object_version   = optional(string)
        source_code_hash = optional(string)
      }))
    })
  EOT
  type        = any
  nullable    = false

  validation {
    condition     = templatefile(local.keys, { input = "runtime", value = var.runtime, shape = local.shapes.runtime }) == ""
    error_message = templatefile(local.keys, { input = "runtime", value = var.runtime, shape = local.shapes.runtime })
  }

  validation {
    condition     = templatefile(local.types, { input = "runtime", value = var.runtime, shape = local.shapes.runtime }) == ""
    error_message = templatefile(local.types, { input = "runtime", value = var.runtime, shape = local.shapes.runtime })
  }

  validation {
    condition     = try((lookup(var.runtime, "package", null) != null) != (lookup(var.runtime, "s3", null) != null), true)
    error_message = "runtime: give package (the path of a local zip) or s3 (an object), one of them."
  }

  validation {
    condition = try(length(regexall(
      "^sosw-runtime-.+-py3(11|12|13)-(arm64|x86_64)\\.zip$",
      basename(try(tostring(coalesce(var.runtime.package)), var.runtime.s3.key)),
    )) == 1, true)
    error_message = "runtime: the package's file name is \"${basename(try(tostring(coalesce(var.runtime.package)), tostring(coalesce(var.runtime.s3.key)), "-"))}\"; must be sosw-runtime-<version>-py<311|312|313>-<arm64|x86_64>.zip, as `sosw package` names it."
  }

  validation {
    condition = try(
      tostring(var.runtime.version) == regex(
        "^sosw-runtime-(.+)-py3(?:11|12|13)-(?:arm64|x86_64)\\.zip$",
        basename(try(tostring(coalesce(var.runtime.package)), var.runtime.s3.key)),
      )[0],
      true,
    )
    error_message = "runtime.version: ${try(jsonencode(var.runtime.version), "none")} is pinned, but the package is \"${basename(try(tostring(coalesce(var.runtime.package)), tostring(coalesce(var.runtime.s3.key)), "-"))}\"; give the package of the pinned version, or pin the version of the package."
  }

  validation {
    condition     = try(lookup(var.runtime.s3, "object_version", null) != null || lookup(var.runtime.s3, "source_code_hash", null) != null, true)
    error_message = "runtime.s3: has neither object_version nor source_code_hash; give one of them: under the same key Terraform does not see that the object changed, and the functions would keep their old code."
  }

  validation {
    condition     = can(regex("^[A-Za-z0-9+/]{43}=$", var.runtime.s3.source_code_hash)) || try(tostring(var.runtime.s3.source_code_hash), null) == null
    error_message = "runtime.s3.source_code_hash: is ${try(jsonencode(var.runtime.s3.source_code_hash), "missing")}; must be the base64 of the object's SHA-256, as `openssl dgst -sha256 -binary <file> | base64` prints it."
  }

  validation {
    condition     = try(tostring(var.runtime.package), null) == null || try(fileexists(var.runtime.package), false)
    error_message = "runtime.package: there is no file \"${try(tostring(coalesce(var.runtime.package)), "-")}\"; build it with `sosw package`."
  }
}

variable "tags" {
  description = "Tags of everything that can be tagged."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "logging" {
  description = <<-EOT
    Lowest `level` that the Essentials log (DEBUG, INFO, WARNING, ERROR, CRITICAL), and `retention_days` of their log groups (0: for ever).

    object({
      level          = optional(string, "INFO")
      retention_days = optional(number, 30)
    })
  EOT
  type        = any
  default     = {}
  nullable    = false

  validation {
    condition     = templatefile(local.keys, { input = "logging", value = var.logging, shape = local.shapes.logging }) == ""
    error_message = templatefile(local.keys, { input = "logging", value = var.logging, shape = local.shapes.logging })
  }

  validation {
    condition     = templatefile(local.types, { input = "logging", value = var.logging, shape = local.shapes.logging }) == ""
    error_message = templatefile(local.types, { input = "logging", value = var.logging, shape = local.shapes.logging })
  }

  validation {
    condition     = try(contains(["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], tostring(var.logging.level)), true)
    error_message = "logging.level: is ${try(jsonencode(var.logging.level), "missing")}; must be DEBUG, INFO, WARNING, ERROR or CRITICAL."
  }

  # https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
  validation {
    condition = try(contains(
      [0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653],
      tonumber(var.logging.retention_days),
    ), true)
    error_message = "logging.retention_days: is ${try(jsonencode(var.logging.retention_days), "missing")}; CloudWatch Logs takes 0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653."
  }
}

variable "encryption" {
  description = <<-EOT
    A customer-managed KMS key for tables, queue, topic, logs and functions' environments. The Essentials' roles get their rights on it. Its own policy must let these use it: `logs.<region>.amazonaws.com` (`kms:Encrypt`, `kms:Decrypt`, `kms:ReEncrypt*`, `kms:GenerateDataKey*`, `kms:DescribeKey`), and `cloudwatch.amazonaws.com` and `events.amazonaws.com` (`kms:Decrypt`, `kms:GenerateDataKey*`), which publish alarms and send undelivered jobs to the queue. Without it AWS-managed keys are used.

    object({
      kms_key_arn = string
    })
  EOT
  type        = any
  default     = null

  validation {
    condition     = templatefile(local.keys, { input = "encryption", value = var.encryption, shape = local.shapes.encryption }) == ""
    error_message = templatefile(local.keys, { input = "encryption", value = var.encryption, shape = local.shapes.encryption })
  }

  validation {
    condition     = templatefile(local.types, { input = "encryption", value = var.encryption, shape = local.shapes.encryption }) == ""
    error_message = templatefile(local.types, { input = "encryption", value = var.encryption, shape = local.shapes.encryption })
  }

  validation {
    condition     = try(tostring(var.encryption.kms_key_arn), null) == null || can(regex("^arn:[^:]+:kms:[^:]+:[0-9]{12}:key/.+$", var.encryption.kms_key_arn))
    error_message = "encryption.kms_key_arn: is ${try(jsonencode(var.encryption.kms_key_arn), "missing")}; must be the ARN of a key (arn:<partition>:kms:<region>:<account>:key/<id>), not of an alias: rights are not granted on aliases, and on a topic under alias/aws/sns alarms are lost, since CloudWatch cannot use that key."
  }
}

variable "tables" {
  description = <<-EOT
    Protection of the four tables. Without `encryption` they are encrypted under a key that AWS owns.

    object({
      point_in_time_recovery = optional(bool, true)
      deletion_protection    = optional(bool, true)
      encryption             = optional(bool, true)
    })
  EOT
  type        = any
  default     = {}
  nullable    = false

  validation {
    condition     = templatefile(local.keys, { input = "tables", value = var.tables, shape = local.shapes.tables }) == ""
    error_message = templatefile(local.keys, { input = "tables", value = var.tables, shape = local.shapes.tables })
  }

  validation {
    condition     = templatefile(local.types, { input = "tables", value = var.tables, shape = local.shapes.tables }) == ""
    error_message = templatefile(local.types, { input = "tables", value = var.tables, shape = local.shapes.tables })
  }

  validation {
    condition     = try(tobool(coalesce(var.tables.encryption)), true) || var.encryption == null
    error_message = "tables.encryption: is false although encryption.kms_key_arn is given; leave one of them out."
  }
}

variable "closed_tasks_retention_days" {
  description = "Days for which completed and cancelled tasks are kept; null keeps them for ever. Dead tasks are kept until they are replayed or cancelled."
  type        = number
  default     = 90

  validation {
    condition     = var.closed_tasks_retention_days == null ? true : var.closed_tasks_retention_days >= 1 && floor(var.closed_tasks_retention_days) == var.closed_tasks_retention_days
    error_message = "closed_tasks_retention_days: is ${coalesce(var.closed_tasks_retention_days, 0)}; must be a whole number of at least 1, or null."
  }
}

variable "time_zone" {
  description = "IANA time zone in which the periods of jobs are cut, such as `Europe/Berlin`."
  type        = string
  default     = "UTC"
  nullable    = false

  validation {
    condition     = contains(local.time_zones, var.time_zone)
    error_message = "time_zone: \"${var.time_zone}\" is no IANA time zone; must be one such as UTC or Europe/Berlin."
  }
}

variable "iam" {
  description = <<-EOT
    Path and permissions boundary of the Essentials' roles. The boundary must also allow `lambda:InvokeFunction` on every Worker: the Worker's own policy grants it, and a boundary also limits that grant.

    object({
      path                     = optional(string, "/")
      permissions_boundary_arn = optional(string)
    })
  EOT
  type        = any
  default     = {}
  nullable    = false

  validation {
    condition     = templatefile(local.keys, { input = "iam", value = var.iam, shape = local.shapes.iam }) == ""
    error_message = templatefile(local.keys, { input = "iam", value = var.iam, shape = local.shapes.iam })
  }

  validation {
    condition     = templatefile(local.types, { input = "iam", value = var.iam, shape = local.shapes.iam }) == ""
    error_message = templatefile(local.types, { input = "iam", value = var.iam, shape = local.shapes.iam })
  }

  validation {
    condition     = try(tostring(var.iam.path), null) == null || can(regex("^/([!-~]+/)?$", var.iam.path))
    error_message = "iam.path: is ${try(jsonencode(var.iam.path), "missing")}; must begin and end with /, as in /teams/media/."
  }
}

variable "essentials" {
  description = <<-EOT
    Memory, longest run and reserved concurrency of each Essential. `reserved_concurrency` reserves a part of the account's concurrency for the
    function, and is also its limit. The default reserves none, since AWS refuses it in accounts with little concurrency. Set it for
    `worker_assistant` if Workers or other functions can use up the account's concurrency, so that reports still get through. The number of
    Workers that report at once is enough.

    object({
      scheduler = optional(object({
        memory_mb            = optional(number, 512)
        timeout_seconds      = optional(number, 900)
        reserved_concurrency = optional(number)
      }))
      orchestrator     = ... the same, timeout_seconds 60
      scavenger        = ... the same, timeout_seconds 60
      worker_assistant = ... the same, timeout_seconds 30
    })
  EOT
  type        = any
  default     = {}
  nullable    = false

  validation {
    condition     = templatefile(local.keys, { input = "essentials", value = var.essentials, shape = local.shapes.essentials }) == ""
    error_message = templatefile(local.keys, { input = "essentials", value = var.essentials, shape = local.shapes.essentials })
  }

  validation {
    condition     = templatefile(local.types, { input = "essentials", value = var.essentials, shape = local.shapes.essentials }) == ""
    error_message = templatefile(local.types, { input = "essentials", value = var.essentials, shape = local.shapes.essentials })
  }

  validation {
    condition = alltrue([
      for essential in try(keys(var.essentials), []) :
      try(var.essentials[essential].memory_mb >= 128 && var.essentials[essential].memory_mb <= 10240 && floor(var.essentials[essential].memory_mb) == tonumber(var.essentials[essential].memory_mb), true)
    ])
    error_message = "essentials: memory_mb is ${join(", ", [for essential in try(keys(var.essentials), []) : "${jsonencode(var.essentials[essential].memory_mb)} of ${essential}" if can(var.essentials[essential].memory_mb)])}; each must be a whole number from 128 to 10240."
  }

  validation {
    condition = alltrue([
      for essential in try(keys(var.essentials), []) :
      try(var.essentials[essential].timeout_seconds >= 10 && var.essentials[essential].timeout_seconds <= 900 && floor(var.essentials[essential].timeout_seconds) == tonumber(var.essentials[essential].timeout_seconds), true)
    ])
    error_message = "essentials: timeout_seconds is ${join(", ", [for essential in try(keys(var.essentials), []) : "${jsonencode(var.essentials[essential].timeout_seconds)} of ${essential}" if can(var.essentials[essential].timeout_seconds)])}; each must be a whole number from 10 to 900."
  }

  validation {
    condition = alltrue([
      for essential in try(keys(var.essentials), []) :
      try(var.essentials[essential].reserved_concurrency >= 1 && floor(var.essentials[essential].reserved_concurrency) == tonumber(var.essentials[essential].reserved_concurrency), true)
    ])
    error_message = "essentials: reserved_concurrency is ${join(", ", [for essential in try(keys(var.essentials), []) : "${jsonencode(var.essentials[essential].reserved_concurrency)} of ${essential}" if can(var.essentials[essential].reserved_concurrency)])}; each must be a whole number of at least 1, or left out."
  }
}

variable "alarms" {
  description = <<-EOT
    CloudWatch alarms on the Essentials, and the SNS topic for alarms and dead tasks: a new one, or the existing `topic`. If that is encrypted, give its key as `kms_key_arn`: the Scavenger's role gets its rights on it. The key's own policy must let `cloudwatch.amazonaws.com` use it (`kms:Decrypt`, `kms:GenerateDataKey*`). Under alias/aws/sns alarms would be lost.

    object({
      enabled = optional(bool, true)
      topic   = optional(object({ arn = string, kms_key_arn = optional(string) }))
    })
  EOT
  type        = any
  default     = {}
  nullable    = false

  validation {
    condition     = templatefile(local.keys, { input = "alarms", value = var.alarms, shape = local.shapes.alarms }) == ""
    error_message = templatefile(local.keys, { input = "alarms", value = var.alarms, shape = local.shapes.alarms })
  }

  validation {
    condition     = templatefile(local.types, { input = "alarms", value = var.alarms, shape = local.shapes.alarms }) == ""
    error_message = templatefile(local.types, { input = "alarms", value = var.alarms, shape = local.shapes.alarms })
  }

  validation {
    condition     = try(tostring(var.alarms.topic.arn), null) == null || can(regex("^arn:[^:]+:sns:[^:]+:[0-9]{12}:[A-Za-z0-9_-]+$", var.alarms.topic.arn))
    error_message = "alarms.topic.arn: is ${try(jsonencode(var.alarms.topic.arn), "missing")}; must be the ARN of a standard SNS topic (arn:<partition>:sns:<region>:<account>:<name>)."
  }

  validation {
    condition     = can(regex("^arn:[^:]+:kms:[^:]+:[0-9]{12}:key/.+$", var.alarms.topic.kms_key_arn)) || try(tostring(var.alarms.topic.kms_key_arn), null) == null
    error_message = "alarms.topic.kms_key_arn: is ${try(jsonencode(var.alarms.topic.kms_key_arn), "missing")}; must be the ARN of a key (arn:<partition>:kms:<region>:<account>:key/<id>), not of an alias: rights are not granted on aliases."
  }
}

variable "closed_jobs" {
  description = <<-EOT
    An existing SNS `topic` for closed jobs: every job is published with its counts once all its tasks are counted; the last ones may be archived a moment later. Null publishes none. If the topic is encrypted, give its key as `kms_key_arn`: the Scavenger's role gets its rights on it.

    object({
      topic = object({ arn = string, kms_key_arn = optional(string) })
    })
  EOT
  type        = any
  default     = null

  validation {
    condition     = templatefile(local.keys, { input = "closed_jobs", value = var.closed_jobs, shape = local.shapes.closed_jobs }) == ""
    error_message = templatefile(local.keys, { input = "closed_jobs", value = var.closed_jobs, shape = local.shapes.closed_jobs })
  }

  validation {
    condition     = templatefile(local.types, { input = "closed_jobs", value = var.closed_jobs, shape = local.shapes.closed_jobs }) == ""
    error_message = templatefile(local.types, { input = "closed_jobs", value = var.closed_jobs, shape = local.shapes.closed_jobs })
  }

  validation {
    condition     = var.closed_jobs == null || can(regex("^arn:[^:]+:sns:[^:]+:[0-9]{12}:[A-Za-z0-9_-]+$", var.closed_jobs.topic.arn))
    error_message = "closed_jobs.topic.arn: is ${try(jsonencode(var.closed_jobs.topic.arn), "missing")}; must be the ARN of a standard SNS topic (arn:<partition>:sns:<region>:<account>:<name>)."
  }

  validation {
    condition     = can(regex("^arn:[^:]+:kms:[^:]+:[0-9]{12}:key/.+$", var.closed_jobs.topic.kms_key_arn)) || try(tostring(var.closed_jobs.topic.kms_key_arn), null) == null
    error_message = "closed_jobs.topic.kms_key_arn: is ${try(jsonencode(var.closed_jobs.topic.kms_key_arn), "missing")}; must be the ARN of a key (arn:<partition>:kms:<region>:<account>:key/<id>), not of an alias: rights are not granted on aliases."
  }
}
