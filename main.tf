data "aws_partition" "this" {}

data "aws_region" "this" {}

data "aws_caller_identity" "this" {}

locals {
  partition = data.aws_partition.this.partition
  region    = data.aws_region.this.id
  account   = data.aws_caller_identity.this.account_id

  # Names, and ARNs that are derived from them: policies can refer to each other without a cycle, and at plan.
  function_names = {
    scheduler        = "${var.name}_scheduler"
    orchestrator     = "${var.name}_orchestrator"
    scavenger        = "${var.name}_scavenger"
    worker_assistant = "${var.name}_worker_assistant"
  }
  function_arns = {
    for essential, function_name in local.function_names :
    essential => "arn:${local.partition}:lambda:${local.region}:${local.account}:function:${function_name}"
  }
  table_arns = {
    for table in ["tasks", "retry_tasks", "closed_tasks", "registry"] :
    table => "arn:${local.partition}:dynamodb:${local.region}:${local.account}:table/${var.name}_${table}"
  }

  alarm_topic_name = "${var.name}_alarms"
  alarm_topic_arn = (
    local.alarms.topic == null
    ? "arn:${local.partition}:sns:${local.region}:${local.account}:${local.alarm_topic_name}"
    : local.alarms.topic.arn
  )
  # Keys of the given topics: the Scavenger publishes to these topics and needs rights on the keys.
  topic_kms_key_arns = distinct(compact([
    try(local.alarms.topic.kms_key_arn, null),
    try(local.closed_jobs.topic.kms_key_arn, null),
  ]))

  rejected_jobs_queue_name = "${var.name}_rejected_jobs"
  rejected_jobs_queue_arn  = "arn:${local.partition}:sqs:${local.region}:${local.account}:${local.rejected_jobs_queue_name}"

  package = {
    path = local.runtime.package
    s3   = local.runtime.s3
  }
  environment = merge(
    {
      SOSW_NAME                    = var.name
      SOSW_PINNED_VERSION          = local.runtime.version
      SOSW_ALARM_TOPIC_ARN         = local.alarm_topic_arn
      SOSW_TIMEZONE                = var.time_zone
      POWERTOOLS_LOG_LEVEL         = local.logging.level
      POWERTOOLS_METRICS_NAMESPACE = var.name
    },
    var.closed_tasks_retention_days == null ? {} : {
      SOSW_CLOSED_TASKS_RETENTION_DAYS = tostring(var.closed_tasks_retention_days)
    },
    local.closed_jobs == null ? {} : { SOSW_JOBS_TOPIC_ARN = local.closed_jobs.topic.arn },
  )

  # Rights on the key to read and write tables (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html),
  # to send to the queue and the topic, and to read the function's environment.
  kms = {
    for essential, services in {
      scheduler        = ["dynamodb", "lambda", "sqs"]
      orchestrator     = ["dynamodb", "lambda"]
      scavenger        = ["dynamodb", "lambda", "sns"]
      worker_assistant = ["dynamodb", "lambda"]
    } :
    essential => local.encryption == null ? null : {
      key_arn  = local.encryption.kms_key_arn
      services = services
      actions = [
        "kms:Decrypt",
        "kms:DescribeKey",
        "kms:Encrypt",
        "kms:GenerateDataKey",
        "kms:ReEncryptFrom",
        "kms:ReEncryptTo",
      ]
    }
  }
}

# Tables ------------------------------------------------------------------------------------------------------------

module "tables" {
  source = "./modules/tables"

  name                   = var.name
  point_in_time_recovery = local.tables.point_in_time_recovery
  deletion_protection    = local.tables.deletion_protection
  encryption             = local.tables.encryption
  kms_key_arn            = one(local.encryption[*].kms_key_arn)
  tags                   = var.tags
}

# Essentials --------------------------------------------------------------------------------------------------------

module "scheduler" {
  source = "./modules/essential"

  function_name        = local.function_names.scheduler
  description          = "Cuts jobs into tasks and enqueues them."
  handler              = "sosw_runtime.essentials.scheduler.handler"
  package              = local.package
  environment          = merge(local.environment, { POWERTOOLS_SERVICE_NAME = "scheduler" })
  policy_json          = data.aws_iam_policy_document.scheduler.json
  memory_mb            = local.essentials.scheduler.memory_mb
  timeout_seconds      = local.essentials.scheduler.timeout_seconds
  reserved_concurrency = local.essentials.scheduler.reserved_concurrency
  log_retention_days   = local.logging.retention_days
  iam                  = local.iam
  kms                  = local.kms.scheduler
  tags                 = var.tags

