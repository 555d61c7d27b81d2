variable "runtime" {
  description = "A package named as the Essentials' is, and its version."
  type = object({
    package = string
    version = string
  })
  nullable = false
}

variable "revision" {
  description = "What the installation waits for."
  type        = string
  default     = "1"
  nullable    = false
}

variable "second_worker" {
  description = "Register the function a second time."
  type        = bool
  default     = false
  nullable    = false
}
