# Terraform drops unknown keys of an object type without a word. So object inputs are of type `any`, and two templates look at each of
# them, the only functions that Terraform lets a module write: checks/keys.tftpl at the keys, which are known at every plan, and
# checks/types.tftpl at the values. A template gives its complaints, a line each, or nothing.

locals {
  keys       = "${path.module}/checks/keys.tftpl"
  types      = "${path.module}/checks/types.tftpl"
  time_zones = split("\n", trimspace(file("${path.module}/checks/time_zones.txt")))

  # The keys of each object input, and what they hold.
  shapes = {
    runtime = {
      version = "required string"
      package = "string"
      s3 = {
        bucket           = "required string"
        key              = "required string"
        object_version   = "string"
        source_code_hash = "string"
      }
    }
    logging    = { level = "string", retention_days = "number" }
    encryption = { kms_key_arn = "required string" }
    tables     = { point_in_time_recovery = "bool", deletion_protection = "bool", encryption = "bool" }
    iam        = { path = "string", permissions_boundary_arn = "string" }
    essentials = {
      for essential in keys(local.timeouts) :
      essential => { memory_mb = "number", timeout_seconds = "number", reserved_concurrency = "number" }
    }
    alarms      = { enabled = "bool", topic = { arn = "required string", kms_key_arn = "string" } }
    closed_jobs = { topic = { arn = "required string", kms_key_arn = "string" } }
  }
  timeouts = { scheduler = 900, orchestrator = 60, scavenger = 60, worker_assistant = 30 }
}

# The inputs with their defaults and types. Everything but the validations reads these. `lookup` for what may be unknown until apply:
# `try` would make the whole object unknown, and with it whether the object was given.
locals {
  runtime = {
    version = tostring(var.runtime.version)
    package = tostring(lookup(var.runtime, "package", null))
    s3 = lookup(var.runtime, "s3", null) == null ? null : {
      bucket           = tostring(var.runtime.s3.bucket)
      key              = tostring(var.runtime.s3.key)
      object_version   = tostring(lookup(var.runtime.s3, "object_version", null))
      source_code_hash = tostring(lookup(var.runtime.s3, "source_code_hash", null))
    }
  }
  logging = {
    level          = tostring(try(coalesce(var.logging.level), "INFO"))
    retention_days = tonumber(try(coalesce(var.logging.retention_days), 30))
  }
  encryption = var.encryption == null ? null : { kms_key_arn = tostring(var.encryption.kms_key_arn) }
  tables = {
    for protection in keys(local.shapes.tables) : protection => tobool(try(coalesce(var.tables[protection]), true))
  }
  iam = {
    path                     = tostring(try(coalesce(var.iam.path), "/"))
    permissions_boundary_arn = tostring(lookup(var.iam, "permissions_boundary_arn", null))
  }
  essentials = {
    for essential, timeout_seconds in local.timeouts : essential => {
      memory_mb            = tonumber(try(coalesce(var.essentials[essential].memory_mb), 512))
      timeout_seconds      = tonumber(try(coalesce(var.essentials[essential].timeout_seconds), timeout_seconds))
      reserved_concurrency = tonumber(try(var.essentials[essential].reserved_concurrency, null))
    }
  }
  alarms = {
    enabled = tobool(try(coalesce(var.alarms.enabled), true))
    topic = lookup(var.alarms, "topic", null) == null ? null : {
      arn         = tostring(var.alarms.topic.arn)
      kms_key_arn = tostring(lookup(var.alarms.topic, "kms_key_arn", null))
    }
  }
  closed_jobs = var.closed_jobs == null ? null : {
    topic = {
      arn         = tostring(var.closed_jobs.topic.arn)
      kms_key_arn = tostring(lookup(var.closed_jobs.topic, "kms_key_arn", null))
    }
  }
}
