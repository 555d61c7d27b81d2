output "worker_id" {
  description = "Name under which jobs ask for the Worker."
  value       = module.endings.worker_id
}
