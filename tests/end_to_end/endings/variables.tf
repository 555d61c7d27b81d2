variable "runtime" {
  description = "The Essentials' package, as `sosw package` builds it, and its version."
  type = object({
    package = string
    version = string
  })
  nullable = false
}

variable "worker_package" {
  description = "Path of a zip of `worker.py`."
  type        = string
  nullable    = false
}
