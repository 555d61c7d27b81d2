output "worker_id" {
  description = "Name under which jobs ask for this Worker."
  # From the item: whoever takes it from here comes after the registration.
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
