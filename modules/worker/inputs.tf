# Object inputs are of type `any`, so that unknown keys can be seen: see inputs.tf of the root module.

locals {
  keys  = "${path.module}/../../checks/keys.tftpl"
  types = "${path.module}/../../checks/types.tftpl"

  # The keys of each object input, and what they hold.
  retry_shape = { for key in keys(local.retry_defaults) : key => "number" }
  health_metric_shape = {
    namespace      = "required string"
    metric_name    = "required string"
    dimensions     = "map(string)"
    statistic      = "string"
    period_seconds = "number"
    better         = "string"
    levels         = "required map(number)"
  }
  job_schema_shape = { chunkable_attrs = "required list(string)" }

  retry_defaults = { max_attempts = 3, base_delay_seconds = 30, max_delay_seconds = 3600 }
}

# The inputs with their defaults and types. Everything but the validations reads these.
locals {
  retry = { for key, default in local.retry_defaults : key => tonumber(try(coalesce(var.retry[key]), default)) }

  health_metrics = {
    for name, metric in var.health_metrics : name => {
      namespace      = tostring(metric.namespace)
      metric_name    = tostring(metric.metric_name)
      dimensions     = { for dimension, value in try(coalesce(metric.dimensions), {}) : dimension => tostring(value) }
      statistic      = tostring(try(coalesce(metric.statistic), "Average"))
      period_seconds = tonumber(try(coalesce(metric.period_seconds), 60))
      better         = tostring(try(coalesce(metric.better), "low"))
      levels         = { for level, threshold in metric.levels : level => tonumber(threshold) }
    }
  }

  job_schemas = merge(
    { for name, schema in var.job_schemas : name => { chunkable_attrs = [for attribute in schema.chunkable_attrs : tostring(attribute)] } },
    { for name, schema in var.job_schemas_07 : name => { chunkable_attrs = schema.chunkable_attrs[*][0] } },
  )
}
