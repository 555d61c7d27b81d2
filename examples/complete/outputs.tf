output "worker_ids" {
  description = "Ids by which jobs name the Workers."
  value = {
    collect   = module.collect.worker_id
    summarise = module.summarise.worker_id
  }
}

output "table_names" {
  description = "Names of the four tables."
  value       = module.sosw.table_names
}

output "alarm_queue_url" {
  description = "URL of the queue that receives the alarms."
  value       = aws_sqs_queue.alarms.id
}
