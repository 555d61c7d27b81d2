output "names" {
  description = "Names of the tables, by what they hold: `tasks`, `retry_tasks`, `closed_tasks`, `registry`."
  value = {
    tasks        = aws_dynamodb_table.tasks.name
    retry_tasks  = aws_dynamodb_table.retry_tasks.name
    closed_tasks = aws_dynamodb_table.closed_tasks.name
    registry     = aws_dynamodb_table.registry.name
  }
}

output "arns" {
  description = "ARNs of the tables, under the same keys as `names`."
  value = {
    tasks        = aws_dynamodb_table.tasks.arn
    retry_tasks  = aws_dynamodb_table.retry_tasks.arn
    closed_tasks = aws_dynamodb_table.closed_tasks.arn
    registry     = aws_dynamodb_table.registry.arn
  }
}

output "tasks_stream_arn" {
  description = "ARN of the stream of the tasks table, which wakes Orchestrator and Scavenger."
  value       = aws_dynamodb_table.tasks.stream_arn
}