  async = {
    max_retry_attempts    = 2
    max_event_age_seconds = 3600
    on_failure            = { arn = aws_sqs_queue.rejected_jobs.arn }
  }
}

# The Scheduler invokes itself for the rest of a long job. Lambda would stop that as a recursive loop after about 16 rounds.
# The loop always ends: an invocation that resumes a job and does not advance its cursor does not invoke the next one.
resource "aws_lambda_function_recursion_config" "scheduler" {
  function_name  = module.scheduler.function_name
  recursive_loop = "Allow"
}

module "orchestrator" {
  source = "./modules/essential"

  function_name        = local.function_names.orchestrator
  description          = "Fills the free slots of every Worker with queued tasks."
  handler              = "sosw_runtime.essentials.orchestrator.handler"
  package              = local.package
  environment          = merge(local.environment, { POWERTOOLS_SERVICE_NAME = "orchestrator" })
  policy_json          = data.aws_iam_policy_document.orchestrator.json
  memory_mb            = local.essentials.orchestrator.memory_mb
  timeout_seconds      = local.essentials.orchestrator.timeout_seconds
  reserved_concurrency = local.essentials.orchestrator.reserved_concurrency
  log_retention_days   = local.logging.retention_days
  iam                  = local.iam
  kms                  = local.kms.orchestrator
  tags                 = var.tags

  # A failed or late tick is of no use: the next one comes within a minute.
  async = {
    max_retry_attempts    = 0
    max_event_age_seconds = 60
  }
}

module "scavenger" {
  source = "./modules/essential"

  function_name        = local.function_names.scavenger
  description          = "Archives completed tasks, retries failed ones or lets them die, and mends what was left unfinished."
  handler              = "sosw_runtime.essentials.scavenger.handler"
  package              = local.package
  environment          = merge(local.environment, { POWERTOOLS_SERVICE_NAME = "scavenger" })
  policy_json          = data.aws_iam_policy_document.scavenger.json
  memory_mb            = local.essentials.scavenger.memory_mb
  timeout_seconds      = local.essentials.scavenger.timeout_seconds
  reserved_concurrency = local.essentials.scavenger.reserved_concurrency
  log_retention_days   = local.logging.retention_days
  iam                  = local.iam
  kms                  = local.kms.scavenger
  tags                 = var.tags

  async = {
    max_retry_attempts    = 0
    max_event_age_seconds = 60
  }
}

module "worker_assistant" {
  source = "./modules/essential"

  function_name        = local.function_names.worker_assistant
  description          = "Records what Workers report."
  handler              = "sosw_runtime.essentials.worker_assistant.handler"
  package              = local.package
  environment          = merge(local.environment, { POWERTOOLS_SERVICE_NAME = "worker_assistant" })
  policy_json          = data.aws_iam_policy_document.worker_assistant.json
  memory_mb            = local.essentials.worker_assistant.memory_mb
  timeout_seconds      = local.essentials.worker_assistant.timeout_seconds
  reserved_concurrency = local.essentials.worker_assistant.reserved_concurrency
  log_retention_days   = local.logging.retention_days
  iam                  = local.iam
  kms                  = local.kms.worker_assistant
  tags                 = var.tags

  async = {
    max_retry_attempts    = 2
    max_event_age_seconds = 21600
  }
}

# Triggers ----------------------------------------------------------------------------------------------------------

locals {
  reported = jsonencode({
    eventName = ["MODIFY"]
    dynamodb  = { NewImage = { status = { S = ["completed", "failed"] } } }
  })
}

# The Orchestrator's tick finds the tasks of lost records. So a batch that keeps failing is dropped after 2 retries, and does
# not delay the records behind it.
resource "aws_lambda_event_source_mapping" "orchestrator" {
  function_name                      = module.orchestrator.function_arn
  event_source_arn                   = module.tables.tasks_stream_arn
  starting_position                  = "LATEST"
  batch_size                         = 100
  maximum_batching_window_in_seconds = 0
  parallelization_factor             = 1
  bisect_batch_on_function_error     = true
  maximum_retry_attempts             = 2
  maximum_record_age_in_seconds      = 300
  tags                               = var.tags

  filter_criteria {
    filter {
      pattern = jsonencode({ eventName = ["INSERT"] })
    }

    filter {
      pattern = local.reported
    }
  }

  # Lambda checks the role's right to read the stream when the mapping is made.
  depends_on = [module.orchestrator]
}

