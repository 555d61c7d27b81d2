output "worker_id" {
  description = "Name under which jobs ask for this Worker."
  # From the item: whoever takes it from here comes after the registration.
  value = jsondecode(aws_dynamodb_table_item.registration.item).sk.S
}

output "function_name" {
  description = "Name or ARN of the function, with its qualifier, as the Orchestrator invokes it."
  value       = local.qualified_function_name
}
