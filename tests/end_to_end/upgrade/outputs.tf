output "worker_ids" {
  description = "Names under which jobs ask for the Workers."
  value       = [module.before.worker_id, module.this.worker_id, module.destination.worker_id]
}
