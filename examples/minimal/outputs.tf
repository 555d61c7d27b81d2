output "worker_id" {
  description = "Id by which jobs name the Worker."
  value       = module.worker.worker_id
}

output "scheduler_function_name" {
  description = "Name of the Scheduler's function, which accepts jobs."
  value       = module.sosw.function_names.scheduler
}

output "alarm_topic_arn" {
  description = "SNS topic to subscribe to."
  value       = module.sosw.alarm_topic_arn
}
