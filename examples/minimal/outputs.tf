output "worker_id" {
  description = "What a job calls the Worker."
  value       = module.worker.worker_id
}

output "scheduler_function_name" {
  description = "Function that takes jobs."
  value       = module.sosw.function_names.scheduler
}

output "alarm_topic_arn" {
  description = "SNS topic to subscribe to."
  value       = module.sosw.alarm_topic_arn
}
