variable "name" {
  description = "Prefix of the rule's name."
  type        = string
  nullable    = false
}

variable "functions" {
  description = "Functions that the rule invokes, by a key that is known at plan."
  type        = map(object({ name = string, arn = string }))
  nullable    = false

  validation {
    condition     = length(var.functions) >= 1 && length(var.functions) <= 5
    error_message = "functions: has ${length(var.functions)} entries; an EventBridge rule takes 1 to 5 targets."
  }
}

variable "tags" {
  description = "Tags of the rule."
  type        = map(string)
  default     = {}
  nullable    = false
}
