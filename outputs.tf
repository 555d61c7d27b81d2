output "orchestrator" {
  description = "Input `orchestrator` of the `worker` and `job` modules."
  value = {
    name                          = var.name
    version                       = local.runtime.version
    registry_table_name           = module.tables.names.registry
    scheduler_function_name       = module.scheduler.function_name
    scheduler_function_arn        = module.scheduler.function_arn
    orchestrator_role_arn         = module.orchestrator.role_arn
    rejected_jobs_queue_arn       = aws_sqs_queue.rejected_jobs.arn
    worker_assistant_function_arn = module.worker_assistant.function_arn
  }

  # A job's rule may fire as soon as it exists: it needs its permission, and the queue for undelivered events.
  depends_on = [
    aws_lambda_permission.jobs,
    aws_sqs_queue_policy.rejected_jobs,
  ]
}

output "worker_policy_arn" {
  description = "ARN of the policy that lets Workers report. Attach it once to a role of many Workers, and set `attach_policy = false` in their `worker` modules."
  value       = aws_iam_policy.report.arn
}

output "worker_environment" {
  description = "Environment variables of Workers that use `sosw_runtime.worker`; merge them into the function's."
  # Derived from the name, so that it is known at plan and no Worker's function waits for the Essentials.
  value = {
    SOSW_NAME             = var.name
    SOSW_WORKER_ASSISTANT = local.function_arns.worker_assistant
  }
}

output "function_names" {
  description = "Names of the Essentials' functions, by Essential."
  value = {
    scheduler        = module.scheduler.function_name
    orchestrator     = module.orchestrator.function_name
    scavenger        = module.scavenger.function_name
    worker_assistant = module.worker_assistant.function_name
  }
}

output "function_arns" {
  description = "ARNs of the Essentials' functions, by Essential."
  value = {
    scheduler        = module.scheduler.function_arn
    orchestrator     = module.orchestrator.function_arn
    scavenger        = module.scavenger.function_arn
    worker_assistant = module.worker_assistant.function_arn
  }
}

output "role_arns" {
  description = "ARNs of the Essentials' roles, by Essential."
  value = {
    scheduler        = module.scheduler.role_arn
    orchestrator     = module.orchestrator.role_arn
    scavenger        = module.scavenger.role_arn
    worker_assistant = module.worker_assistant.role_arn
  }
}

output "log_group_names" {
  description = "Names of the Essentials' log groups, by Essential."
  value = {
    scheduler        = module.scheduler.log_group_name
    orchestrator     = module.orchestrator.log_group_name
    scavenger        = module.scavenger.log_group_name
    worker_assistant = module.worker_assistant.log_group_name
  }
}

output "table_names" {
  description = "Names of the tables: `tasks`, `retry_tasks`, `closed_tasks`, `registry`."
  value       = module.tables.names
}

output "table_arns" {
  description = "ARNs of the tables: `tasks`, `retry_tasks`, `closed_tasks`, `registry`."
  value       = module.tables.arns
}

output "alarm_topic_arn" {
  description = "ARN of the SNS topic for alarms and dead tasks; subscribe to it."
  value       = local.alarms.topic == null ? one(aws_sns_topic.alarms[*].arn) : local.alarms.topic.arn
}

output "alarm_names" {
  description = "Names of the CloudWatch alarms."
  value       = flatten(module.alarms[*].names)
}

output "rejected_jobs_queue_arn" {
  description = "ARN of the queue of rejected jobs, which the Scheduler could not accept or did not receive."
  value       = aws_sqs_queue.rejected_jobs.arn
}

output "rejected_jobs_queue_url" {
  description = "URL of the queue of rejected jobs."
  value       = aws_sqs_queue.rejected_jobs.id
}
