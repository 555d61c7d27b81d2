variable "name" {
  description = "Prefix of the alarms' names, and the namespace of the Essentials' own metrics."
  type        = string
  nullable    = false
}

variable "topic_arn" {
  description = "ARN of the SNS topic that the alarms publish to."
  type        = string
  nullable    = false
}

variable "functions" {
  description = "Names of the functions whose errors and throttles alarm; known at plan."
  type        = set(string)
  nullable    = false
}

variable "stream_consumers" {
  description = "Names of the functions that read the stream of the tasks table; known at plan."
  type        = set(string)
  nullable    = false
}

variable "rejected_jobs_queue_name" {
  description = "Name of the queue of rejected jobs."
  type        = string
  nullable    = false
}

variable "tick_rule_name" {
  description = "Name of the EventBridge rule that wakes the Orchestrator and the Scavenger every minute."
  type        = string
  nullable    = false
}

variable "tags" {
  description = "Tags of every alarm."
  type        = map(string)
  default     = {}
  nullable    = false
}
