# Indexes declare their keys by `hash_key` and `range_key`, which newer providers call deprecated: their successor `key_schema`
# is not in provider 6.0, the oldest that the module supports.

resource "aws_dynamodb_table" "tasks" {
  name         = "${var.name}_tasks"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "task_id"

  # The old image is not read. But a change of the view would replace the stream, lose its records and replace the consumers'
  # mappings.
  stream_enabled              = true
  stream_view_type            = "NEW_AND_OLD_IMAGES"
  deletion_protection_enabled = var.deletion_protection

  attribute {
    name = "task_id"
    type = "S"
  }

  attribute {
    name = "queue_key"
    type = "S"
  }

  attribute {
    name = "queue_rank"
    type = "S"
  }

  # Sparse: only queued tasks have its two attributes, so that a claim removes the task from it.
  global_secondary_index {
    name            = "queue"
    hash_key        = "queue_key"
    range_key       = "queue_rank"
    projection_type = "KEYS_ONLY"
  }

  point_in_time_recovery {
    enabled = var.point_in_time_recovery
  }

  server_side_encryption {
    enabled     = var.encryption
    kms_key_arn = var.kms_key_arn
  }

  tags = var.tags
}

resource "aws_dynamodb_table" "retry_tasks" {
  name                        = "${var.name}_retry_tasks"
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "worker_id"
  range_key                   = "due"
  deletion_protection_enabled = var.deletion_protection

  attribute {
    name = "worker_id"
    type = "S"
  }

  attribute {
    name = "due"
    type = "S"
  }

  point_in_time_recovery {
    enabled = var.point_in_time_recovery
  }

  server_side_encryption {
    enabled     = var.encryption
    kms_key_arn = var.kms_key_arn
  }

  tags = var.tags
}

resource "aws_dynamodb_table" "closed_tasks" {
  name                        = "${var.name}_closed_tasks"
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "task_id"
  deletion_protection_enabled = var.deletion_protection

  attribute {
    name = "task_id"
    type = "S"
  }

  attribute {
    name = "outcome_key"
    type = "S"
  }

  attribute {
    name = "closed_at"
    type = "N"
  }

  attribute {
    name = "outbox"
    type = "S"
  }

  # Sparse: only dead and cancelled tasks have its hash key. Completed tasks, by far the most, are found by their job. Tasks
  # that older versions completed leave the index when they expire.
  global_secondary_index {
    name               = "by_outcome"
    hash_key           = "outcome_key"
    range_key          = "closed_at"
    projection_type    = "INCLUDE"
    non_key_attributes = ["attempt", "duration_ms", "job_id"]
  }

  # Sparse: dead and cancelled tasks leave it when they are announced.
  global_secondary_index {
    name            = "outbox"
    hash_key        = "outbox"
    range_key       = "closed_at"
    projection_type = "KEYS_ONLY"
  }

  ttl {
    enabled        = true
    attribute_name = "expires_at"
  }

  point_in_time_recovery {
    enabled = var.point_in_time_recovery
  }

  server_side_encryption {
    enabled     = var.encryption
    kms_key_arn = var.kms_key_arn
  }

  tags = var.tags
}

resource "aws_dynamodb_table" "registry" {
  name                        = "${var.name}_registry"
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "pk"
  range_key                   = "sk"
  deletion_protection_enabled = var.deletion_protection

  attribute {
    name = "pk"
    type = "S"
  }

  attribute {
    name = "sk"
    type = "S"
  }

  ttl {
    enabled        = true
    attribute_name = "expires_at"
  }

  point_in_time_recovery {
    enabled = var.point_in_time_recovery
  }

  server_side_encryption {
    enabled     = var.encryption
    kms_key_arn = var.kms_key_arn
  }

  tags = var.tags
}
