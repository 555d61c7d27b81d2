output "worker_id" {
  description = "Id by which jobs name this Worker."
  # From the item, so that resources that use it depend on the registration.
  value = jsondecode(aws_dynamodb_table_item.registration.item).sk.S
}

output "function_name" {
  description = "Name or ARN of the function, with its qualifier, as the Orchestrator invokes it."
  value       = local.qualified_function_name
}

output "config_parameter_arn" {
  description = "ARN of the SSM parameter that holds the Worker's configuration, whether it exists or not; for roles that are managed elsewhere."
  value       = local.config_parameter_arn
}

output "job_schemas" {
  description = "Input `job_schemas` of the `job` module: what jobs of this Worker may be cut by."
  value       = local.job_schemas
}
