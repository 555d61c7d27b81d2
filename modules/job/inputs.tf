# Object inputs are of type `any`, so that unknown keys can be seen: see inputs.tf of the root module.

locals {
  keys       = "${path.module}/../../checks/keys.tftpl"
  types      = "${path.module}/../../checks/types.tftpl"
  time_zones = split("\n", trimspace(file("${path.module}/../../checks/time_zones.txt")))

  # The keys of the object input, and what they hold.
  job_shape = {
    worker          = "required string"
    job_schema_name = "string"
    priority        = "number"
    time_zone       = "string"
    period          = "string"
    start_date      = "string"
    end_date        = "string"
    isolate_days    = "bool"
    isolate_weeks   = "bool"
    isolate_months  = "bool"
  }
}

# The input with its types. Everything but the validations reads this. `lookup`, since the Worker may be unknown until apply.
locals {
  job = {
    worker          = tostring(var.job.worker)
    job_schema_name = tostring(lookup(var.job, "job_schema_name", null))
    priority        = tonumber(lookup(var.job, "priority", null))
    time_zone       = tostring(lookup(var.job, "time_zone", null))
    period          = tostring(lookup(var.job, "period", null))
    start_date      = tostring(lookup(var.job, "start_date", null))
    end_date        = tostring(lookup(var.job, "end_date", null))
    isolate_days    = tobool(lookup(var.job, "isolate_days", null))
    isolate_weeks   = tobool(lookup(var.job, "isolate_weeks", null))
    isolate_months  = tobool(lookup(var.job, "isolate_months", null))
  }
}

# What keys of `attributes` may be called.
locals {
  # Of the job's schema. Its name is checked by the input `job`.
  chunkable_attrs = try(var.job_schemas[coalesce(local.job.job_schema_name, "default")].chunkable_attrs, [])

  # The flags of days and of the schema, each with what flags of a similar name match.
  flags = merge(
    { for name in concat(["day", "week", "month"], local.chunkable_attrs) : "isolate_${name}s" => "isolat[a-z]*_${name}s?" },
    { for name in local.chunkable_attrs : "max_${name}s_per_batch" => "(max_|min_)?${name}s?_per_[a-z]+" },
  )

  # What each word and flag is misspelled as: a letter left out, replaced or added, two that changed places, or a similar flag.
  misspellings = {
    for word in setunion(local.words, keys(local.flags)) : word => "^(${join("|", concat(
      [for i in range(length(word)) : "${substr(word, 0, i)}.?${substr(word, i + 1, -1)}"],
      [for i in range(length(word) + 1) : "${substr(word, 0, i)}.${substr(word, i, -1)}"],
      [for i in range(length(word) - 1) : "${substr(word, 0, i)}${substr(word, i + 1, 1)}${substr(word, i, 1)}${substr(word, i + 2, -1)}"],
      compact([lookup(local.flags, word, "")]),
    ))})$"
  }

  # Keys that are not misspelled. Attributes may be in the singular, also in flags.
  meant = concat(
    local.words, keys(local.flags), local.chunkable_attrs, formatlist("%ss", local.chunkable_attrs),
    formatlist("isolate_%s", local.chunkable_attrs), formatlist("max_%s_per_batch", local.chunkable_attrs),
  )
}
