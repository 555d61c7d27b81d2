variable "runtime_package" {
  description = "Path of the zip that `sosw package` built."
  type        = string
  nullable    = false
}

variable "runtime_version" {
  description = "Version of that package."
  type        = string
  nullable    = false
}

variable "function_name" {
  description = "Name of an existing Lambda function."
  type        = string
  nullable    = false
}
