output "worker_id" {
  description = "Name under which jobs ask for the Worker."
  value       = module.resize.worker_id
}