# Only the Scavenger's sweep finds the tasks of lost records, which takes hours in a large table. The Scavenger fails a batch only
# for a transient error of AWS, which would also fail the next batch; it skips a faulty record. So a batch is retried for up to
# six hours (the stream keeps records for a day), and a new mapping starts at the oldest record.
resource "aws_lambda_event_source_mapping" "scavenger" {
  function_name                      = module.scavenger.function_arn
  event_source_arn                   = module.tables.tasks_stream_arn
  starting_position                  = "TRIM_HORIZON"
  batch_size                         = 100
  maximum_batching_window_in_seconds = 2
  parallelization_factor             = 1
  bisect_batch_on_function_error     = true
  maximum_retry_attempts             = -1
  maximum_record_age_in_seconds      = 21600
  tags                               = var.tags

  filter_criteria {
    filter {
      pattern = local.reported
    }
  }

  lifecycle {
    # It matters only for a new mapping, and a change would replace the mapping. A mapping that was made with LATEST stays.
    ignore_changes = [starting_position]
  }

  depends_on = [module.scavenger]
}

module "schedule" {
  source = "./modules/schedule"

  name = var.name
  functions = {
    orchestrator = { name = module.orchestrator.function_name, arn = module.orchestrator.function_arn }
    scavenger    = { name = module.scavenger.function_name, arn = module.scavenger.function_arn }
  }
  tags = var.tags
}

locals {
  # Rules of the job module, derived from the ARN of the tick's rule: a resource's ARN is known at plan even if the caller's
  # `depends_on` defers account and region, and a permission with unknown values would be replaced.
  job_rules_arn     = replace(module.schedule.rule_arn, "/[^/]+$/", "${var.name}_job_*")
  job_rules_account = split(":", module.schedule.rule_arn)[4]
}

# One permission for all rules of the job module: with one each, about fifty jobs would fill the function's policy (20 KB).
resource "aws_lambda_permission" "jobs" {
  statement_id   = "${var.name}_jobs"
  action         = "lambda:InvokeFunction"
  function_name  = module.scheduler.function_name
  principal      = "events.amazonaws.com"
  source_account = local.job_rules_account
  source_arn     = local.job_rules_arn
}

# Rights of Workers -------------------------------------------------------------------------------------------------

# For roles of many Workers: the inline policies of a role, one for each Worker, share 10,240 characters
# (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html).
resource "aws_iam_policy" "report" {
  # Policies are global to an account: the region keeps two regions' policies apart.
  name        = "${var.name}_report_${local.region}"
  description = "Lets Workers report to ${local.function_names.worker_assistant}."
  path        = local.iam.path
  policy      = data.aws_iam_policy_document.report.json
  tags        = var.tags

  lifecycle {
    # The region may be unknown until apply, and an unknown name would replace the policy. Another name of the installation
    # changes the description, which replaces it.
    ignore_changes = [name]
  }
}

# Rejected jobs and alarms ------------------------------------------------------------------------------------------

resource "aws_sqs_queue" "rejected_jobs" {
  name                      = local.rejected_jobs_queue_name
  message_retention_seconds = 1209600 # 14 days, SQS's maximum
  sqs_managed_sse_enabled   = local.encryption == null ? true : null
  kms_master_key_id         = one(local.encryption[*].kms_key_arn)
  tags                      = var.tags
}

resource "aws_sqs_queue_policy" "rejected_jobs" {
  queue_url = aws_sqs_queue.rejected_jobs.id
  policy    = data.aws_iam_policy_document.rejected_jobs.json
}

resource "aws_sns_topic" "alarms" {
  count = local.alarms.topic == null ? 1 : 0

  name              = local.alarm_topic_name
  kms_master_key_id = one(local.encryption[*].kms_key_arn)
  tags              = var.tags
}

resource "aws_sns_topic_policy" "alarms" {
  count = length(aws_sns_topic.alarms)

  arn    = aws_sns_topic.alarms[count.index].arn
  policy = data.aws_iam_policy_document.alarms.json
}

module "alarms" {
  source = "./modules/alarms"
  count  = local.alarms.enabled ? 1 : 0

  name                     = var.name
  topic_arn                = local.alarm_topic_arn
  functions                = values(local.function_names)
  stream_consumers         = [local.function_names.orchestrator, local.function_names.scavenger]
  rejected_jobs_queue_name = aws_sqs_queue.rejected_jobs.name
  tick_rule_name           = module.schedule.rule_name
  tags                     = var.tags
}
