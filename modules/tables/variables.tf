variable "name" {
  description = "Prefix of the tables' names."
  type        = string
  nullable    = false
}

variable "point_in_time_recovery" {
  description = "Whether continuous backups of the last 35 days are kept."
  type        = bool
  default     = true
  nullable    = false
}

variable "deletion_protection" {
  description = "Whether deleting the tables is refused."
  type        = bool
  default     = true
  nullable    = false
}

variable "encryption" {
  description = "Whether the tables are encrypted under a KMS key of this account: `kms_key_arn`, or else the AWS-managed key. If false, DynamoDB encrypts under a key that AWS owns."
  type        = bool
  default     = true
  nullable    = false
}

variable "kms_key_arn" {
  description = "ARN of a customer-managed KMS key."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of every table."
  type        = map(string)
  default     = {}
  nullable    = false
}
