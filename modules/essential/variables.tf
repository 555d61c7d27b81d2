variable "function_name" {
  description = "Name of the Lambda function. The role's name is this name and the region."
  type        = string
  nullable    = false
}

variable "description" {
  description = "What the function does."
  type        = string
  nullable    = false
}

variable "handler" {
  description = "Python path of the handler."
  type        = string
  nullable    = false
}

variable "package" {
  description = "The packaged runtime: `path` of a local zip, or the object in S3 with its version or its hash (base64 of the SHA-256). The file's name contains Python and architecture, as in `sosw-runtime-1.0.0-py313-arm64.zip`."
  type = object({
    path = optional(string)
    s3 = optional(object({
      bucket           = string
      key              = string
      object_version   = optional(string)
      source_code_hash = optional(string)
    }))
  })
  nullable = false

  validation {
    condition     = (var.package.path != null) != (var.package.s3 != null)
    error_message = "package: give path or s3, one of them."
  }

  validation {
    condition = can(regex(
      "-py3(11|12|13)-(arm64|x86_64)\\.zip$", coalesce(var.package.path, try(var.package.s3.key, ""), "none")
    ))
    error_message = "package: the file's name must end in -py<311|312|313>-<arm64|x86_64>.zip, as in sosw-runtime-1.0.0-py313-arm64.zip."
  }
}

variable "environment" {
  description = "Environment variables."
  type        = map(string)
  nullable    = false
}

variable "policy_json" {
  description = "Policy document of the rights that the function's work needs. Rights on its own log group and on the KMS key are added."
  type        = string
  nullable    = false
}

variable "memory_mb" {
  description = "Memory, 128 to 10240 MB."
  type        = number
  default     = 512
  nullable    = false

  validation {
    condition     = var.memory_mb >= 128 && var.memory_mb <= 10240 && floor(var.memory_mb) == var.memory_mb
    error_message = "memory_mb: is ${var.memory_mb}; must be a whole number from 128 to 10240."
  }
}

variable "timeout_seconds" {
  description = "Longest run, 1 to 900 s."
  type        = number
  default     = 60
  nullable    = false

  validation {
    condition     = var.timeout_seconds >= 1 && var.timeout_seconds <= 900 && floor(var.timeout_seconds) == var.timeout_seconds
    error_message = "timeout_seconds: is ${var.timeout_seconds}; must be a whole number from 1 to 900."
  }
}

variable "reserved_concurrency" {
  description = "Part of the account's concurrency that is reserved for this function, and its limit. Null reserves none and sets no limit."
  type        = number
  default     = null

  validation {
    condition     = var.reserved_concurrency == null ? true : var.reserved_concurrency >= 1 && floor(var.reserved_concurrency) == var.reserved_concurrency
    error_message = "reserved_concurrency: is ${coalesce(var.reserved_concurrency, 0)}; must be a whole number of at least 1, or null."
  }
}

variable "async" {
  description = "What Lambda does with asynchronous events: `max_retry_attempts` after a failure (0 to 2), `max_event_age_seconds` (60 to 21600), and the destination of events whose last try failed."
  type = object({
    max_retry_attempts    = number
    max_event_age_seconds = number
    on_failure            = optional(object({ arn = string }))
  })
  nullable = false

  validation {
    condition     = contains([0, 1, 2], var.async.max_retry_attempts)
    error_message = "async.max_retry_attempts: is ${var.async.max_retry_attempts}; must be 0, 1 or 2."
  }

  validation {
    condition     = var.async.max_event_age_seconds >= 60 && var.async.max_event_age_seconds <= 21600
    error_message = "async.max_event_age_seconds: is ${var.async.max_event_age_seconds}; must be from 60 to 21600."
  }
}

variable "log_retention_days" {
  description = "Days for which logs are kept."
  type        = number
  default     = 30
  nullable    = false
}

variable "iam" {
  description = "Path and permissions boundary of the role."
  type = object({
    path                     = optional(string, "/")
    permissions_boundary_arn = optional(string)
  })
  default  = {}
  nullable = false
}

variable "kms" {
  description = "Customer-managed key of logs and environment, and the `actions` on it that the function needs through `services` (such as `dynamodb`)."
  type = object({
    key_arn  = string
    actions  = set(string)
    services = set(string)
  })
  default = null
}

variable "tags" {
  description = "Tags of function, role and log group."
  type        = map(string)
  default     = {}
  nullable    = false
}
